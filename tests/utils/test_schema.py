"""YAML mappings are checked against dataclasses and signatures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch

from clit_plugin.utils.errors import UserError
from clit_plugin.utils.schema import check_arguments, check_known, key, parse

HINT = "a string in YAML: write the number without quotes"


@dataclass(frozen=True, kw_only=True)
class Section:
    steps: int = key("training steps")
    rate: float = key("learning rate", 1e-3)
    kind: Literal["pil", "matlab"] | None = key("kernel", None)
    ranges: list[Any] = key("ranges", [[1, 4]])
    extra: Mapping[str, Any] = key("more", {})


def refusal(function, *arguments, **keywords) -> str:
    """The message of the UserError."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


# ---------------------------------------------------------------------- parse


def test_a_section_is_filled_with_defaults():
    assert parse(Section, {"steps": 3}, "train") == Section(steps=3)


def test_a_default_that_is_a_list_is_not_shared():
    first = parse(Section, {"steps": 3}, "train")
    first.ranges.append(1)
    assert parse(Section, {"steps": 3}, "train").ranges == [[1, 4]]


def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_key():
    assert refusal(parse, Section, {"steps": 3, "raet": 1}, "train") == "train.raet: unknown key; did you mean rate?"


def test_an_unknown_key_far_from_all_is_refused_with_the_valid_ones():
    message = refusal(parse, Section, {"steps": 3, "zzz": 1}, "train")
    assert message == "train.zzz: unknown key; valid keys: extra, kind, ranges, rate, steps"


def test_a_key_that_is_not_text_is_refused():
    assert refusal(parse, Section, {"steps": 3, 7: 1}, "train").startswith("train.7: unknown key")


def test_a_missing_key_is_refused_with_its_description():
    assert refusal(parse, Section, {"rate": 1}, "train") == "train.steps: missing; training steps"


def test_a_misspelt_key_is_reported_before_the_key_that_it_leaves_missing():
    assert "train.step: unknown key; did you mean steps?" == refusal(parse, Section, {"step": 3}, "train")


def test_a_key_of_the_top_level_has_no_dot_before_it():
    assert refusal(parse, Section, {"steps": 3, "raet": 1}, "").startswith("raet: unknown key")


def test_a_bad_value_is_refused_with_its_path():
    assert refusal(parse, Section, {"steps": 2.5}, "train") == "train.steps: expected a whole number, got 2.5"


def test_check_known_accepts_known_keys():
    check_known({"a": 1}, ["b", "a"], "")


# ---------------------------------------------------------------------- check_arguments


class Plain:
    def __init__(self, *, width: int, names: Sequence[str] = (), factor: float | torch.Tensor = 1.0):
        pass


def passes_on(img, crop_border, test_y_channel=False, **kwargs):
    pass


def unannotated(milestones, gamma=0.1, weights=(1,), mode="mean", flag=False, nothing=None):
    pass


def unresolved(value: "NotThere" = None):  # noqa: F821
    pass


def any_number(*sizes, scale=1):
    pass


def test_arguments_are_converted_to_the_annotated_types():
    checked = check_arguments(Plain, {"width": 64.0, "names": ("a",)}, "encoder")
    assert checked == {"width": 64, "names": ["a"]}
    assert type(checked["width"]) is int


def test_an_unknown_argument_is_refused_with_the_nearest():
    message = refusal(check_arguments, Plain, {"widht": 3}, "encoder")
    assert message == "encoder.widht: unknown key; did you mean width?"


def test_a_missing_argument_is_refused_with_the_function_that_requires_it():
    assert refusal(check_arguments, Plain, {}, "encoder") == "encoder.width: missing; Plain needs it"


def test_an_argument_of_a_wrong_type_is_refused():
    assert "encoder.width: expected a whole number" in refusal(check_arguments, Plain, {"width": "a"}, "encoder")


def test_arguments_supplied_by_the_caller_are_neither_required_nor_allowed():
    check_arguments(Plain, {}, "encoder", given=("width",))
    message = refusal(check_arguments, Plain, {"width": 3}, "encoder", given=("width",))
    assert message.startswith("encoder.width: unknown key")


def test_arguments_supplied_by_the_caller_are_not_allowed_through_kwargs_either():
    message = refusal(check_arguments, passes_on, {"img": 3, "crop_border": 1}, "metric", given=("img",))
    assert message.startswith("metric.img: unknown key")


def test_kwargs_accept_a_key_unlike_any_parameter():
    check_arguments(passes_on, {"img": 1, "crop_border": 1, "colour": 3}, "metric")


def test_kwargs_do_not_accept_a_misspelt_parameter():
    message = refusal(check_arguments, passes_on, {"img": 1, "crop_border": 1, "test_y_chanel": True}, "metric")
    assert message == "metric.test_y_chanel: unknown key; did you mean test_y_channel?"


def test_a_named_parameter_is_required_beside_kwargs():
    assert refusal(check_arguments, passes_on, {"img": 1}, "metric").startswith("metric.crop_border: missing")


def test_args_and_kwargs_are_not_required_arguments():
    check_arguments(any_number, {"scale": 2}, "x")
    assert refusal(check_arguments, any_number, {"scael": 2}, "x") == "x.scael: unknown key; did you mean scale?"


def test_annotations_of_foreign_code_that_do_not_resolve_are_skipped():
    assert check_arguments(unresolved, {"value": object}, "x") == {"value": object}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"milestones": ["2e5", 4]}, "milestones[0]"),
        ({"milestones": "5e3"}, "milestones"),
        ({"milestones": [1], "gamma": "5e-1"}, "gamma"),
        ({"milestones": [1], "nothing": "1e-5"}, "nothing"),
    ],
)
def test_without_annotations_a_number_as_text_is_refused_all_the_same(options, place):
    message = refusal(check_arguments, unannotated, options, "scheduler")
    assert message.startswith(f"scheduler.{place}: expected a number")
    assert HINT in message


def test_without_annotations_text_is_refused_where_the_default_is_a_number():
    message = refusal(check_arguments, unannotated, {"milestones": [1], "gamma": "half"}, "scheduler")
    assert message == "scheduler.gamma: expected a number, got 'half'"


def test_without_annotations_other_values_are_accepted_unchanged():
    options = {"milestones": [1], "weights": [2, "a"], "mode": "1e3", "flag": "no", "nothing": "text"}
    assert check_arguments(unannotated, options, "x") == options


def test_the_options_given_are_not_changed():
    options = {"width": 64.0}
    check_arguments(Plain, options, "x")
    assert re.fullmatch(r"64\.0", str(options["width"]))
