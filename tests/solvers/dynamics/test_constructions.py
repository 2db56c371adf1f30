"""Constructed data sets cycle as they say: closed forms, fifty digits, and certificates."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.cycle import certify
from quincunx.solvers.dynamics.constructions import Construction, construct
from quincunx.solvers.dynamics.known import CONTROLS, KNOWN

ONE_D = ("1.02", "1.1", "1.5", "1.9", "1.99")
TWO_D = ("0.01", "0.1", "0.5", "0.9", "1.5")
CASES = (
    *((gamma, 1, family) for gamma in ONE_D for family in ("tail", "hinge")),
    *((gamma, 2, "planar") for gamma in TWO_D),
    ("0.5", 3, "planar"),
    ("0.9", 5, "planar"),
    ("1.6", 2, "equal-norm"),
    ("1.9", 2, "equal-norm"),
    ("1.8", 4, "equal-norm"),
)


def exact(value: Fraction) -> Any:
    return mpmath.mpf(value.numerator) / value.denominator


class Fifty:
    """Gradient descent on a construction in mpmath, written plainly and apart from the library."""

    def __init__(self, made: Construction) -> None:
        data = made.problem.exact
        self.points = [[exact(v) for v in z] for z in data.points]
        self.weights = [exact(c) / exact(sum(data.weights)) for c in data.weights]
        self.step = exact(made.step)
        self.d = made.problem.dimension

    def gradient(self, w: Any) -> Any:
        found = mpmath.zeros(self.d, 1)
        for z, c in zip(self.points, self.weights, strict=True):
            t = sum(a * w[i] for i, a in enumerate(z))
            for i, a in enumerate(z):
                found[i] -= c * a / (1 + mpmath.exp(t))
        return found

    def hessian(self, w: Any) -> Any:
        found = mpmath.zeros(self.d, self.d)
        for z, c in zip(self.points, self.weights, strict=True):
            t = sum(a * w[i] for i, a in enumerate(z))
            bend = c / (1 + mpmath.exp(t)) / (1 + mpmath.exp(-t))
            for i, a in enumerate(z):
                for j, b in enumerate(z):
                    found[i, j] += bend * a * b
        return found

    def minimizer(self, near: np.ndarray) -> Any:
        w = mpmath.matrix([mpmath.mpf(float(v)) for v in near])
        for _ in range(8):
            w -= mpmath.lu_solve(self.hessian(w), self.gradient(w))
        return w

    def cycle(self, near: np.ndarray) -> list[Any]:
        """Both points of a 2-cycle, by Newton's method on ``T(T(w)) = w``."""
        w = mpmath.matrix([mpmath.mpf(float(v)) for v in near])
        one = mpmath.eye(self.d)
        for _ in range(12):
            middle = w - self.step * self.gradient(w)
            end = middle - self.step * self.gradient(middle)
            product = (one - self.step * self.hessian(middle)) * (one - self.step * self.hessian(w))
            w -= mpmath.lu_solve(product - one, end - w)
        return [w, w - self.step * self.gradient(w)]


def norm(vector: Any) -> float:
    return float(max(abs(v) for v in vector))


@pytest.mark.parametrize(("gamma", "dimension", "family"), CASES)
def test_fifty_digits_agree(gamma: str, dimension: int, family: Any) -> None:
    made = construct(gamma, dimension, family=family)
    with mpmath.workdps(50):
        plain = Fifty(made)
        star = plain.minimizer(made.problem.minimizer())
        assert norm(plain.gradient(star)) < 1e-40
        values = mpmath.eigsy(plain.hessian(star), eigvals_only=True)
        # measured at most 2.4e-9, with equal norms at 1.6: the step has ten digits
        assert abs(float(plain.step * max(values) - exact(Fraction(gamma)))) < 1e-8
        first, second = plain.cycle(made.cycle.points[0])
        back = second - plain.step * plain.gradient(second)
        assert norm(back - first) < 1e-35  # it closes
        assert norm(first - second) > 1e-3 * norm(first)  # and is no fixed point
        one = mpmath.eye(plain.d)
        product = (one - plain.step * plain.hessian(second)) * (
            one - plain.step * plain.hessian(first)
        )
        sizes = sorted(abs(complex(m)) for m in mpmath.eig(product)[0])
        assert sizes[-1] < 1
        scale = norm(first)
        for mine, theirs in zip(made.cycle.points, (first, second), strict=True):
            # measured 3.1e-12 for the tail kick at 1.02, whose derivative magnifies rounding, and
            # 1.3e-13 at most otherwise
            assert norm(mpmath.matrix(mine.tolist()) - theirs) < 1e-10 * scale
        # measured 2.5e-10 for the tail kick at 1.02, and 8.1e-12 at most otherwise
        assert abs(sizes[-1] - (1 - made.margin)) < 1e-8


@pytest.mark.parametrize(("gamma", "dimension", "family"), CASES)
def test_certified(gamma: str, dimension: int, family: Any) -> None:
    made = construct(gamma, dimension, family=family)
    proof = certify(made.problem, made.step, made.cycle)
    assert proof.valid, proof.reason
    assert proof.period == 2
    asked, within = Fraction(gamma), Fraction(1, 10**6)
    assert asked - within <= proof.gamma.low
    assert proof.gamma.high <= asked + within


def test_defaults_reach_far() -> None:
    for gamma in (1.00001, 1.0005, 1.001, 1.3, 1.75, 1.999, 1.99999):
        made = construct(gamma)
        assert made.family == ("tail" if gamma >= 1.001 else "hinge")
        assert made.cycle.stable and made.margin > 0.4
    for gamma in (1e-5, 1e-3, 0.2, 1.0, 1.25, 1.99, 1.99999):
        made = construct(gamma, 2)
        # Both hinges are saturated; measured 22 at least.
        assert made.cycle.stable and made.saturation is not None and made.saturation > 20


def test_tail_kick_is_three_points_once() -> None:
    for gamma in (1.002, 1.02, 1.4, 1.99):
        data = construct(gamma, family="tail").problem.exact
        assert len(data.points) == 3
        assert data.weights == (1, 1, 1)
        assert data.points[0] == (1,)


@pytest.mark.parametrize("gamma", [0.01, 0.9, 1.9])
def test_planar_closed_forms(gamma: float) -> None:
    made = construct(gamma, 2)
    a, _, plus, minus, _, _ = (float(c) for c in made.problem.exact.weights)
    m, h = (float(v) for v in made.problem.exact.points[4])
    n, step = float(sum(made.problem.exact.weights)), float(made.step)
    x, y = made.cycle.points[0]
    share = (plus + h) / (plus + minus)
    # Along the cycle tails of exp(-40) are left out; measured 2.2e-16.
    assert abs(y - np.log(share / (1 - share))) < 1e-14
    assert abs(2 * x - step / n * (m + a * np.tanh(x / 2))) < 1e-14
    along = (1 - step * a / (2 * n) / np.cosh(x / 2) ** 2) ** 2
    up = (1 - step * (plus + minus) * share * (1 - share) / n) ** 2
    assert np.allclose(sorted([along, up]), sorted(made.cycle.multipliers.real), atol=1e-13)
    # At the minimiser it is exp(-22) times m^2 / n; measured 1.4e-8, and 1.9e-10.
    assert abs(made.problem.sharpness - a / (2 * n)) < 1e-7
    assert abs(made.problem.minimizer()[1] - np.log(plus / minus)) < 1e-8


def test_hinge_kick_limit() -> None:
    """The formulas of the limit M w* -> oo, with (1 - gamma)^2 for the multiplier as gamma -> 1."""
    made = construct("1.02", family="hinge")
    plus, minus, _ = made.problem.exact.weights
    steep = float(made.problem.exact.points[2][0])

    def s(t: float) -> float:
        return float(1 / (1 + np.exp(-t)))

    star = float(np.log(float(plus / minus)))
    high, low = made.cycle.points[:, 0]
    # measured 1.4e-5, of which the outlier's share of all points is one part, and 2.9e-9
    assert abs(high - 1.02 * (s(high) - s(star)) / (s(star) * s(-star)) - low) < 1e-4 * high
    assert abs(steep / float(plus + minus) / (s(high) + s(low) - 2 * s(star)) - 1) < 1e-6
    assert abs(made.cycle.multipliers[0]) < 1e-3


def test_equal_norms_are_equal() -> None:
    for dimension in (2, 3, 5):
        data = construct(1.8, dimension, family="equal-norm").problem.exact
        assert len({sum(v * v for v in z) for z in data.points}) == 1


@pytest.mark.parametrize("dimension", [3, 4, 7])
def test_padding_changes_neither_cycle_nor_minimiser(dimension: int) -> None:
    flat, made = construct(0.7, 2), construct(0.7, dimension)
    assert made.problem.rank == dimension
    assert np.allclose(made.cycle.points[:, :2], flat.cycle.points, atol=1e-9)
    # measured 0: the loss is even in the new coordinates
    assert np.abs(made.cycle.points[:, 2:]).max() < 1e-12
    assert np.abs(made.problem.minimizer()[2:]).max() < 1e-12
    # The further pairs count half as often as the first, so that their eigenvalue is half.
    values = np.linalg.eigvalsh(made.problem.hessian(made.problem.minimizer()))
    assert np.isclose(values[0], values[-1] / 2, rtol=1e-6)
    assert made.margin > 0.4


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((1.0,), "converges from every start"),
        (("0.5",), "dimension=2"),
        ((2,), "unstable"),
        ((2.5, 2), "unstable"),
        ((0, 2), "> 0"),
        ((-1, 2), "> 0"),
        ((float("nan"),), "finite"),
        (("1.5", 0), "dimension"),
        ((1.5, 1.0), "dimension"),
        ((1.0000001,), "sensible size"),
        ((1e-7, 2), "sensible size"),
    ],
)
def test_refusals(arguments: tuple[Any, ...], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        construct(*arguments)


def test_refused_families() -> None:
    with pytest.raises(ModelError, match="'tail' or 'hinge'"):
        construct(1.5, family="planar")
    with pytest.raises(ModelError, match="unknown"):
        construct(1.5, 2, family="spiral")
    with pytest.raises(ModelError, match="Use family 'planar'"):
        construct(0.5, 2, family="equal-norm")
    with pytest.raises(ModelError, match="Use family 'hinge'"):
        construct("1.0005", family="tail")


def test_str_explains() -> None:
    text = str(construct("0.5", 2))
    for part in ("period 2", "gamma = step * sharpness = 0.5", "minimiser", "margin", "planar"):
        assert part in text
    assert max(map(len, text.splitlines())) < 160


@pytest.mark.parametrize("name", KNOWN)
def test_known_cycles(name: str) -> None:
    known = KNOWN[name]
    problem, cycle = known.problem(), known.cycle()
    assert cycle.period == known.period and cycle.stable
    # measured 7.6e-14; where gamma is given the step follows from it
    assert abs(known.step_of(problem) * problem.sharpness - known.gamma) < 1e-12
    if known.period == 2:
        # measured 2.2e-8, where the page has eight digits
        assert np.abs(cycle.points[0] - known.start).max() < 1e-7
        assert np.allclose(
            cycle.multipliers.real, sorted(known.multipliers, key=abs)[::-1], atol=1e-7
        )
    elif known.multipliers:
        found = cycle.multipliers
        assert np.allclose([found.sum(), found.prod()], known.multipliers, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in KNOWN if "points in the plane" in name])
def test_known_cycles_of_few_points_are_proved(name: str) -> None:
    known = KNOWN[name]
    problem = known.problem()
    step = known.step or f"{known.step_of(problem):.12g}"
    proof = certify(problem, step, known.cycle())
    assert proof.valid and proof.period == known.period


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_converge(name: str) -> None:
    known = CONTROLS[name]
    problem, w = known.problem(), np.array([known.start])
    step = known.step_of(problem)
    for _ in range(2000):
        w = problem.map(w, step)
    # measured 1.9e-15
    assert abs(w[0, 0] - 0.114152717559409) < 1e-13
    assert np.allclose(known.cycle().multipliers, known.multipliers, atol=1e-9)
