"""Convergence from every start, proved, against dense grids and 50-digit arithmetic."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.certify.convergence import (
    Convergence,
    converges_globally,
    gamma_at_most_one,
    no_two_cycle,
)
from quincunx.solvers.dynamics.certify.schwarzian import attractors
from quincunx.solvers.dynamics.logistic import Logistic
from tests.solvers.dynamics.line_problems import (
    CASCADE,
    HINGE,
    drawn,
    grid_count,
    step_for,
)


@pytest.fixture(autouse=True)
def _digits():
    before, mp.dps = mp.dps, 50
    yield
    mp.dps = before


def check_global(problem, step):
    """Prove convergence in both ways, and follow orbits."""
    one, two = gamma_at_most_one(problem, step), no_two_cycle(problem, step)
    assert one.valid
    assert two.valid
    assert one.verify()
    assert two.verify()
    radius = float(two.radius)
    w = np.linspace(-radius, radius, 101)[:, None]
    for _ in range(500):
        w = problem.map(w, float(step))
    reached = np.abs(w - problem.minimizer()).max()
    # Slow ones, with multipliers 1 - gamma near 1, have at least come nearer.
    assert reached < max(1e-6, radius)


def random_at_most_one(rng):
    problem = drawn(rng, int(rng.integers(2, 11)))
    gamma = rng.choice([rng.uniform(0.05, 1), 1 - 10 ** rng.uniform(-9, -2)])
    # Rounded down, so that gamma stays at most 1.
    return problem, f"{gamma / problem.sharpness * (1 - 1e-12):.15g}"


def test_random_problems_at_gamma_at_most_one():
    rng = np.random.default_rng(7)
    for _ in range(30):
        check_global(*random_at_most_one(rng))


@pytest.mark.full
def test_a_thousand_problems_at_gamma_at_most_one():
    rng = np.random.default_rng(8)
    for _ in range(1000):
        check_global(*random_at_most_one(rng))


def test_scales_six_orders_apart():
    problem = Logistic(["0.001108", "-6.2168", "-1619.1"])
    step = Fraction("2e-5")
    assert gamma_at_most_one(problem, step).verify()
    assert no_two_cycle(problem, step).verify()
    larger = converges_globally(problem, step * 10**9)
    assert larger.valid or larger.two_cycle is not None
    assert attractors(problem, step).complete


def test_gamma_of_one_exactly():
    # lambda is 0.16 and w* is log 4: whether step lambda <= 1 is not to be decided in balls.
    one = gamma_at_most_one(CASCADE, "6.25")
    assert not one.valid
    assert "not decided" in one.message
    assert no_two_cycle(CASCADE, "6.25").valid
    found = converges_globally(CASCADE, "6.25")
    assert found.valid
    assert found.route == "no cycle of period two"
    assert found.verify()
    above = gamma_at_most_one(CASCADE, "6.26")
    assert not above.valid
    assert "says nothing" in above.message


@pytest.mark.parametrize("gamma", [1.5, 1.9])
def test_negative_controls_converge(gamma):
    # The outlier of size 20 is too near for a cycle.
    problem = Logistic([1, -1, 20], [51, 49, 1])
    found = converges_globally(problem, step_for(problem, gamma))
    assert found.valid
    assert found.verify()
    assert found.gamma.midpoint == pytest.approx(gamma, rel=1e-7)


@pytest.mark.parametrize("gamma", ["1.01", "1.9999", "1.99999999"])
def test_balanced_points_converge_up_to_two(gamma):
    # Corollary: w* = 0 and lambda = L, so that every step below 2 / lambda descends.
    problem = Logistic([1, -1, 3, -3], [1, 1, 2, 2])
    step = Fraction(gamma) / Fraction(19, 4 * 3)
    assert converges_globally(problem, step).verify()
    assert converges_globally(CASCADE, Fraction(gamma) / Fraction("0.16")).verify()


def test_l2_terms():
    # With step l2 >= 1, T falls everywhere.
    for step, valid in (("0.5", True), ("2.5", True), ("2.8", False), ("3.9", False)):
        found = converges_globally(Logistic([1, -1], [3, 2], "0.5"), step)
        assert found.valid == valid
        assert found.verify() == valid
    separable = Logistic([1, 2], None, "0.1")
    assert converges_globally(separable, 4).verify()
    with pytest.raises(ModelError, match="throws w ever further"):
        converges_globally(separable, 20)


def test_convergence_and_grids_never_disagree():
    rng = np.random.default_rng(9)
    outcomes = set()
    for _ in range(25):
        problem = drawn(rng, 3)
        step = step_for(problem, rng.uniform(1, 2.6))
        found = converges_globally(problem, step)
        zeros = grid_count(problem, float(step), 2, float(found.radius))
        assert found.valid == (zeros == 1)
        assert found.valid or found.two_cycle is not None
        outcomes.add(found.valid)
    assert outcomes == {True, False}


def test_certificate_as_json(tmp_path):
    found = no_two_cycle(CASCADE, "12.499999")
    assert found.valid
    assert found.boxes > 3
    found.save(tmp_path / "proof.json")
    read = Convergence.from_json(json.loads((tmp_path / "proof.json").read_text()))
    assert read == found
    assert read.verify()
    for changed in (
        {"step": Fraction("12.6")},
        {"cuts": found.cuts[:-1]},
        {"cuts": found.cuts[:1] + found.cuts[2:]},
        {"cuts": ()},
        {"near": None},
        {"radius": found.radius / 2},
        {"gamma": dataclasses.replace(found.gamma, low=found.gamma.high)},
        {"minimizer": dataclasses.replace(found.minimizer, high=found.minimizer.low)},
        {"valid": False},
        {"message": "Proof: trust me."},
        {"route": "gamma at most one"},
    ):
        assert not dataclasses.replace(found, **changed).verify(), changed
    refuted = converges_globally(HINGE, 6)
    assert Convergence.from_json(json.loads(json.dumps(refuted.to_json()))) == refuted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "another"),
        ("version", 99),
        ("route", "hope"),
        ("bits", 10),
        ("cuts", ["x"]),
        ("gamma", ["1"]),
        ("multiplicities", ["1"]),
        ("valid", "yes"),
    ],
)
def test_damaged_certificates(key, value):
    entries = {**no_two_cycle(CASCADE, 12).to_json(), key: value}
    with pytest.raises(FileFormatError):
        Convergence.from_json(entries)
