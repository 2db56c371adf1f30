"""Schwarzian derivatives and complete lists of attractors, against dense sampling."""

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from quincunx.solvers.dynamics.certify.line import trap
from quincunx.solvers.dynamics.certify.schwarzian import attractors, schwarzian_negative
from tests.solvers.dynamics.line_problems import (
    CASCADE,
    HINGE,
    drawn,
    exact_derivatives,
    number,
    step_for,
)


@pytest.fixture(autouse=True)
def _digits():
    before, mp.dps = mp.dps, 50
    yield
    mp.dps = before


def schwarzian(problem, step, w):
    """Return S T at points in double precision."""
    _, second, third, fourth = problem.derivatives(w)
    slope = 1 - step * second
    return -step * fourth / slope - 1.5 * (step * third / slope) ** 2


def check_schwarzian(problem, step):
    found = schwarzian_negative(problem, step)
    grid = np.linspace(float(found.within.low), float(found.within.high), 20_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = schwarzian(problem, float(step), grid)
    if found.negative:
        # Values that are 0 but for rounding have either sign.
        assert not (values > 1e-9).any()
    elif found.positive_at is not None:
        w = number((found.positive_at.low + found.positive_at.high) / 2)
        _, second, third, fourth = exact_derivatives(problem, w)
        s = number(Fraction(step))
        assert fourth * (1 - s * second) + mpf(3) / 2 * s * third**2 < mpf(10) ** -30
    return found.negative, bool((values > 0).any())


def test_schwarzian_against_samples():
    rng = np.random.default_rng(10)
    outcomes = [
        check_schwarzian(problem, step_for(problem, rng.uniform(1.2, 4)))
        for problem in (drawn(rng, int(rng.integers(2, 5)), spread=2) for _ in range(30))
    ]
    assert {negative for negative, _ in outcomes} == {True, False}
    assert not any(negative and seen for negative, seen in outcomes)
    # Where no sample is positive, the proof succeeds but for borderline cases.
    assert sum(not negative and not seen for negative, seen in outcomes) <= 1


def test_one_scale_has_a_negative_schwarzian():
    for step in (13, 17, 30):
        assert schwarzian_negative(CASCADE, step).negative
    found = schwarzian_negative(HINGE, 6)
    assert not found.negative
    assert found.positive_at is not None
    assert "not negative at" in str(found)


def check_attractors(problem, step, rng):
    """Follow random orbits: each must end on a cycle that is listed, where all are said to be."""
    found = attractors(problem, step)
    if not found.complete:
        return found
    radius = float(trap(problem.exact, Fraction(step)).radius)
    w = rng.uniform(-radius, radius, (200, 1))
    for _ in range(3000):
        w = problem.map(w, float(step))
    points = np.concatenate([c.points[:, 0] for c in found.cycles])
    away = np.abs(w - points).min(1)
    near = np.abs(np.concatenate([c.multipliers.real for c in found.cycles])).max() < 0.98
    # Multipliers near 1 are too slow for 3000 steps.
    assert not near or away.max() < 1e-6 * (1 + np.abs(points).max())
    assert all(c.stable for c in found.cycles)
    return found


def test_attractors_of_random_problems():
    rng = np.random.default_rng(11)
    found = [
        check_attractors(problem, step_for(problem, rng.uniform(1.5, 3.2)), rng)
        for problem in (drawn(rng, int(rng.integers(2, 4))) for _ in range(15))
    ]
    assert sum(f.complete for f in found) > 7
    assert not all(f.complete for f in found)


def test_attractors_of_the_cascade():
    for gamma, period in ((1, 1), (1.99, 1), (2.5, 2), (2.7, 4), (2.77, 8), (2.79, 16)):
        found = attractors(CASCADE, step_for(CASCADE, gamma))
        assert found.complete, found.reason
        assert [c.period for c in found.cycles] == [period]
    chaos = attractors(CASCADE, step_for(CASCADE, 2.83))
    assert not chaos.complete
    assert "chaos" in chaos.reason
    assert "perhaps not all" in str(chaos)


def test_attractors_are_not_said_to_be_all_where_a_critical_point_may_miss_one():
    # There are two, w* and the cycle of period 2, and critical points need not find both.
    found = attractors(HINGE, 6)
    assert not found.complete
    assert "not negative" in found.reason
