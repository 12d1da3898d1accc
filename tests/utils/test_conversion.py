"""A value from YAML is checked and converted by an annotation."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch

from clit_plugin.utils.conversion import check_mapping, choose, convert
from clit_plugin.utils.errors import UserError

HINT = "a string in YAML: write the number without quotes"


def refusal(function, *arguments, **keywords) -> str:
    """The message of the UserError."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("options", [None, 3, "text", [1]])
def test_a_value_that_is_not_a_mapping_is_refused(options):
    assert refusal(check_mapping, options, "train") == f"train: expected a mapping, got {options!r}"


def test_a_top_level_value_that_is_not_a_mapping_is_called_options():
    assert refusal(check_mapping, [], "").startswith("options: expected")


GOOD = [
    (3, int, 3),
    (1e6, int, 1_000_000),
    (10**30, int, 10**30),
    (3, float, 3.0),
    (2.5, float, 2.5),
    (True, bool, True),
    ("a", str, "a"),
    (None, type(None), None),
    ("x", Any, "x"),
    ("pil", Literal["pil", "matlab"], "pil"),
    (None, int | None, None),
    (4.0, int | None, 4),
    ("auto", int | Literal["auto"], "auto"),
    (0, int | Literal["auto"], 0),
    ([1, 2.0], list[int], [1, 2]),
    ((1, 2), Sequence[int], [1, 2]),
    ([1, 2, 3], tuple[int, ...], [1, 2, 3]),
    ([2, 3.5], tuple[float, float], [2.0, 3.5]),
    ([2, 3.5], float | tuple[float, float] | None, [2.0, 3.5]),
    ([], list[int], []),
    ([1, "a"], list, [1, "a"]),
    ({"a": 1}, Mapping[str, Any], {"a": 1}),
    ({"a": 1}, dict[str, int], {"a": 1}),
    (3, float | torch.Tensor, 3.0),
    ("x", torch.Tensor, "x"),
    ("x", torch.Tensor | None, "x"),
    ("x", "ForwardReference", "x"),
]


@pytest.mark.parametrize(("value", "hint", "expected"), GOOD, ids=str)
def test_a_fitting_value_is_converted(value, hint, expected):
    converted = convert(value, hint, "key")
    assert converted == expected
    assert type(converted) is type(expected)


def test_whole_floats_inside_lists_become_integers():
    assert [type(item) for item in convert([1.0, 2.0], list[int], "key")] == [int, int]


BAD = [
    (2.5, int, "a whole number, got 2.5"),
    ("a", int, "a whole number, got 'a'"),
    (None, int, "a whole number, got None"),
    (float("inf"), int, "a whole number, got inf"),
    (float("nan"), int, "a whole number, got nan"),
    (float("inf"), float, "a number, got inf"),
    (float("nan"), float, "a number, got nan"),
    ([1], float, "a number, got [1]"),
    (True, int, "a whole number, got True"),
    (False, float, "a number, got False"),
    (True, str, "a string, got True"),
    (True, list[int], "a list, got True"),
    (True, Mapping[str, Any], "a mapping, got True"),
    (1, bool, "true or false, got 1"),
    ("true", bool, "true or false, got 'true'"),
    (3, str, "a string, got 3"),
    (3, type(None), "null, got 3"),
    ("a", list[int], "a list, got 'a'"),
    ([1], Mapping[str, Any], "a mapping, got [1]"),
    ([1, 2, 3], tuple[float, float], "a list of 2, got [1, 2, 3]"),
    ([], tuple[float, float], "a list of 2, got []"),
    ("x", int | None, "a whole number or null, got 'x'"),
    ("autoo", int | Literal["auto"], "a whole number or auto, got 'autoo'"),
    ([1], float | tuple[float, float] | None, "a number or a list of 2 or null, got [1]"),
    (3, Mapping[str, Any] | None, "a mapping or null, got 3"),
    ("fast", float | torch.Tensor, "a number, got 'fast'"),
]


@pytest.mark.parametrize(("value", "hint", "expected"), BAD, ids=str)
def test_an_unfit_value_is_refused_with_what_was_expected(value, hint, expected):
    assert refusal(convert, value, hint, "a.key") == f"a.key: expected {expected}"


@pytest.mark.parametrize("hint", [int, float, int | None, float | torch.Tensor, Sequence[float]])
def test_a_number_that_yaml_reads_as_text_gets_a_hint(hint):
    value = ["5e3"] if hint == Sequence[float] else "5e3"
    assert HINT in refusal(convert, value, hint, "key")


def test_text_that_is_not_a_number_gets_no_hint_about_numbers():
    assert HINT not in refusal(convert, "much", float, "key")


def test_an_item_is_named_by_its_index():
    assert refusal(convert, [1, 2, "x"], Sequence[int], "milestones").startswith("milestones[2]: expected a whole")


def test_an_item_of_a_list_of_fixed_length_has_its_own_type():
    assert refusal(convert, [1, 2.5], tuple[float, int], "key") == "key[1]: expected a whole number, got 2.5"


def test_a_misspelt_choice_is_refused_with_the_nearest():
    message = refusal(convert, "matlap", Literal["pil", "matlab"], "degradation")
    assert message == "degradation: expected one of pil, matlab, got 'matlap'; did you mean matlab?"


def test_a_choice_far_from_all_is_refused_without_a_guess():
    assert refusal(choose, "xyz", ["pil", "matlab"], "key") == "key: expected one of pil, matlab, got 'xyz'"


def test_a_choice_that_is_not_text_is_refused():
    assert "got 5" in refusal(choose, 5, ["pil"], "key")
