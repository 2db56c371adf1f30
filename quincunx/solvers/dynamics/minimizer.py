"""The minimiser of a logistic loss by Newton's method, in double precision and in any."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.rationals import rational_rank

if TYPE_CHECKING:
    from quincunx.solvers.dynamics.logistic import Exact

__all__ = ["conditioning", "in_decimals", "in_doubles"]

ITERATIONS = 500
GUARD = 15  # decimal digits beyond those asked for


def in_doubles(
    points: Array, gradient: Callable[..., Array], hessian: Callable[..., Array]
) -> Array:
    """Return the minimiser [d] to machine precision, within the span of the points.

    Newton's method, damped by how far it would move the margins: the loss is then sure to fall, as
    the logarithm of its second derivative changes by at most the change of the largest margin. The
    step is doubled while the loss still falls along it.

    Arguments:
        points: [n, d].
        gradient: of a point [d].
        hessian: of a point [d].

    Raises:
        ModelError: it does not converge, as points are too many orders of magnitude apart.
    """
    w = np.zeros(points.shape[1])
    least, best = math.inf, w
    for _ in range(ITERATIONS):
        slope = gradient(w)
        size = float(np.linalg.norm(slope))
        halved = size < least / 2
        if size < least:
            least, best = size, w
        move = _scaled_step(hessian(w), slope)
        furthest = float(np.abs(points @ move).max())
        if furthest < 1e-3 and not (halved and size):
            return best  # the quadratic phase is over, and rounding has the last word
        part = 1.0 if furthest < 1e-3 else 1 / (1 + furthest)
        # An outlier's margin would hold the damped step back, also where its loss is long gone.
        while part < 1 and gradient(w - min(1.0, 2 * part) * move) @ move > 0:
            part = min(1.0, 2 * part)
        w = w - part * move
    raise ModelError(
        f"Newton's method has not found the minimiser in {ITERATIONS} steps: the gradient is still "
        f"{least:.1e}. Scale the points so that they are fewer orders of magnitude apart"
    )


def _scaled_step(matrix: Array, slope: Array) -> Array:
    """Return the Newton step, with coordinates scaled so that each bends alike."""
    sizes = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    scaled = matrix / np.multiply.outer(sizes, sizes)
    step: Array = np.linalg.lstsq(scaled, slope / sizes, rcond=1e-15)[0] / sizes
    return step


def conditioning(matrix: Array) -> float:
    """Return the condition number of a positive matrix whose coordinates are scaled alike."""
    sizes = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    values = np.linalg.eigvalsh(matrix / np.multiply.outer(sizes, sizes))
    return float(values[-1] / max(values[0], np.finfo(float).tiny))


def in_decimals(exact: Exact, start: Array, digits: int) -> tuple[Decimal, ...]:
    """Return the minimiser to ``digits`` significant digits, d numbers.

    Arguments:
        exact: the problem in fractions.
        start: [d], what :func:`in_doubles` found.
        digits: > 0.

    Raises:
        ModelError: ``digits`` is not a positive whole number.
    """
    if not isinstance(digits, int) or digits < 1:
        raise ModelError(f"digits is {digits!r}; give a whole number > 0, such as 50")
    basis = _basis(exact)
    with localcontext() as context:
        context.prec = digits + GUARD
        total = _decimal(sum(exact.weights, Fraction(0)))
        points = [[_decimal(v) for v in z] for z in exact.points]
        weights = [_decimal(c) / total for c in exact.weights]
        rows = [[_decimal(v) for v in b] for b in basis]
        # w = sum_j a_j b_j has as many unknowns as the span has dimensions.
        a = _solve(_gram(rows), [_dot(b, [Decimal(float(v)) for v in start]) for b in rows])
        goal = Decimal(10) ** (-(digits + GUARD // 2))
        for _ in range(ITERATIONS):
            w = _combined(a, rows)
            move = _newton_move(points, weights, _decimal(exact.l2), rows, w)
            furthest = max(abs(_dot(z, _combined(move, rows))) for z in points)
            if furthest > Decimal("0.001"):
                move = [m / (1 + furthest) for m in move]
            a = [x - m for x, m in zip(a, move, strict=True)]
            if max(map(abs, move)) <= goal * max(map(abs, [*a, goal])):
                break
        w = _combined(a, rows)
        context.prec = digits
        return tuple(+v for v in w)


def _basis(exact: Exact) -> list[Sequence[Fraction]]:
    """Return rows that span what the points span: the points themselves, or unit vectors."""
    d = len(exact.points[0])
    if exact.l2 or rational_rank(exact.points) == d:
        return [tuple(Fraction(int(i == j)) for j in range(d)) for i in range(d)]
    found: list[Sequence[Fraction]] = []
    for z in exact.points:
        if rational_rank([*found, z]) > len(found):
            found.append(z)
    return found


def _newton_move(
    points: list[list[Decimal]],
    weights: list[Decimal],
    l2: Decimal,
    rows: list[list[Decimal]],
    w: list[Decimal],
) -> list[Decimal]:
    """Return the Newton step in coordinates of the rows."""
    r = len(rows)
    slope = [l2 * _dot(b, w) for b in rows]
    bend = [[l2 * _dot(b, c) for c in rows] for b in rows]
    for z, c in zip(points, weights, strict=True):
        t = _dot(z, w)
        small = (-abs(t)).exp()
        # s(-t) without cancellation on either side.
        push = small / (1 + small) if t >= 0 else 1 / (1 + small)
        curve = c * small / (1 + small) ** 2
        inner = [_dot(b, z) for b in rows]
        for i in range(r):
            slope[i] -= c * push * inner[i]
            for j in range(r):
                bend[i][j] += curve * inner[i] * inner[j]
    return _solve(bend, slope)


def _combined(a: Sequence[Decimal], rows: list[list[Decimal]]) -> list[Decimal]:
    """Return ``sum_j a_j b_j``."""
    return [_dot(a, column) for column in zip(*rows, strict=True)]


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def _gram(rows: list[list[Decimal]]) -> list[list[Decimal]]:
    return [[_dot(a, b) for b in rows] for a in rows]


def _solve(matrix: list[list[Decimal]], rhs: list[Decimal]) -> list[Decimal]:
    """Solve a positive definite system by elimination."""
    size = len(rhs)
    left = [[*row, value] for row, value in zip(matrix, rhs, strict=True)]
    for k in range(size):
        for i in range(k + 1, size):
            ratio = left[i][k] / left[k][k]
            left[i] = [a - ratio * b for a, b in zip(left[i], left[k], strict=True)]
    x = [Decimal(0)] * size
    for k in reversed(range(size)):
        x[k] = (left[k][size] - _dot(left[k][k + 1 : size], x[k + 1 :])) / left[k][k]
    return x
