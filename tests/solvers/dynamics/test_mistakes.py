"""What a hostile reader found: each case claimed something false, or failed without a reason."""

import json
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics import (
    Logistic,
    attractors,
    certify,
    converges_globally,
    find_cycles,
    read_points,
    schwarzian_negative,
    verify,
)
from quincunx.solvers.dynamics.separability import separability


def derivatives(problem, w):
    """F' to f'''' with 60 digits."""
    total = sum(problem.exact.weights)
    found = [mpf(0)] * 4
    for (z,), c in zip(problem.exact.points, problem.exact.weights, strict=True):
        z, c = mpf(z.numerator) / z.denominator, mpf(c.numerator) / total
        s = 1 / (1 + mp.exp(z * w))
        v = s * (1 - s)
        parts = (-z * s, z**2 * v, -(z**3) * v * (1 - 2 * s), z**4 * v * (1 - 6 * v))
        found = [a + c * b for a, b in zip(found, parts, strict=True)]
    return found


@pytest.mark.parametrize(
    ("points", "weights", "step"),
    [
        ([0.39, -2.78, 0.48, 7.71], [25, 2, 23, 37], "92.271747"),
        ([11.77, -0.16, 0.43, 0.5], [18, 33, 29, 10], "158.60651"),
        ([0.79, -0.21, 3.71, 0.16], [34, 2, 40, 36], "5264.6278"),
    ],
)
def test_the_schwarzian_is_negative_where_it_is_said_to_be(points, weights, step):
    problem = Logistic(points, weights)
    found = schwarzian_negative(problem, step)
    if not found.negative:
        return
    with mp.workdps(60):
        low, high = (
            mpf(v.numerator) / v.denominator for v in (found.within.low, found.within.high)
        )
        eta = mpf(step)
        for k in range(201):
            w = low + (high - low) * k / 200
            first, second, third, fourth = derivatives(problem, w)
            assert fourth * (1 - eta * second) + 1.5 * eta * third**2 > 0
            image = w - eta * first
            assert low - mpf(10) ** -30 <= image <= high + mpf(10) ** -30
    assert "negative on" not in attractors(problem, step).reason


def refuted():
    return converges_globally(Logistic([1, -1], [4, 1]), 13).to_json()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", "6"),
        ("message", "Not so"),
        ("gamma", ["0.1", "0.2"]),
        ("minimizer", ["99", "100"]),
        ("two_cycle", None),
    ],
)
def test_a_refutation_is_proved_again(key, value):
    assert verify(refuted()).two_cycle is not None
    with pytest.raises(ModelError, match="does not hold"):
        verify(refuted() | {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", "1e400"),
        ("l2", "Infinity"),
        ("points", [float("inf")]),
        ("near", 0),
        ("near", []),
        ("cuts", [1.5]),
        ("radius", float("inf")),
    ],
)
def test_damaged_convergence_files_are_refused(key, value):
    entries = converges_globally(Logistic([1, -1], [4, 1]), 11).to_json()
    with pytest.raises(FileFormatError, match="damaged"):
        verify(entries | {key: value})


def test_files_that_are_no_json(tmp_path):
    path = tmp_path / "proof.json"
    path.write_text("[" + "9" * 5000 + "]")
    with pytest.raises(FileFormatError, match="not JSON"):
        verify(path)
    for nothing in (None, [1], 3):
        with pytest.raises(ModelError, match="no certificate"):
            verify(nothing)


def test_seconds_are_a_number():
    entries = certify(Logistic([1, -1], [4, 1]), 14, [[0.76], [2.41]]).to_json()
    for seconds in (float("nan"), float("inf"), -1, "1"):
        with pytest.raises(FileFormatError):
            verify(entries | {"seconds": seconds})


def test_starts_outside_the_span_are_refused():
    problem = Logistic([[1, 0], [-1, 0]], [4, 1])
    cycle = next(c for c in find_cycles(problem, 14, max_period=2, starts=100) if c.period == 2)
    with pytest.raises(ModelError, match="outside the span"):
        certify(problem, 14, cycle, start=["1", "5"])
    proof = certify(problem, 14, cycle, start=["1", "0"])
    assert proof.valid and proof.arrival is not None
    assert "in the box, within the span" in str(proof)


@pytest.mark.parametrize(
    ("points", "weights", "l2", "expected"),
    [
        (
            [[1e4, 0], [-1e4, 0], [0, 1e-4], [0, -1e-4]],
            [3, 1, 3, 1],
            0,
            [np.log(3) / 1e4, np.log(3) * 1e4],
        ),
        (
            [[1e4, 1e4], [-1e4, -1e4], [1e-4, -1e-4], [-1e-4, 1e-4]],
            [3, 1, 3, 1],
            0,
            [np.log(3) / 2 * 1e4, -np.log(3) / 2 * 1e4],
        ),
        ([[1e4, 0], [-1e4, 0], [0, 1e-4]], [3, 1, 3], 1e-12, [np.log(3) / 1e4, 64910.95]),
        ([0.001108, -6.2168, -1619.1], None, 0, [-1.4999165770479225]),
    ],
)
def test_scales_far_apart_have_their_minimiser(points, weights, l2, expected):
    problem = Logistic(points, weights, l2)
    # To the digits of the expected values; the l2 term's is known to seven.
    assert problem.minimizer() == pytest.approx(expected, rel=1e-6)
    exact = [float(v) for v in problem.minimizer(digits=20)]
    assert problem.minimizer() == pytest.approx(exact, rel=1e-9)


def test_the_trapping_ball_holds_the_minimiser_whatever_the_scales():
    problem = Logistic([[1e6, 0], [-1e6, 0], [0, 1e-6], [0, -1e-6]], [3, 1, 3, 1])
    assert problem.trapping_radius(1e-12) > np.linalg.norm(problem.minimizer()) > 1e6
    with pytest.raises(ModelError, match="smaller step"):
        problem.trapping_radius(1e308)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[1e16], [-1]], "overlap"),
        ([[1], [-1], [1e16]], "overlap"),
        ([[1e8], [-1e-8]], "overlap"),
        ([[1e-3, 1e6], [0, -1e6], [0, 2e6]], "quasi-separable"),
        ([[0.001, 1e6], [-0.003, 1e6], [0, -1e6], [0.002, 2e6]], "overlap"),
    ],
)
def test_separability_of_scales_far_apart(rows, kind):
    problem = Logistic(rows)
    assert problem.separability.kind == kind
    assert problem.separability.holds_for(problem.exact.points)


def test_separability_of_many_points():
    rng = np.random.default_rng(0)
    points = [[Fraction(int(v), 1000) for v in z] for z in rng.integers(1, 3000, (1500, 3))]
    assert separability(points).kind == "separable"
    points += [[-v for v in z] for z in points[:3]]
    found = separability(points)
    assert found.holds_for(points) and found.kind != "separable"


def test_points_that_span_less_with_an_l2_term():
    problem = Logistic([[1, 2], [-2, -4]], [3, 1], l2="0.01")
    assert problem.starts(5, 1.0, 0).shape == (5, 2)
    assert find_cycles(problem, 0.5, max_period=1, starts=50)[0].stable


def test_a_misspelt_first_row_is_no_header(tmp_path):
    path = tmp_path / "data.csv"
    for first in ("1x", "nan", "3..1"):
        path.write_text(f"{first}\n-1\n3\n")
        with pytest.raises(FileFormatError, match="line 1"):
            read_points(path)
    path.write_text("z,y,y\n1,1,1\n")
    with pytest.raises(FileFormatError, match="'y' twice"):
        read_points(path)
    path.write_text("1e999999999\n-1\n")
    with pytest.raises(FileFormatError, match="line 1"):
        read_points(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Logistic(5),
        lambda: Logistic(None),
        lambda: Logistic("12"),
        lambda: Logistic([1, -1], 4),
        lambda: Logistic([1, -1], "41"),
        lambda: Logistic.from_labels([[1]], None),
        lambda: Logistic(["1e400", -1]),
        lambda: Logistic([1e200, -1e-200]),
        lambda: Logistic([1, -1], l2="1e-400"),
        lambda: find_cycles(Logistic([1, -1]), None),
        lambda: find_cycles(Logistic([1, -1]), [6]),
        lambda: find_cycles(Logistic([1, -1]), 1, max_period=2.5),
        lambda: find_cycles(Logistic([1, -1]), 1, starts="3"),
        lambda: find_cycles(Logistic([1, -1]), 1, seed=-1),
        lambda: certify(Logistic([1, -1], [4, 1]), np.array([1.0, 2.0]), [[1.0]]),
        lambda: certify(Logistic([1, -1], [4, 1]), 14, [[0.76], [2.41]], start=["1e400"]),
        lambda: converges_globally(Logistic([1, -1]), "1e400"),
        lambda: converges_globally(Logistic([1, -1]), 1, bits=-1),
        lambda: converges_globally(Logistic([1, -1]), 1, bits=2.5),
    ],
)
def test_what_is_no_input_is_refused_by_name(make):
    with pytest.raises(ModelError):
        make()


def test_certificates_survive_a_trip_through_text():
    proof = certify(Logistic([1, -1], [4, 1]), 14, [[0.76], [2.41]])
    assert verify(json.loads(json.dumps(proof.to_json()))) == proof
