import math

import pytest

from clit_plugin.data.scale_schedule import check_scale_ranges, clip_scales, schedule
from clit_plugin.utils.errors import UserError

STAGE_2 = [[(1.0, 4.0)], [(1.0, 4.0), (1.0, 4.0)]]
STAGE_3 = [*STAGE_2, [(1.0, 4.0), (1.0, 4.0), (1.0, 2.0)]]


def draw(ranges, batches, *, epoch=0, seed=0):
    return [schedule(ranges, seed=seed, epoch=epoch, batch_index=i) for i in range(batches)]


def test_every_scale_lies_in_its_range():
    ranges = [[(1.0, 4.0), (2.5, 3.0), (7.0, 7.0)]]
    for first, second, third in draw(ranges, 200):
        assert 1 <= first < 4
        assert 2.5 <= second < 3
        assert third == 7


def test_scales_are_uniform_in_their_range():
    scales = sorted(scale for (scale,) in draw([[(1.0, 4.0)]], 2000))
    # The largest distance between the empirical distribution and the uniform one (Kolmogorov-Smirnov, 0.1 %).
    distance = max(abs((scale - 1) / 3 - i / 2000) for i, scale in enumerate(scales))
    assert distance < 1.95 / math.sqrt(2000)


def test_the_scales_of_the_branches_are_drawn_independently():
    draws = draw([[(1.0, 4.0), (1.0, 4.0)]], 2000)
    correlation = sum((a - 2.5) * (b - 2.5) for a, b in draws) / 2000 / (9 / 12)
    assert abs(correlation) < 0.1


@pytest.mark.parametrize(
    ("ranges", "lengths"), [([[(1.0, 4.0)]], [1, 1, 1, 1, 1, 1]), (STAGE_2, [1, 2] * 3), (STAGE_3, [1, 2, 3] * 2)]
)
def test_alternatives_take_turns(ranges, lengths):
    assert [len(scales) for scales in draw(ranges, 6)] == lengths


def test_alternatives_take_turns_in_epochs_of_one_batch():
    lengths = [len(schedule(STAGE_3, seed=0, epoch=epoch, batch_index=0)) for epoch in range(6)]
    assert lengths == [1, 2, 3, 1, 2, 3]


def test_scales_depend_only_on_seed_epoch_and_batch():
    scales = {
        (seed, epoch, i): schedule([[(1.0, 4.0)]], seed=seed, epoch=epoch, batch_index=i)
        for seed in range(3)
        for epoch in range(3)
        for i in range(3)
    }
    assert len(set(scales.values())) == 27
    for (seed, epoch, i), value in reversed(scales.items()):
        assert schedule([[(1.0, 4.0)]], seed=seed, epoch=epoch, batch_index=i) == value


def test_scales_are_plain_numbers():
    assert all(type(scale) is float for scale in schedule(STAGE_3, seed=0, epoch=0, batch_index=2))


@pytest.mark.parametrize(
    ("scales", "limit", "clipped"),
    [
        ((3.0,), 4.0, (3.0,)),
        ((3.0,), 3.0, (3.0,)),
        ((3.0,), 2.5, (2.5,)),
        ((3.0,), 1.0, (1.0,)),
        ((4.0, 2.0), 8.0, (4.0, 2.0)),
        ((4.0, 2.0), 5.0, (2.5, 2.0)),
        ((4.0, 2.0), 2.0, (1.0, 2.0)),
        ((4.0, 2.0), 1.5, (1.0, 1.5)),
        ((4.0, 4.0, 2.0), 16.0, (2.0, 4.0, 2.0)),
        ((4.0, 4.0, 2.0), 6.0, (1.0, 3.0, 2.0)),
        ((4.0, 4.0, 2.0), 1.2, (1.0, 1.0, 1.2)),
        ((), 3.0, ()),
    ],
)
def test_the_first_scale_shrinks_before_the_next(scales, limit, clipped):
    assert clip_scales(scales, limit) == pytest.approx(clipped)


def test_clipped_scales_never_round_beyond_the_image():
    for side in range(48, 400):
        for scales in ((12.0,), (3.7, 2.9), (1.1, 3.3, 2.0)):
            clipped = clip_scales(scales, side / 48)
            assert round(48 * math.prod(clipped)) == min(side, round(48 * math.prod(scales)))
            assert min(clipped) >= 1


def test_clipping_to_less_than_1_is_refused():
    with pytest.raises(ValueError, match=r"limit: expected at least 1, got 0\.99"):
        clip_scales((2.0,), 0.99)


def test_checked_ranges_are_pairs_of_numbers():
    assert check_scale_ranges([[[1, 4]], [[1, 4], (1, 2.5)]]) == [[(1.0, 4.0)], [(1.0, 4.0), (1.0, 2.5)]]
    assert check_scale_ranges([[[3, 3]]]) == [[(3.0, 3.0)]]


@pytest.mark.parametrize(
    "value",
    [
        None,
        4,
        "1-4",
        [],
        [[]],
        [1, 4],
        [[1, 4]],
        [[[1, 4], []]],
        [[[1]]],
        [[[1, 2, 3]]],
        [[[4, 1]]],
        [[[0.99, 4]]],
        [[["1", "4"]]],
        [[[1, True]]],
        [[[1, float("inf")]]],
        [[[1, float("nan")]]],
        {"a": [[1, 4]]},
    ],
)
def test_ranges_of_another_shape_are_refused_with_an_example(value):
    with pytest.raises(UserError, match=r"scale_ranges: expected .* as in \[\[\[1, 4\]\], \[\[1, 4\], \[1, 4\]\]\]"):
        check_scale_ranges(value)
