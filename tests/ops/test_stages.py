import random

import pytest

from clit_plugin.ops.stages import all_stage_sizes, cascade_sizes, check_sizes, check_stage_sizes, greedy_stage_sizes


@pytest.mark.parametrize(
    ("scale", "stages"),
    [
        (1, []),
        (2, []),
        (4, []),
        (5, [(12, 20)]),
        (12, [(12, 20)]),
        (16, [(12, 20)]),
        (17, [(12, 20), (48, 80)]),
        (24, [(12, 20), (48, 80)]),
        (30, [(12, 20), (48, 80)]),
        (64, [(12, 20), (48, 80)]),
        (65, [(12, 20), (48, 80)]),  # three branches have no more than two grids between them
    ],
)
def test_every_branch_but_the_last_takes_a_factor_of_4(scale, stages):
    assert greedy_stage_sizes((3, 5), (3 * scale, 5 * scale), 3) == stages


@pytest.mark.parametrize(("branches", "count"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3)])
def test_there_are_no_more_grids_than_branches_or_factors_of_4(branches, count):
    assert len(greedy_stage_sizes((3, 5), (300, 500), branches)) == count


def test_one_pixel_more_than_x4_needs_a_second_branch():
    assert greedy_stage_sizes((100, 100), (400, 400), 2) == []
    assert greedy_stage_sizes((100, 100), (401, 401), 2) == [(400, 400)]


def test_the_larger_axis_decides_how_many_branches_take_part():
    assert greedy_stage_sizes((10, 10), (40, 40), 3) == []
    assert greedy_stage_sizes((10, 10), (40, 41), 3) == [(40, 40)]
    assert greedy_stage_sizes((10, 10), (41, 40), 3) == [(40, 40)]


def test_an_axis_that_has_reached_its_output_waits_for_the_other():
    assert greedy_stage_sizes((5, 5), (10, 120), 3) == [(10, 20), (10, 80)]


def test_an_axis_with_a_fractional_scale_stops_at_its_output():
    assert greedy_stage_sizes((5, 7), (17, 70), 2) == [(17, 28)]  # x3.4 and x10


def test_an_axis_that_shrinks_keeps_the_size_of_the_image():
    assert greedy_stage_sizes((8, 5), (4, 50), 2) == [(8, 20)]


def test_no_grid_exceeds_the_output_and_they_ascend():
    rng = random.Random(0)
    for _ in range(300):
        lq_size = (rng.randint(1, 30), rng.randint(1, 30))
        size = tuple(rng.randint(n, 40 * n) for n in lq_size)
        grids = [lq_size, *greedy_stage_sizes(lq_size, size, 4), size]
        for smaller, larger in zip(grids, grids[1:], strict=False):
            assert smaller[0] <= larger[0] and smaller[1] <= larger[1]


def test_the_largest_factor_of_a_branch_can_be_chosen():
    assert greedy_stage_sizes((3, 5), (18, 30), 3, max_factor=2.0) == [(6, 10), (12, 20)]


def test_a_cascade_grows_by_the_product_of_its_factors():
    assert cascade_sizes((8, 10), [1.5, 1.3, 1.2]) == [(12, 15), (16, 20), (19, 23)]  # x1.5, x1.95, x2.34
    assert cascade_sizes((8, 10), []) == []


def test_a_cascade_of_factors_of_4_works_on_the_greedy_grids():
    assert cascade_sizes((3, 5), [4, 4, 1.5])[:-1] == greedy_stage_sizes((3, 5), (72, 120), 3)


def test_all_grids_are_those_of_the_largest_scale():
    assert all_stage_sizes((3, 5), 3) == [(12, 20), (48, 80)]
    assert all_stage_sizes((3, 5), 1) == []


def test_given_grids_become_pairs_of_integers():
    assert check_stage_sizes([[6, 10], (12, 20)], 3) == [(6, 10), (12, 20)]
    assert check_stage_sizes([], 1) == []


@pytest.mark.parametrize(("branches", "given"), [(1, 1), (2, 2), (3, 3)])
def test_more_grids_than_branches_are_refused(branches, given):
    with pytest.raises(ValueError, match=rf"at most {branches - 1} grids for {branches} branch.*got {given}"):
        check_stage_sizes([(8, 8)] * given, branches)


@pytest.mark.parametrize("stage", [(0, 5), (5, 0), (-3, 5), (5,), (5, 5, 5), ()])
def test_a_grid_that_is_not_two_positive_numbers_is_refused(stage):
    with pytest.raises(ValueError, match="stage_sizes: expected two positive integers"):
        check_stage_sizes([stage], 2)


@pytest.mark.parametrize("sizes", [[(3.7, 5)], [(0, 4)], [(4,)], [(4, 4, 4)]])
def test_a_size_that_is_not_two_positive_integers_is_refused(sizes):
    with pytest.raises(ValueError, match="size: expected two positive integers"):
        check_sizes(sizes, "size")
