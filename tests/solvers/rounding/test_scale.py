"""Scales are found on some rows, and mended where other rows show more."""

import math
from dataclasses import replace
from functools import partial

import pytest

from quincunx.solvers.linalg.ldl import decomposed
from quincunx.solvers.rounding import E8P, Grid, Trellis, ldlq
from quincunx.solvers.rounding.ldlq import rounded
from quincunx.solvers.rounding.problem import SCALE_ROWS, prepare, with_scale
from quincunx.solvers.rounding.scale import (
    MOST_CLIMBS,
    _of_some_rows,
    best_scale,
    rounded_at_scale,
    scaled,
)
from tests.solvers.rounding.problems import coherent


def problem_of(size):
    """256 rows, of which every fourth is tried, and as many are larger and are not."""
    weights, hessian = coherent(3, 4 * SCALE_ROWS, 32)
    weights[1::4] *= size
    return prepare(weights, hessian, Grid(2)), partial(rounded, ldl=decomposed(hessian, 1, 0.01))


def test_the_scale_climbs_for_rows_that_were_not_tried():
    problem, rounding = problem_of(8)
    before = scaled(problem, rounding)
    after, found = rounded_at_scale(problem, rounding)
    assert after.codebook.scale > before.codebook.scale
    assert found.loss < 0.95 * rounding(before).loss
    assert found.loss == rounding(after).loss
    same = ldlq(problem.weights, problem.hessian, Grid(2))
    assert same.codebook.scale == after.codebook.scale and same.proxy_loss == found.loss


def test_the_scale_stays_where_all_rows_are_alike():
    problem, rounding = problem_of(1)
    calls = []

    def counted(part):
        calls.append(part.weights.shape[0])
        return rounding(part)

    after, _ = rounded_at_scale(problem, counted)
    assert after.codebook.scale == scaled(problem, rounding).codebook.scale
    assert calls.count(4 * SCALE_ROWS) == 1 and calls.count(SCALE_ROWS) >= 6


def test_a_climb_ends():
    problem, rounding = problem_of(1)
    tried = []

    def falling(part):  # the larger the scale the better, and never as good as expected
        scale = part.codebook.scale
        if part.weights.shape[0] == SCALE_ROWS:
            return replace(rounding(part), loss=math.log(scale) ** 2)
        tried.append(scale)
        return replace(rounding(part), loss=1e9 / scale)

    after, found = rounded_at_scale(problem, falling)
    assert tried == pytest.approx([2 ** (k / 8) for k in range(1 + MOST_CLIMBS)], rel=1e-2)
    assert (after.codebook.scale, found.loss) == (tried[-1], 1e9 / tried[-1])


def test_a_given_scale_is_used():
    problem, rounding = problem_of(8)
    given = with_scale(problem, 0.01)
    after, found = rounded_at_scale(given, rounding)
    assert after is given and found.loss == rounding(given).loss


@pytest.mark.parametrize("least", [0.3, 1.0, 7.0])
def test_the_least_of_a_smooth_loss(least):
    scale, loss = best_scale(lambda s: 2 + math.log(s / least) ** 2, 1.0)
    assert scale == pytest.approx(least, rel=2e-3)
    assert loss == 2 + math.log(scale / least) ** 2


@pytest.mark.parametrize("least", [0.01, 0.3, 1.0, 7.0])
def test_trials_at_once_find_the_same(least):
    calls = []

    def loss(scale):
        return 2 + math.log(scale / least) ** 2

    def losses(scales):
        calls.append(len(scales))
        return [loss(scale) for scale in scales]

    assert best_scale(loss, 1.0, losses) == best_scale(loss, 1.0)
    assert len(calls) <= 3 + 4 / 3 * abs(math.log2(least))  # quarter octaves, three at a time


@pytest.mark.parametrize(
    "codebook",
    [Grid(2), E8P(2), E8P(3), E8P(4), Trellis(2, state_bits=10), Trellis(2, "hyb", tile=(16, 16))],
    ids=str,
)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_rows_of_several_scales_at_once_lose_what_they_lose_by_themselves(codebook, library):
    weights, hessian = coherent(5, 100, 32)
    if library == "torch":
        torch = pytest.importorskip("torch")
        weights, hessian = torch.tensor(weights), torch.tensor(hessian)
    problem = prepare(weights, hessian, codebook)
    ldl = decomposed(problem.hessian, codebook.tile[1], 0.01)
    alone = _of_some_rows(problem, partial(rounded, ldl=ldl))
    assert _of_some_rows(problem, partial(rounded, ldl=ldl), together=True) == pytest.approx(alone)
