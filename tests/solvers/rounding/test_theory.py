"""Bounds against truth: on random Hessians, by minimisation, by rounding."""

import math

import numpy as np
import pytest
import scipy.optimize

from quincunx._errors import ModelError
from quincunx.solvers.linalg import RandomHadamard
from quincunx.solvers.linalg.flat import factors
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding.theory import (
    block_ldlq_bound,
    bounds,
    expected_hessian_incoherence,
    expected_weight_incoherence,
    hessian_incoherence,
    trace_of_d,
    weight_incoherence,
)


def random_hessian(n, seed, *, rank=None, coherent=False):
    """Second moments of random inputs, of full rank or less, with channels alike or not."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rank or 2 * n, rank or n)) @ rng.normal(size=(rank or n, n))
    inputs = mixed * (np.exp(2 * rng.normal(size=n)) if coherent else 1)
    return inputs.T @ inputs / len(inputs)


def round_with_feedback(weights, hessian, rounded):
    """LDLQ by its definition, one column after the other from the last: the errors it leaves."""
    lower = block_ldl(hessian).lower
    values = np.zeros_like(weights)
    for k in range(len(hessian) - 1, -1, -1):
        feedback = (weights - values)[:, k + 1 :] @ lower[k + 1 :, k]
        values[:, k] = rounded(weights[:, k] + feedback)
    return values - weights


def test_the_trace_of_d_is_below_the_spectral_bound_on_1000_hessians():
    tightest = 0.0
    for seed in range(1000):
        n = 2 + seed % 23
        rank = 1 + seed % n if seed % 3 == 0 else None
        hessian = random_hessian(n, seed, rank=rank, coherent=seed % 2 == 0)
        b = bounds(hessian, rows=1)
        # Singular Hessians are decomposed with a little added, by 1e-14 of the trace or so.
        assert b.trace_d <= b.spectral * (1 + 1e-9)
        assert b.trace_d <= b.trace * (1 + 1e-9)
        tightest = max(tightest, b.trace_d / b.spectral)
    assert tightest > 0.5  # the bound is not empty


@pytest.mark.parametrize("seed", range(5))
def test_no_linear_feedback_beats_that_of_ldl(seed):
    n = 6
    hessian = random_hessian(n, seed, coherent=True)
    hessian /= np.trace(hessian)
    below = np.tril_indices(n, -1)

    def loss(entries):
        feedback = np.eye(n)
        feedback[below] = entries
        return np.trace(feedback @ hessian @ feedback.T)

    found = scipy.optimize.minimize(loss, np.zeros(len(below[0])), method="BFGS", tol=1e-9)
    ours = np.linalg.inv(block_ldl(hessian).lower)[below]
    assert loss(ours) == pytest.approx(trace_of_d(hessian), rel=1e-9)
    assert loss(ours) <= found.fun * (1 + 1e-12)
    assert found.fun == pytest.approx(trace_of_d(hessian), rel=1e-4)


@pytest.mark.parametrize("coherent", [False, True])
def test_mean_losses_are_those_of_theory(coherent):
    n, rows = 24, 20_000
    hessian = random_hessian(n, 3, coherent=coherent)
    b = bounds(hessian, rows=1)
    rng = np.random.default_rng(0)
    weights = rng.uniform(-50, 50, size=(rows, n))
    cases = {
        b.ldlq_mean: round_with_feedback(weights, hessian, np.round),
        b.stochastic_mean: round_with_feedback(
            weights, hessian, lambda x: np.floor(x + rng.random(len(x)))
        ),
        b.nearest_mean: np.round(weights) - weights,
    }
    for mean, errors in cases.items():
        losses = np.einsum("ij,jk,ik->i", errors, hessian, errors)
        assert abs(losses.mean() - mean) < 4 * losses.std() / math.sqrt(rows)
        if mean == b.ldlq_mean:
            assert losses.max() <= b.ldlq_worst
    assert b.ldlq_mean < 0.8 * b.nearest_mean


@pytest.mark.parametrize("block", [1, 2, 8])
def test_the_bound_of_blocks_holds(block):
    for seed in range(20):
        hessian = random_hessian(24, seed, coherent=seed % 2 == 0)
        # Rounding to whole numbers: sigma^2 = 1/12, and the mean loss is tr D / 12.
        mean = 5 * trace_of_d(hessian, block) / 12
        assert trace_of_d(hessian) <= trace_of_d(hessian, block) * (1 + 1e-12)
        assert mean <= block_ldlq_bound(hessian, rows=5, block=block, error=1 / 12)
    n = len(hessian)
    expected = block * 5 * bounds(hessian, rows=1).spectral / 12
    assert block_ldlq_bound(hessian, 5, block, 1 / 12) == pytest.approx(expected)
    assert n % block == 0


def test_incoherence_is_at_its_ends_where_it_should_be():
    assert hessian_incoherence(np.diag([1.0, 2, 3, 4])) == 2
    assert hessian_incoherence(np.array([[1, 0.5], [0.5, 1]])) == pytest.approx(1)
    assert weight_incoherence(-np.ones((3, 5))) == pytest.approx(1)
    assert weight_incoherence(np.eye(1, 12).reshape(3, 4)) == pytest.approx(math.sqrt(12))
    assert weight_incoherence(np.zeros((2, 2))) == 1


@pytest.mark.parametrize("n", [64, 60, 37, 45])
def test_transformed_problems_are_as_incoherent_as_promised(n):
    """And as those of a Haar matrix, whose mu is about sqrt(4 log n)."""
    rng = np.random.default_rng(n)
    axes, weights = np.diag(rng.uniform(1, 2, n)), np.zeros((n, n))
    weights[:2] = rng.normal(size=(2, n))
    flatness, risk, count = factors(n).flatness, 0.05, 40
    ours, haar, exceeded = [], [], 0
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    hessian = basis @ axes @ basis.T
    for seed in range(count):
        left, right = RandomHadamard(n, seed), RandomHadamard(n, seed + 1000)
        mu = hessian_incoherence(right.apply(right.apply(hessian).T))
        mu_w = weight_incoherence(left.apply(right.apply(weights).T).T)
        exceeded += mu > expected_hessian_incoherence(n, flatness=flatness, risk=risk)
        exceeded += mu_w > expected_weight_incoherence(n, n, flatness=flatness**2, risk=risk)
        ours.append(mu)
        rotation = np.linalg.qr(rng.normal(size=(n, n)))[0]
        haar.append(hessian_incoherence(rotation @ hessian @ rotation.T))
    assert exceeded <= 2 * risk * count
    assert np.mean(ours) < 1.05 * np.mean(haar)


def test_the_promises_are_those_of_the_paper():
    # log(2 4096^2 / 0.01) = 25 log 2 + log 100 = 21.93385
    assert expected_hessian_incoherence(4096, risk=0.01) == pytest.approx(43.8677**0.5, rel=1e-5)
    assert expected_weight_incoherence(64, 32, risk=0.1) == 2 * math.log(4 * 64 * 32 / 0.1)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    hessian = random_hessian(24, 1, coherent=True)
    ours, theirs = bounds(hessian, rows=3), bounds(torch.asarray(hessian), rows=3)
    assert theirs.ldlq_mean == pytest.approx(ours.ldlq_mean, rel=1e-10)
    assert theirs.spectral == pytest.approx(ours.spectral, rel=1e-10)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="0 rows"):
        bounds(np.eye(3), rows=0)
    with pytest.raises(ModelError, match="square"):
        bounds(np.ones((3, 2)), rows=1)
    with pytest.raises(ModelError, match="do not divide 3"):
        trace_of_d(np.eye(3), 2)
