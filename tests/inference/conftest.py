"""What the tests of inference share."""

import pytest
from inference_helpers import write_weights


@pytest.fixture
def clit(tmp_path):
    """(network, its weights file)"""
    path = tmp_path / "clit.pth"
    return write_weights(path), path
