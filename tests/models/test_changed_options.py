"""Optimisers and schedulers resumed with changed settings, against those that had them from the start."""

import pytest
import torch
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR, MultiStepRestartLR

from clit_plugin.models.resume import differences, resume_optimizer, resume_scheduler
from clit_plugin.utils.errors import UserError

MULTI = (MultiStepRestartLR, {"milestones": [3, 5], "gamma": 0.5})
TWICE = (MultiStepRestartLR, {"milestones": [2, 2, 6], "gamma": 0.1, "restarts": [0, 4], "restart_weights": [1, 0.5]})
COSINE = (CosineAnnealingRestartLR, {"periods": [8], "eta_min": 1e-6})
RESTARTS = (CosineAnnealingRestartLR, {"periods": [3, 9], "restart_weights": [1, 0.5]})


def build(kind, settings, lr=1e-3):
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr)
    return adam, kind(adam, **settings)


def rates(adam, schedule, steps):
    found = []
    for _ in range(steps):
        adam.step()
        schedule.step()
        found.append(adam.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("new", [MULTI, TWICE, COSINE, RESTARTS], ids=["multi", "twice", "cosine", "restarts"])
@pytest.mark.parametrize("old", [MULTI, COSINE], ids=["multi", "cosine"])
@pytest.mark.parametrize("done", [0, 1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("lr", [1e-3, 3e-4])
def test_a_resumed_schedule_continues_as_if_configured_from_the_start(old, new, done, lr):
    first, schedule = build(*old)
    rates(first, schedule, done)
    second, resumed = build(*new, lr=lr)
    list(resume_optimizer(second, first.state_dict()))
    changed = list(resume_scheduler(resumed, schedule.state_dict()))
    assert bool(changed) == (old != new or lr != 1e-3)
    whole, uninterrupted = build(*new, lr=lr)
    expected = rates(whole, uninterrupted, 8)[done:]
    assert rates(second, resumed, 8 - done) == (expected if not changed else pytest.approx(expected, rel=1e-12))


def test_changes_are_reported_with_both_values():
    first, schedule = build(*MULTI)
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], 2e-3, eps=1e-6)
    resumed = MultiStepRestartLR(adam, milestones=[4], gamma=0.5)
    assert list(resume_optimizer(adam, first.state_dict())) == ["train.optim_g.eps 1e-08 -> 1e-06"]
    assert list(resume_scheduler(resumed, schedule.state_dict())) == [
        "train.scheduler.milestones [3, 5] -> [4]",
        "train.optim_g.lr [0.001] -> [0.002]",
    ]
    assert adam.param_groups[0]["eps"] == 1e-6


def test_a_setting_that_needs_what_the_state_lacks_is_refused():
    first, _ = build(*MULTI)
    second = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], 1e-3, amsgrad=True)
    with pytest.raises(UserError, match="amsgrad: false in the state, and cannot become true on a resume"):
        list(resume_optimizer(second, first.state_dict()))


def test_an_optimiser_state_of_other_weights_is_refused():
    first, _ = build(*MULTI)
    second = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))], 1e-3)
    with pytest.raises(UserError, match="its trainable weights are not those"):
        list(resume_optimizer(second, first.state_dict()))


def test_differences_name_changed_added_and_removed_keys():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": True, "gone": None}
    new = {"a": {"b": 2, "c": [1, 2]}, "d": True, "new": 3}
    assert list(differences(old, new)) == ["a.b 1 -> 2", "gone None -> none", "new none -> 3"]
