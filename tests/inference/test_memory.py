"""Too little memory."""

import pytest
import torch

from clit_plugin.inference.memory import check_memory, memory_errors
from clit_plugin.utils.errors import UserError

CPU = torch.device("cpu")


def test_an_output_beyond_what_is_free_is_refused_and_one_within_is_not():
    with pytest.raises(UserError, match=r"x\.png: an output of 1000000x1000000 pixels takes about 36000\.0 GB"):
        check_memory((10**6, 10**6), CPU, name="x.png")
    check_memory((100, 100), CPU, name="x.png")


def test_what_torch_raises_for_lack_of_memory_is_told_with_the_remedy():
    with (
        pytest.raises(UserError, match=r"x\.png: not enough memory on cpu; give less"),
        memory_errors("x.png", CPU, "less"),
    ):
        torch.empty(2**60)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shape"), memory_errors("x.png", CPU, "less"):
        torch.zeros(2).view(3)
