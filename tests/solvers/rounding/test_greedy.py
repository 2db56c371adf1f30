"""Greedy passes: never worse, and where nothing can be moved they stop."""

import itertools

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.rounding import E8P, Grid, decode, greedy, ldlq, nearest, proxy_loss
from tests.solvers.rounding.problems import coherent, degenerate, draw


def check_never_worse(first, last):
    for seed in range(first, last):
        rng = np.random.default_rng([seed, 2])
        columns = int(rng.integers(1, 24))
        kind = seed % 4
        if kind == 3:
            weights, hessian = rng.normal(size=(3, columns)), degenerate(seed // 4, columns)
        else:
            weights, hessian = (draw, coherent)[kind % 2](seed, 3, columns)
        if seed % 5 == 4:
            weights, hessian = weights.astype(np.float32), hessian.astype(np.float32)
            if not np.isfinite(hessian).all():
                continue
        codebook = E8P() if seed % 50 == 0 else Grid(1 + seed % 4)
        start = (ldlq, nearest)[seed % 2](weights, hessian, codebook)
        found = greedy(weights, hessian, codebook, start=start, passes=1 + seed % 3)
        exact = hessian.astype(float)
        before = proxy_loss(start.values.astype(float) - weights, exact)
        after = proxy_loss(found.values.astype(float) - weights, exact)
        assert after <= before * (1 + 1e-15), seed


def test_never_worse():
    check_never_worse(0, 400)


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, 10_000, 2500))
def test_ten_thousand_are_never_worse(first):
    check_never_worse(first, first + 2500)


@pytest.mark.parametrize("columns", [10, 200])
@pytest.mark.parametrize("codebook", [Grid(2), Grid(4, levels="lloyd-max"), E8P()])
def test_it_ends_where_no_single_tile_can_be_better(codebook, columns):
    weights, hessian = draw(1, 6, columns)
    found = greedy(weights, hessian, codebook, passes=100)
    assert found.stats["passes"] < 100
    again = greedy(weights, hessian, codebook, start=found)
    assert again.stats["moved"] == 0 and np.array_equal(again.codes, found.codes)
    exact = proxy_loss(found.values - weights, hessian)
    assert found.proxy_loss == pytest.approx(exact, rel=1e-9)
    assert np.allclose(decode(found.codebook, found.codes, weights.shape), found.values, atol=1e-6)


def test_a_fixed_point_is_one_by_enumeration():
    weights, hessian = draw(2, 1, 6)
    grid = Grid(2, scale=0.7)
    found = greedy(weights, hessian, grid, passes=50)
    points = (np.arange(4) - grid.center) * grid.scale
    for k, point in itertools.product(range(6), points):
        moved = found.values.copy()
        moved[0, k] = point
        assert proxy_loss(moved - weights, hessian) >= found.proxy_loss * (1 - 1e-9)


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
@pytest.mark.parametrize("codebook", [Grid(2), E8P()])
def test_libraries_agree(library, codebook):
    xp = pytest.importorskip(library)
    weights, hessian = draw(3, 5, 144)
    ours = greedy(weights, hessian, codebook, start=ldlq(weights, hessian, codebook))
    w, h = xp.asarray(weights), xp.asarray(hessian)
    other = greedy(w, h, codebook, start=ldlq(w, h, ours.codebook))
    assert other.proxy_loss == pytest.approx(ours.proxy_loss, rel=1e-6)


def test_helps_after_ldlq():
    weights, hessian = coherent(0, 32, 128)
    start = ldlq(weights, hessian, Grid(2))
    assert greedy(weights, hessian, Grid(2), start=start).proxy_loss < 0.95 * start.proxy_loss


def test_starts_are_of_the_same_problem():
    weights, hessian = draw(0, 4, 16)
    other = nearest(weights[:2], hessian, Grid(2))
    with pytest.raises(ModelError, match="start has values"):
        greedy(weights, hessian, Grid(2), start=other)
    with pytest.raises(ModelError, match="passes"):
        greedy(weights, hessian, Grid(2), passes=-1)
