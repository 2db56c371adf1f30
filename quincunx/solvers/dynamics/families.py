"""Families of data on which gradient descent cycles though its minimiser is stable.

Each function takes gamma, the step times the sharpness, and designs data for it. Designs are
floating-point work; :func:`~quincunx.solvers.dynamics.constructions.construct` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.cycles import cycle_from
from quincunx.solvers.dynamics.logistic import Logistic

__all__ = [
    "Design",
    "equal_norm",
    "hinge_kick",
    "padded",
    "planar",
    "rounded",
    "tail_kick",
]

Points = list[tuple[Fraction, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Data for one gamma, and where to look for the cycle.

    Attributes:
        points: n rows of d fractions, labels folded in.
        weights: n whole multiplicities.
        outliers: rows of the steep points, whose sigmoids act as hinges.
        guess: [2, d], near the cycle.
        pair: the multiplicity that a pair ``+-e_k`` of a further dimension should have, so that
            this dimension is less sharp than the others.
        norm: of such a pair.
        digits: to which a step must be written for the cycle to stay stable.
    """

    points: Points
    weights: list[int]
    outliers: tuple[int, ...]
    guess: Array
    pair: int = 0
    norm: int = 1
    digits: int = 10

    def problem(self) -> Logistic:
        """Return the logistic regression."""
        return Logistic(self.points, self.weights)


def rounded(value: float, digits: int) -> Fraction:
    """Return a number to so many significant decimal digits, as a fraction."""
    return Fraction(f"{value:.{digits - 1}e}")


def _nice(value: float, digits: int = 2) -> int:
    """Return the next larger whole number with few digits that are not 0."""
    unit: int = 10 ** max(0, math.floor(math.log10(value)) + 1 - digits)
    return math.ceil(value / unit) * unit


def _slope(t: Array) -> Array:
    return expit(t) * expit(-t)


def hinge_kick(gamma: float) -> Design:
    """Design points 1, -1 and M in one dimension, for gamma between 1 and 2.

    The outlier M is on the right side at the minimiser w* and pulls only where w < 0. In the limit
    of M w* large, with N the multiplicities of 1 and -1 together and any w2 > w*, the cycle is

        w1 = w2 - gamma (s(w2) - s(w*)) / s'(w*) < 0,    M / N = s(w2) + s(w1) - 2 s(w*) > 0,

    and its multiplier is near ``(1 - gamma)^2``. Here w* and w2 are those of a grid with which N is
    least when both hinges, at w* and at w1, are saturated alike.
    """
    low = np.log(gamma - 1)
    high = np.geomspace(math.exp(low / 2) / 20, 12, 400)[:, None]
    star = high * np.geomspace((gamma - 1) / 50, 0.9, 200)
    kicked = high - gamma * (expit(high) - expit(star)) / _slope(star)
    share = expit(high) + expit(kicked) - 2 * expit(star)
    second = 1 - gamma * _slope(np.stack([high + 0 * star, kicked])) / _slope(star)
    reach = np.minimum(star, -kicked)
    good = (reach > 0) & (share > 0) & (np.abs(second.prod(0)) < 0.5 + 0.5 * (gamma - 1) ** 2)
    good &= star < 3
    count = np.where(good, 1 / np.where(good, reach * share, 1), np.inf)
    i, j = np.unravel_index(np.argmin(count), count.shape)
    w_star, w_high, w_low = float(star[i, j]), float(high[i, 0]), float(kicked[i, j])
    steep = 1 / float(reach[i, j])
    # M^2 s'(M w*) / n is what the outlier adds to the sharpness.
    steep = _nice(steep * (12 + math.log(steep)))
    total = steep / float(share[i, j])
    minus = _nice(total * expit(-w_star), 3)
    plus = round(minus * math.exp(w_star))
    return Design(
        points=[(Fraction(1),), (Fraction(-1),), (Fraction(steep),)],
        weights=[plus, minus, 1],
        outliers=(2,),
        guess=np.array([[w_high], [w_low]]),
    )


def tail_kick(gamma: float) -> Design:
    """Design three points 1, -b and M in one dimension, once each, for gamma between 1 and 2.

    Both points of the cycle are positive: w2 at the critical point of the map, where the derivative
    is 0, and w1 between 0 and the minimiser, on the tail of the outlier's sigmoid. The equations
    ``T(w1) = w2, T(w2) = w1, T'(w2) = 0`` fix b, w1 and w2. As w1 is of the order of 1 / M, the
    cycle is stable for b within about 1 / M^2 of this: b has as many digits as that needs.
    """
    limit, far, _, _ = _tail(gamma, math.inf, 1 - 1e-12)
    steep = 20.0
    for _ in range(20):
        # M^2 s'(M w*) is what the outlier adds to the sharpness.
        steep = (9 + 2 * math.log(steep)) / far
    whole = _nice(steep)
    b, _, low, high = _tail(gamma, whole, limit)
    guess = np.array([[high], [low]])
    for digits in range(3, 17):
        points: Points = [(Fraction(1),), (-rounded(b, digits),), (Fraction(whole),)]
        found = Design(
            points=points, weights=[1, 1, 1], outliers=(2,), guess=guess, digits=max(10, digits)
        )
        if _stable(found, gamma, 0.5):
            break
    return found


def _stable(design: Design, gamma: float, most: float) -> bool:
    """Whether the cycle is there, with multipliers up to a size, once numbers are rounded."""
    problem = design.problem()
    step = float(rounded(gamma / problem.sharpness, design.digits))
    try:
        cycle = cycle_from(problem, step, design.guess)
    except ModelError:
        return False
    return cycle.period == 2 and bool(np.abs(cycle.multipliers).max() <= most)


def _tail(gamma: float, steep: float, most: float) -> tuple[float, float, float, float]:
    """Return b, w*, w1 and w2 of :func:`tail_kick`.

    Arguments:
        gamma: between 1 and 2.
        steep: M, which may be infinite.
        most: b is below it; with a finite M, below the b of the infinite one.
    """

    def parts(b: float) -> tuple[float, float, float, float]:
        def pull(w: float) -> float:
            # Three times the derivative of the loss; an infinite M pulls nowhere but at 0.
            outlier = steep * expit(-steep * w) if steep < math.inf else 0.0
            return float(b * expit(b * w) - expit(-w) - outlier)

        def bend(w: float) -> float:
            outlier = steep**2 * _slope(steep * w) if steep < math.inf else 0.0
            return float(_slope(w) + b * b * _slope(b * w) + outlier)

        star = _root(pull, 0.0, 60.0)
        step = gamma / bend(star)
        high = _root(lambda w: step * bend(w) - 1, star, 60.0)
        low = high - step * pull(high)
        if steep == math.inf:
            return low, star, low, high
        kick = high - low + step * (b * expit(b * low) - expit(-low))
        share = min(max(kick / (step * steep), 1e-300), 0.5)
        return low + float(logit(share)) / steep, star, low, high

    b = _root(lambda b: parts(b)[0], 0.05, most)
    return (b, *parts(b)[1:])


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-300, rtol=1e-15, maxiter=500))


def planar(gamma: float) -> Design:
    """Design the data D(A, B+, B-, m, h) in the plane, for gamma between 0 and 2.

    Points ``(+-1, 0)`` A times each, ``(0, 1)`` B+ times, ``(0, -1)`` B- times and ``(+-m, h)``
    once each. The outliers' hinges bound a narrow cone around the minimiser ``(0, log(B+/B-))``,
    and the cycle ``(+-x, y)`` jumps over it:

        y = logit((B+ + h) / (B+ + B-)),    2 x = (step / n) (m + A tanh(x / 2)),

    up to the outliers' tails, if ``m x - h y`` and ``h y*`` are large. Its multipliers are
    ``(1 - step A s'(x) 2 / n)^2`` and ``(1 - step (B+ + B-) s'(y) / n)^2``, below 1 for all gamma,
    as the Hessian is nowhere larger than at the minimiser.
    """
    slow, plus, minus = 250, 300, 200
    star = math.log(plus / minus)
    # h y* saturates the outliers at the minimiser, where they would add m^2 s'(h y*) / n to lambda.
    tall = _nice((22 + max(0.0, math.log(1 / gamma))) / star)
    y = float(logit((plus + tall) / (plus + minus)))
    # At least gamma m^2 / A = m x.
    steep = _nice(math.sqrt((tall * y + 40) * slow / gamma))
    x = gamma * steep / slow
    for _ in range(100):
        x = gamma * (steep / slow + math.tanh(x / 2))
    rows = [(1, 0), (-1, 0), (0, 1), (0, -1), (steep, tall), (-steep, tall)]
    return Design(
        points=[tuple(map(Fraction, row)) for row in rows],
        weights=[slow, slow, plus, minus, 1, 1],
        outliers=(4, 5),
        guess=np.array([[x, y], [-x, y]]),
        pair=slow // 2,
    )


def equal_norm(gamma: float) -> Design:
    """Design points of equal norm in the plane, for gamma a little below 2.

    Points ``(+-(q^2 - 1), 2 q)`` have norm ``q^2 + 1``, and so have ``(0, +-(q^2 + 1))``. At the
    minimiser ``(0, y*)`` the first two lie on their sigmoids' tails, at t = 2 q y* of about 2, so
    that the loss is flat in x; along x it is steeper further out, and a cycle ``(+-x, y)`` jumps
    from one slope to the other. With t large, gamma is about ``8 t exp(-t)`` for the cycle that
    jumps furthest, while the multiplicity of ``(0, 1)`` grows like ``exp(t exp(t) / 2)``: gamma may
    be as small as one likes, but below 1.5 numbers get out of hand.

    Raises:
        ModelError: no cycle was found.

    Reference:
        Meng, Goujaud, Orvieto and De Sa, "Gradient descent on logistic regression: do large
        step-sizes work with data on the sphere?", 2025, arXiv:2507.11228, for the claim that equal
        norms do not exclude cycles in more than one dimension; this family is this library's own.
    """
    for q in (10, 12, 16):
        for t in (1.7, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4):
            design = _equal_norm(gamma, q, t)
            settled = None if design is None else _settled(design, gamma)
            if settled is not None:
                return settled
    raise ModelError(
        f"gamma is {gamma:g}; the family 'equal-norm' has no cycle there in numbers of sensible "
        f"size. Use family 'planar', whose points have different norms"
    )


def _equal_norm(gamma: float, q: int, t: float) -> Design | None:
    """Return the data with t the outliers' argument at the minimiser, where there are such."""
    norm = q * q + 1
    along, up = (q * q - 1) / norm, 2 * q / norm
    y = t / up
    bend = float(_slope(t))
    # Multiplicities of (0, +-norm), for outliers that count once: they balance at y, and they
    # make y less sharp than x.
    both = 0.8 * 2 * bend * (along**2 - up**2) / float(_slope(y))
    minus = 2 * float(expit(-t)) * up + both * float(expit(-y))
    if minus <= up:  # the kick would throw y to infinity
        return None
    count = math.ceil(20 / minus)
    weights = [count, count, round(count * (both - minus)), round(count * minus)]
    rows = [(q * q - 1, 2 * q), (1 - q * q, 2 * q), (0, norm), (0, -norm)]
    x, high = 2 * t / along / norm, 1.1 * y / norm
    return Design(
        points=[tuple(map(Fraction, row)) for row in rows],
        weights=weights,
        outliers=(),
        guess=np.array([[x, high], [-x, high]]),
        pair=max(1, math.floor(count * 2 * bend * along**2)),
        norm=norm,
    )


def _settled(design: Design, gamma: float) -> Design | None:
    """Return the design with the cycle that the guess's orbit ends in, if it is stable enough."""
    problem = design.problem()
    step = float(rounded(gamma / problem.sharpness, design.digits))
    w = design.guess[:1]
    for _ in range(1000):
        w = problem.map(w, step)
    try:
        cycle = cycle_from(problem, step, np.concatenate([w, problem.map(w, step)]))
    except ModelError:
        return None
    # Rounding can make a 2-cycle of the minimiser; a true one is far from it.
    wide = abs(float(cycle.points[0, 0])) > 0.2 * float(design.guess[0, 0])
    fine = wide and cycle.period == 2 and float(np.abs(cycle.multipliers).max()) < 0.6
    return replace(design, guess=cycle.points) if fine else None


def padded(design: Design, dimension: int) -> Design:
    """Add pairs ``+-e_k`` until the points span so many dimensions.

    The minimiser and the cycle are 0 in the new coordinates, where the loss is even; a pair that
    counts c times adds the eigenvalue ``c norm^2 / (2 n)`` to the Hessian at each of them.

    Arguments:
        design: of fewer dimensions, at least two.
        dimension: to reach.
    """
    flat = len(design.points[0])
    extra = dimension - flat
    if not extra:
        return design
    points = [z + (Fraction(0),) * extra for z in design.points]
    for k in range(flat, dimension):
        for sign in (1, -1):
            points.append(tuple(Fraction(sign * design.norm * (i == k)) for i in range(dimension)))
    return replace(
        design,
        points=points,
        weights=design.weights + [design.pair] * (2 * extra),
        guess=np.hstack([design.guess, np.zeros((2, extra))]),
    )
