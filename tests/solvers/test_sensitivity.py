"""Derivatives of the inconsistency: finite differences, closed forms, and what has none."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import SolveError
from quincunx.graphs.examples import chest_clinic, weather, weather_clash
from quincunx.solvers.inference.sensitivity import ArcSensitivity, Sensitivity
from tests.problems import random_pdg

A = q.Variable("A", ["a0", "a1"])
B = q.Variable("B", ["b0", "b1", "b2"])
CERTAIN = math.inf
STEP = 1e-4


def solved(pdg, gamma):
    return q.infer(pdg, gamma=gamma, tolerance=1e-11, throw=False)


def inside(pdg, rng):
    """Draw a gamma inside the convex regime."""
    largest = min([a.beta / a.alpha for a in pdg.arcs if a.alpha > 0], default=1.0)
    return float(min(largest, 2.0) * rng.uniform(0.1, 0.8))


def moved(pdg, changes):
    """Add changes (beta, alpha, table) to each arc's numbers."""
    arcs = []
    for arc, (beta, alpha, table) in zip(pdg.arcs, changes, strict=True):
        rows = None if arc.table is None else arc.table + table
        numbers = (rows, arc.alpha + alpha, arc.beta + beta)
        arcs.append(q.Arc(arc.sources, arc.targets, *numbers, arc.label))
    return q.PDG(arcs, pdg.variables)


def tangent(arc, rng):
    """Draw a change of a table that keeps rows' sums and zeros; NaN rows get zeros."""
    rows = np.nan_to_num(arc.rows)
    change = rows * rng.standard_normal(rows.shape)
    return (change - rows * change.sum(axis=1, keepdims=True)).reshape(arc.table.shape)


def directions(pdg, rng):
    """Return changes (betas, alphas, tables, gamma) of one kind each, one entry an arc."""
    n = len(pdg.arcs)
    hard = [math.isinf(a.beta) for a in pdg.arcs]
    still = [np.zeros(a.rows.shape if a.table is None else a.table.shape) for a in pdg.arcs]
    betas = [
        0.0 if h else a.beta * rng.standard_normal() for a, h in zip(pdg.arcs, hard, strict=True)
    ]
    alphas = [rng.standard_normal() if a.alpha else 0.0 for a in pdg.arcs]
    tables = [tangent(a, rng) for a in pdg.arcs]
    soft = [z if h else t for t, z, h in zip(tables, still, hard, strict=True)]
    firm = [t if h else z for t, z, h in zip(tables, still, hard, strict=True)]
    found = {
        "betas": (betas, [0.0] * n, still, 0.0),
        "alphas": ([0.0] * n, alphas, still, 0.0),
        "gamma": ([0.0] * n, [0.0] * n, still, 1.0),
        "soft tables": ([0.0] * n, [0.0] * n, soft, 0.0),
    }
    if any(hard):
        found["hard tables"] = ([0.0] * n, [0.0] * n, firm, 0.0)
    return found


def assert_slope(pdg, gamma, sensitivity, direction):
    """Compare a directional derivative with central differences."""
    betas, alphas, tables, along = direction
    values = []
    for step in (STEP, -STEP):
        changes = [
            (step * b, step * a, step * t) for b, a, t in zip(betas, alphas, tables, strict=True)
        ]
        values.append(solved(moved(pdg, changes), gamma + step * along).inconsistency)
    parts = [along * sensitivity.per_gamma]
    for arc, beta, alpha, table in zip(sensitivity.arcs, betas, alphas, tables, strict=True):
        parts += [beta * arc.per_beta, alpha * arc.per_alpha]
        parts += [] if arc.per_table is None else [float((arc.per_table * table).sum())]
    # Measured over 200 graphs: 5e-7 of the parts' size for a hard table, 2e-7 elsewhere. A solve is
    # off by 1e-12, so a difference by 1e-8.
    scale = sum(map(abs, parts))
    difference = (values[0] - values[1]) / (2 * STEP)
    assert sum(parts) == pytest.approx(difference, abs=1e-5 * scale + 1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_slopes_are_finite_differences(seed):
    pdg = random_pdg(seed, most_worlds=100)
    rng = np.random.default_rng(seed)
    gamma = inside(pdg, rng)
    answer = solved(pdg, gamma)
    if answer.beliefs is None:
        with pytest.raises(SolveError, match="no answer to differentiate"):
            answer.sensitivity()
        return
    sensitivity = answer.sensitivity()
    for direction in directions(pdg, rng).values():
        assert_slope(pdg, gamma, sensitivity, direction)
    finite = [s for s in sensitivity.arcs if math.isfinite(s.arc.beta)]
    total = sum(s.arc.beta * s.per_beta for s in finite) + gamma * sensitivity.per_gamma
    # Homogeneity of degree one; measured 2e-10, the allowance for hard arcs that are missed.
    assert total == pytest.approx(answer.inconsistency, abs=1e-9)
    for s in sensitivity.arcs:
        assert s.per_beta >= 0 and s.per_alpha >= 0
        rows = s.per_table.reshape(s.arc.rows.shape)
        assert (rows[~(s.arc.rows > 0)] == 0).all()
        np.testing.assert_allclose(rows.sum(axis=1), 0, atol=1e-12 * (1 + np.abs(rows).max()))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
def test_every_number_by_itself(seed):
    pdg = random_pdg(seed, most_worlds=60)
    rng = np.random.default_rng(seed)
    gamma = inside(pdg, rng)
    answer = solved(pdg, gamma)
    if answer.beliefs is None:
        return
    sensitivity = answer.sensitivity()
    n = len(pdg.arcs)
    still = [np.zeros(a.table.shape) for a in pdg.arcs]
    for i, arc in enumerate(pdg.arcs):
        one = [float(j == i) for j in range(n)]
        if math.isfinite(arc.beta):
            assert_slope(pdg, gamma, sensitivity, (one, [0.0] * n, still, 0.0))
        if not np.isnan(arc.table).any():  # a silent row with alpha > 0 is not convex
            assert_slope(pdg, gamma, sensitivity, ([0.0] * n, one, still, 0.0))
        for row, p in enumerate(arc.rows):
            support = np.nonzero(p > 0)[0]
            for k in support[1:]:
                change = np.zeros(arc.rows.shape)
                change[row, support[0]], change[row, k] = -p[k], p[k]
                change *= p[support[0]]
                tables = [*still[:i], change.reshape(arc.table.shape), *still[i + 1 :]]
                assert_slope(pdg, gamma, sensitivity, ([0.0] * n, [0.0] * n, tables, 0.0))


def test_two_priors_in_closed_form():
    """At gamma = 0: -(b + c) log sum p^(b/(b+c)) r^(c/(b+c)), with a unique optimum."""
    p, r, b, c = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1]), 0.5, 2.0
    total = b + c
    mean = p ** (b / total) * r ** (c / total)
    mu = mean / mean.sum()
    answer = q.infer(q.PDG([q.Arc([], B, p, 0, b), q.Arc([], B, r, 0, c)]), gamma=0)
    one, other = answer.sensitivity().arcs
    # measured 6e-7, the root of the gap
    assert one.per_beta == pytest.approx((mu * np.log(mu / p)).sum(), abs=1e-5)
    assert other.per_beta == pytest.approx((mu * np.log(mu / r)).sum(), abs=1e-5)
    assert one.per_alpha == other.per_alpha == 0.0
    slope = -b * mu / p
    np.testing.assert_allclose(one.per_table, slope - slope.mean(), atol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_a_network_has_the_slopes_of_its_own_distribution(gamma):
    """Inconsistency 0 at every gamma, beyond the convex regime too, and no slope but in alpha."""
    clinic = chest_clinic()
    answer = q.infer(clinic, gamma=gamma)
    sensitivity = answer.sensitivity()
    assert answer.inconsistency == 0
    assert sensitivity.per_gamma == pytest.approx(0, abs=1e-13)
    for s in sensitivity.arcs:
        assert s.per_beta == pytest.approx(0, abs=1e-13)
        np.testing.assert_allclose(s.per_table, 0, atol=1e-13)
        joint = answer.query([*s.arc.source_names, *s.arc.target_names])
        assert s.per_alpha == pytest.approx(gamma * joint.entropy(given=s.arc.source_names))


@pytest.mark.parametrize(
    ("model", "gamma"),
    [(chest_clinic().to_pdg(), 0.5), (weather(), 1.0)],
    ids=["network", "balanced"],
)
def test_slopes_at_products_are_finite_differences(model, gamma):
    answer = q.infer(model, gamma=gamma)
    assert answer.method.startswith("sum-product")
    rng = np.random.default_rng(0)
    # The balanced product is at the end of the convex regime: away from it lies only this side.
    changes = directions(model, rng)
    wanted = ["soft tables"] if gamma == 1.0 else list(changes)
    for kind in wanted:
        assert_slope(model, gamma, answer.sensitivity(), changes[kind])


def test_hard_arcs_that_overlap_have_no_slope():
    """Moving one of two equal certainties makes a contradiction."""
    hard = [q.Arc([], A, [0.3, 0.7], 0, CERTAIN, name) for name in ("one", "two")]
    soft = q.Arc([], A, [0.5, 0.5], 0)
    found = q.infer(q.PDG([*hard, soft]), gamma=0.5).sensitivity().arcs
    assert np.isnan(found[0].per_table).all() and np.isnan(found[1].per_table).all()
    np.testing.assert_allclose(found[2].per_table, [0.4, -0.4], atol=1e-9)
    alone = solved(q.PDG([hard[0], soft]), 0.5).sensitivity().arcs[0]
    # d/dp of KL(p || 1/2) - gamma H(p), less its mean; measured 1e-8
    slope = 1.5 * np.log([0.3, 0.7])
    np.testing.assert_allclose(alone.per_table, slope - slope.mean(), atol=1e-6)


def test_a_certain_arc_that_a_chain_implies_overlaps_too():
    """p(B) hard, p(A) hard and p(B|A) hard, in agreement: each number is settled twice."""
    prior, channel = np.array([0.3, 0.7]), np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    arcs = [
        q.Arc([], A, prior, 0, CERTAIN, "prior"),
        q.Arc(A, B, channel, 0, CERTAIN, "channel"),
        q.Arc([], B, prior @ channel, 0, CERTAIN, "result"),
    ]
    overlapping = q.infer(q.PDG(arcs), gamma=0.5).sensitivity().arcs
    assert all(np.isnan(s.per_table).all() for s in overlapping)
    apart = q.infer(q.PDG(arcs[:2]), gamma=0.5).sensitivity().arcs
    assert all(np.isfinite(s.per_table).all() for s in apart)


def test_a_table_or_row_that_is_missing():
    channel = [[0.2, 0.3, 0.5], [math.nan] * 3]
    pdg = q.PDG([q.Arc(A, B, channel, 0), q.Arc([], A, None, 0), q.Arc([], B, [0.6, 0.3, 0.1])])
    one, bare, _ = q.infer(pdg, gamma=0.5).sensitivity().arcs
    assert (one.per_table[1] == 0).all() and (one.per_table[0] != 0).all()
    assert bare.per_table is None and bare.per_beta == 0 and bare.per_alpha > 0


def test_what_has_no_slopes_says_why():
    with pytest.raises(SolveError, match="in the limit gamma -> 0\\+ need not be differentiable"):
        q.infer(weather()).sensitivity()
    with pytest.raises(SolveError, match="at gamma = 0 need not be differentiable"):
        q.infer(q.PDG([q.Arc(A, B, np.ones((2, 3)) / 3)]), gamma=0).sensitivity()
    with pytest.raises(SolveError, match="no answer to differentiate"):
        q.infer(weather_clash(), throw=False).sensitivity()


def test_the_text_names_every_arc():
    sensitivity = q.infer(weather(), gamma=0.5).sensitivity()
    lines = repr(sensitivity).split("\n")
    assert lines[0].startswith("Sensitivity at gamma = 0.5: ")
    assert [line.split()[-1] for line in lines[2:]] == ["forecast", "barometer", "habit", "plan"]
    assert "<td>habit</td>" in sensitivity._repr_html_()


def test_rounding_is_shown_as_zero():
    arc = q.Arc([], A, [0.5, 0.5], label="even")
    row = ArcSensitivity(arc, -1e-17, 2e-16, np.array([1e-16, -1e-16]))
    text = repr(Sensitivity(0.5, -3e-17, (row,)))
    assert text.split("\n")[0] == "Sensitivity at gamma = 0.5: 0 nats per gamma"
    assert text.split("\n")[2].split() == ["0", "0", "0", "even"]
    small = repr(Sensitivity(1e-6, 1e-7, (ArcSensitivity(arc, 2e-7, 3e-7, None),)))
    assert small.split("\n")[2].split() == ["2e-07", "3e-07", "-", "even"]
