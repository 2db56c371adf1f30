"""A neighbourhood of a cycle that is drawn into it, and orbits that arrive there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from quincunx._types import Array
from quincunx.solvers.dynamics.certify.balls import Ball, Balls, Vector, ball, midpoints

__all__ = [
    "STEPS",
    "Arrival",
    "Attraction",
    "advance",
    "attracted",
    "contraction",
    "descend",
    "frame",
]

EXPONENTS = (-60, 6)  # of the radii that are tried
STEPS = 100_000  # of gradient descent, at most


@dataclass(frozen=True, slots=True)
class Attraction:
    """The ellipsoid ``{x : |V^-1 (x - x_0)| <= radius}``, which ``T^p`` maps into itself.

    ``|V^-1 (T^p(x) - T^p(y))| <= kappa |V^-1 (x - y)|`` for all x and y in it, so that orbits from
    it approach the cycle by a factor of at least kappa a round.

    Within a span, x stands for coordinates along the basis, whose vectors get length 1 for that.

    Attributes:
        frame: V, d rows of d fractions.
        radius: > 0.
        kappa: < 1.
    """

    frame: tuple[tuple[Fraction, ...], ...]
    radius: Fraction
    kappa: Fraction


@dataclass(frozen=True, slots=True)
class Arrival:
    """Gradient descent from a point is in the attracted ellipsoid, after so many steps.

    Attributes:
        start: d fractions.
        steps: of gradient descent.
    """

    start: tuple[Fraction, ...]
    steps: int


def attracted(
    balls: Balls, boxes: Sequence[Vector], product: Any, bound: float
) -> Attraction | None:
    """Return a large ellipsoid around the first point that the cycle attracts, or None.

    Arguments:
        balls: the map.
        boxes: [period, d], each with a point of the cycle in it.
        product: flint's ``arb_mat`` [d, d], of the derivatives along the cycle.
        bound: of its spectral radius, < 1; a guess will do.
    """
    basis = frame(np.array(product.mid().tolist(), dtype=np.float64), bound)
    if basis is None:
        return None
    low, high = (3 * e for e in EXPONENTS)
    best = _at(balls, boxes, basis, low)
    if best is None:
        return None
    # Each radius is proved by itself; bisection only guesses that smaller ones do better.
    while high - low > 1:
        middle = (low + high) // 2
        found = _at(balls, boxes, basis, middle)
        if found is None:
            high = middle
        else:
            low, best = middle, found
    return best


def frame(product: Array, bound: float) -> tuple[tuple[Fraction, ...], ...] | None:
    """Return V with ``|V^-1 P V| < 1``, in fractions with few digits; nothing is proved by this.

    ``Q = sum_k (P^T)^k P^k / kappa^2k`` has ``P^T Q P <= kappa^2 Q`` (Stein's equation) for any
    kappa above the spectral radius, also where P has no basis of eigenvectors, and ``V = Q^-1/2``.

    Arguments:
        product: P [d, d].
        bound: of the spectral radius.
    """
    d = len(product)
    if d == 1:
        return ((Fraction(1),),)
    if not bound < 1:
        return None
    kappa = (1 + bound) / 2
    try:
        values, vectors = np.linalg.eigh(solve_discrete_lyapunov(product.T / kappa, np.eye(d)))
        if not values[0] > 0:
            return None
        basis = vectors / np.sqrt(values)
        # Singular vectors of the map in this basis: its square is then nearly diagonal.
        inside = np.linalg.solve(basis, product @ basis)
        basis = basis @ np.linalg.svd(inside)[2].T
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(basis).all():
        return None
    digits = 6 if bound < 0.999 else 17
    return tuple(
        tuple(Fraction(f"{v:.{digits}g}") for v in row) for row in basis / np.abs(basis).max()
    )


def _at(
    balls: Balls, boxes: Sequence[Vector], basis: tuple[tuple[Fraction, ...], ...], index: int
) -> Attraction | None:
    radius = (1, 2, 5)[index % 3] * Fraction(10) ** (index // 3)
    kappa = contraction(balls, boxes, basis, radius)
    if kappa is None:
        return None
    # A little larger, so that the proof can be repeated with other rounding.
    upper = Fraction(str(float(kappa.upper()))) if kappa < 1 else Fraction(1)
    places = 4
    while upper < 1 and places < 40:
        scaled = (upper + (1 - upper) / 1000) * 10**places
        rounded = Fraction(-int((-scaled).__floor__()), 10**places)
        if rounded < 1 and kappa < ball(rounded):
            return Attraction(basis, radius, rounded)
        places += 4
    return None


def contraction(
    balls: Balls,
    boxes: Sequence[Vector],
    basis: Sequence[Sequence[Fraction]],
    radius: Fraction,
) -> Ball | None:
    """Bound the factor by which ``T^p`` contracts an ellipsoid around the first point.

    With ``A_k`` a matrix of balls around ``D T^k(x) V`` for all x of the ellipsoid, ``T^k`` takes
    it into ``x_k + A_k c`` with ``|c| <= radius``, by the mean value theorem; over that set the
    derivative of T gives ``A_(k+1)``. In the end ``M = V^-1 A_p`` has ``|M|^2 <= |M^T M|``, which
    is at most the largest sum of absolute entries of a row.

    Arguments:
        balls: the map T.
        boxes: [period, d], each with a point of the cycle in it.
        basis: V, d rows of d fractions.
        radius: of the ellipsoid.

    Returns:
        The bound, a ball; None where balls became infinite.
    """
    from flint import arb, arb_mat

    d = balls.dimension
    start = arb_mat([[ball(v) for v in row] for row in basis])
    reach, points = ball(radius), arb_mat(balls.points)
    one = arb_mat(d, d, [int(i == j) for i in range(d) for j in range(d)])
    try:
        inverse = start.inv()
    except ZeroDivisionError:
        return None
    spread = start
    for box in boxes:
        ways = points * spread
        margins = points * arb_mat([[x] for x in box])
        wide = [
            margins[i, 0] + arb(0, (reach * _norm([ways[i, j] for j in range(d)])).upper())
            for i in range(points.nrows())
        ]
        if not all(t.is_finite() for t in wide):
            return None
        spread = (one - balls.step * arb_mat(balls.curvature(wide))) * spread
    inside = inverse * spread
    square = inside.transpose() * inside
    largest = ball(0)
    for i in range(d):
        largest = largest.max(sum((abs(square[i, j]) for j in range(d)), ball(0)))
    return largest.sqrt() if largest.is_finite() else None


def _norm(values: Sequence[Ball]) -> Ball:
    # Of the largest absolute values: the root of a ball that holds negative numbers is none.
    return sum((abs(v).upper() ** 2 for v in values), ball(0)).sqrt()


def advance(balls: Balls, box: Vector) -> Vector:
    """Return a box around the images of a box under a step, by the mean value theorem.

    Widths follow the derivative, and shrink where it does; those of the map's formula, in which w
    stands twice, never would.
    """
    m = midpoints(box)
    image = balls.map(m)
    if all(x.is_exact() for x in box):
        return image
    rows = balls.jacobian(box)
    return [
        y + sum((a * (x - c) for a, x, c in zip(row, box, m, strict=True)), ball(0))
        for y, row in zip(image, rows, strict=True)
    ]


def descend(
    balls: Balls,
    first: Vector,
    attraction: Attraction,
    start: Vector,
    steps: int | None = None,
) -> int | str:
    """Run gradient descent until it is surely in the attracted ellipsoid, or say why it is not.

    Arguments:
        balls: the map.
        first: [d], a box with the cycle's first point in it.
        attraction: around that point.
        start: [d].
        steps: look after so many steps only; None: after each.

    Returns:
        The number of steps, or a sentence; the empty one where more precision may help.
    """
    from flint import arb_mat

    inverse = arb_mat([[ball(v) for v in row] for row in attraction.frame]).inv()
    radius = ball(attraction.radius)
    box = start
    for step in range((STEPS if steps is None else steps) + 1):
        if steps is None or step == steps:
            away = inverse * arb_mat([[x - c] for x, c in zip(box, first, strict=True)])
            if _norm([away[i, 0] for i in range(len(box))]) <= radius:
                return step
        following = advance(balls, box)
        if not all(x.rad() < radius for x in following):
            return ""
        if steps is None and _rests(box, following):
            return (
                f"gradient descent from the start comes to rest after {step} steps, near "
                f"({', '.join(f'{float(x.mid()):.9g}' for x in box)}), away from the cycle"
            )
        box = following
    return f"gradient descent from the start is not in the attracted set after {step} steps"


def _rests(box: Vector, following: Vector) -> bool:
    from flint import ctx

    fine = ball(2) ** (-(ctx.prec // 2))
    return all(
        x.rad() < fine and y.rad() < fine and x.overlaps(y)
        for x, y in zip(box, following, strict=True)
    )
