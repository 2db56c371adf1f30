"""Descent from nearest rounding, and feedback with limited errors: certificates and the trap."""

import numpy as np
import pytest
import scipy.optimize

from quincunx._errors import ModelError
from quincunx.solvers.rounding import E8P, Grid, ldlq, nearest, proxy_loss
from quincunx.solvers.rounding.balance import balance, constrained, limited_feedback


def random_problem(m, n, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2 * n, n)) @ rng.normal(size=(n, n)) * np.exp(rng.normal(size=n))
    return rng.normal(size=(m, n)), inputs.T @ inputs / (2 * n)


def trap(n):
    """Weights and Hessian on which feedback sends one target after another beyond the grid.

    QuIP's example of a finite grid on which LDLQ loses to nearest rounding, in the order of
    columns that is ours.
    """
    c = 0.01
    hessian = np.ones((n, n)) + np.eye(n)
    hessian[-1, -1] = 1
    first = np.full(n, 2 * c)
    first[-1] = c
    first[0] = 2 * c + n * c**2 / 2
    hessian[0] += first
    hessian[:, 0] += first
    weights = np.full((1, n), 0.499)
    weights[:, 1::2] += 0.002
    return weights[:, ::-1].copy(), hessian[::-1, ::-1].copy()


def test_descent_in_order_of_the_diagonal_never_loses_to_nearest():
    better = 0
    for seed in range(100):
        weights, hessian = random_problem(3, 2 + seed % 15, seed)
        grid = Grid(1 + seed % 4, scale=0.6)
        plain, found = nearest(weights, hessian, grid), balance(weights, hessian, grid)
        better += found.proxy_loss < plain.proxy_loss * (1 - 1e-9)
        assert found.proxy_loss <= plain.proxy_loss * (1 + 1e-12)
        assert found.proxy_loss == pytest.approx(proxy_loss(found.values - weights, hessian))
        np.testing.assert_allclose(grid.decode(found.codes), found.values, rtol=1e-6)
    assert better > 90


def test_descent_does_not_depend_on_the_order_of_columns():
    weights, hessian = random_problem(6, 20)
    order = np.random.default_rng(1).permutation(20)
    found = balance(weights, hessian, Grid(2, scale=0.8), passes=1)
    turned = balance(weights[:, order], hessian[np.ix_(order, order)], Grid(2, scale=0.8), passes=1)
    np.testing.assert_array_equal(turned.codes, found.codes[:, order])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.03, 0.4, 3.0])
def test_limited_feedback_is_optimal(seed, limit):
    _, hessian = random_problem(1, 24, seed)
    found = limited_feedback(hessian, limit)
    spread = np.linalg.inv(found.lower)
    assert np.max(np.abs(np.triu(found.lower, 1))) == 0
    assert np.max(np.sum(spread**2, axis=0)) <= (1 + limit) * (1 + 1e-9)
    assert found.risk == pytest.approx(np.trace(spread @ hessian @ spread.T))
    # The certificate: measured up to 2e-6 of the risk.
    assert -1e-9 * found.risk <= found.gap < 1e-5 * found.risk


def test_limited_feedback_agrees_with_another_solver():
    n, limit = 4, 0.2
    _, hessian = random_problem(1, n, 3)
    below = np.tril_indices(n, -1)

    def spread(entries):
        matrix = np.eye(n)
        matrix[below] = entries
        return matrix

    other = scipy.optimize.minimize(
        lambda x: np.trace(spread(x) @ hessian @ spread(x).T) / np.trace(hessian),
        np.zeros(6),
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda x: 1 + limit - np.sum(spread(x) ** 2, axis=0)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert other.success
    found = limited_feedback(hessian, limit)
    assert found.risk == pytest.approx(other.fun * np.trace(hessian), rel=1e-5)


def test_the_limits_ends_are_no_feedback_and_all_of_it():
    weights, hessian = random_problem(8, 20)
    grid = Grid(2, scale=0.8)
    none = constrained(weights, hessian, grid, limit=0)
    np.testing.assert_array_equal(none.codes, nearest(weights, hessian, grid).codes)
    full = constrained(weights, hessian, grid, limit=np.inf)
    plain = ldlq(weights, hessian, grid)
    np.testing.assert_array_equal(full.codes, plain.codes)
    assert full.proxy_loss == pytest.approx(plain.proxy_loss)


@pytest.mark.parametrize("seed", [None, 0])
def test_limits_get_out_of_the_trap(seed):
    weights, hessian = trap(256)
    grid = Grid(2, scale=1.0, levels="uniform", zero=0)
    plain = nearest(weights, hessian, grid).proxy_loss
    lost = ldlq(weights, hessian, grid, damping=0).proxy_loss
    # For 256 such rows 1.63e4 and 4.08e6, as published.
    assert 256 * plain == pytest.approx(16257.7, abs=0.1)
    assert 256 * lost == pytest.approx(4.08e6, rel=1e-3)
    found = constrained(weights, hessian, grid, seed=seed, damping=0)
    # Measured 1.000 of nearest's to the nearest, and 1.003 to 1.02 at random.
    assert found.proxy_loss < 1.05 * plain
    assert found.stats["clamped"] == 0
    assert found.stats["risk_gap"] < 1e-6 * found.stats["risk"]
    assert balance(weights, hessian, grid).proxy_loss <= plain


def test_random_rounding_with_limits_is_right_on_average():
    weights, hessian = random_problem(2, 6)
    weights = np.clip(weights, -0.5, 0.5)
    grid = Grid(4, scale=0.4)
    found = [constrained(weights, hessian, grid, seed=seed) for seed in range(300)]
    spread = np.std([f.values for f in found], axis=0) / np.sqrt(len(found))
    assert all(f.stats["clamped"] == 0 for f in found)
    assert np.all(np.abs(np.mean([f.values for f in found], axis=0) - weights) < 5 * spread)
    again = constrained(weights, hessian, grid, seed=7)
    np.testing.assert_array_equal(again.codes, found[7].codes)


def test_libraries_agree():
    weights, hessian = random_problem(6, 20)
    for name in ("array_api_strict", "torch"):
        library = pytest.importorskip(name)
        given = [library.asarray(array) for array in (weights, hessian)]
        for rounding in (balance, constrained):
            found = rounding(weights, hessian, Grid(2))
            other = rounding(*given, Grid(2))
            assert type(other.values) is type(given[0])
            np.testing.assert_array_equal(np.asarray(other.codes), found.codes)


def test_degenerate_hessians():
    weights, hessian = random_problem(4, 10)
    hessian[:, 4] = hessian[4, :] = 0.0
    rank_one = np.outer(hessian[0], hessian[0])
    for matrix in (hessian, rank_one, np.zeros((10, 10))):
        for rounding in (balance, constrained):
            found = rounding(weights, matrix, Grid(2))
            assert np.all(np.isfinite(found.values)) and np.isfinite(found.proxy_loss)


def test_refusals():
    weights, hessian = random_problem(4, 8)
    for rounding in (balance, constrained):
        with pytest.raises(ModelError, match="is no grid"):
            rounding(weights, hessian, E8P())
    with pytest.raises(ModelError, match="passes is -1"):
        balance(weights, hessian, Grid(2), passes=-1)
    with pytest.raises(ModelError, match=r"limit is -0\.1"):
        constrained(weights, hessian, Grid(2), limit=-0.1)
    with pytest.raises(ModelError, match="no equal steps"):
        constrained(weights, hessian, Grid(2, levels="lloyd-max"))
