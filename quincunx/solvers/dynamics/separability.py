"""Whether a hyperplane through 0 has all points on one side, proved in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.linalg import qr
from scipy.optimize import linprog

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.rationals import rational_rank, written

__all__ = ["Kind", "Separability", "separability"]

Kind = Literal["overlap", "quasi-separable", "separable"]

DENOMINATORS = (10**3, 10**6, 10**9, 10**12, 10**15, 10**300)


@dataclass(frozen=True, slots=True)
class Separability:
    """What holds for the points, and why.

    By Albert and Anderson, "On the existence of maximum likelihood estimates in logistic
    regression models", Biometrika 71, 1984: the loss has a minimiser if and only if points overlap,
    and it is then unique within their span.

    Attributes:
        kind: "overlap": no direction u has ``z_i u >= 0`` for all i but those with ``z_i u = 0``
            for all; "separable": some u has ``z_i u > 0`` for all; "quasi-separable": some u has
            ``z_i u >= 0`` for all, and not all are 0, but none has all > 0.
        direction: such a u, d fractions, unless points overlap.
        balance: for points that overlap, n fractions > 0 with ``sum_i balance_i z_i = 0``; for
            quasi-separable ones n fractions >= 0, not all 0, with the same.
    """

    kind: Kind
    direction: tuple[Fraction, ...] = ()
    balance: tuple[Fraction, ...] = ()

    def holds_for(self, points: Sequence[Sequence[Fraction]]) -> bool:
        """Check the certificate against points, in fractions."""
        if self.kind != "separable" and not self._balanced(points):
            return False
        if self.kind == "overlap":
            return True
        if len(self.direction) != len(points[0]):
            return False
        sides = [sum(map(_product, z, self.direction)) for z in points]
        return min(sides) > 0 if self.kind == "separable" else min(sides) >= 0 and max(sides) > 0

    def _balanced(self, points: Sequence[Sequence[Fraction]]) -> bool:
        if len(self.balance) != len(points) or not any(self.balance):
            return False
        least = min(self.balance)
        if least < 0 or (self.kind == "overlap" and least == 0):
            return False
        columns = zip(*points, strict=True)
        return all(sum(map(_product, column, self.balance)) == 0 for column in columns)

    def refuse(self) -> None:
        """Raise an error unless points overlap.

        Raises:
            ModelError: the loss has no minimiser; the message has the direction of its descent.
        """
        if self.kind == "overlap":
            return
        ways = ", ".join(written(v.limit_denominator(10**6)) for v in self.direction)
        raise ModelError(
            f"the points are {self.kind}: the loss falls for ever along ({ways}) and has no "
            f"minimiser. Add an L2 term (l2=0.01), or points on the other side"
        )


def _product(a: Fraction, b: Fraction) -> Fraction:
    return a * b


def separability(points: Sequence[Sequence[Fraction]]) -> Separability:
    """Decide whether points are separable, and prove it.

    Linear programs in floating point guess the answer; the certificate is made exact from the guess
    and checked in fractions.

    Arguments:
        points: n rows of d fractions, none zero.

    Raises:
        ModelError: no certificate passed the check; points are separable or not by less than
            rounding, whichever it is.
    """
    if len(points[0]) == 1:
        return _on_a_line([z for (z,) in points])
    # Powers of two make columns alike in size, exactly; multipliers stay, directions go back.
    sizes = [_power_of_two(max(map(abs, column))) for column in zip(*points, strict=True)]
    alike = [[v / size for v, size in zip(z, sizes, strict=True)] for z in points]
    rows = np.array(alike, dtype=np.float64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    direction = _direction(rows)
    sides = rows @ direction
    for kind in _likely(sides):
        found = _proved(kind, alike, rows, direction)
        if found is not None:
            back = tuple(v / size for v, size in zip(found.direction, sizes, strict=False))
            return Separability(kind, back, found.balance)
    raise ModelError(
        "the points are so near to the border between separable and overlapping that no "
        "certificate was found; use coordinates with fewer digits"
    )


def _on_a_line(points: list[Fraction]) -> Separability:
    """Decide by signs."""
    up = sum((z for z in points if z > 0), Fraction(0))
    down = -sum((z for z in points if z < 0), Fraction(0))
    if up and down:
        return Separability("overlap", (), tuple(1 / up if z > 0 else 1 / down for z in points))
    return Separability("separable", (Fraction(1 if up else -1),))


def _power_of_two(size: Fraction) -> Fraction:
    """Return the power of two next to a size; 1 for 0."""
    if not size:
        return Fraction(1)
    places = size.numerator.bit_length() - size.denominator.bit_length()
    return Fraction(2) ** places


def _likely(sides: Array) -> tuple[Kind, ...]:
    """Order what may hold, the likeliest first."""
    if sides.min() > 1e-9:
        return ("separable", "quasi-separable", "overlap")
    if sides.max() > 1e-9:
        return ("quasi-separable", "separable", "overlap")
    return ("overlap", "quasi-separable", "separable")


def _direction(rows: Array) -> Array:
    """Return a direction with ``z_i u >= 0`` and as many positive as can be."""
    n, d = rows.shape
    found = linprog(
        np.concatenate([np.zeros(d), -np.ones(n)]),
        A_ub=np.hstack([-rows, np.eye(n)]),
        b_ub=np.zeros(n),
        bounds=[(None, None)] * d + [(0, 1)] * n,
    )
    return found.x[:d] if found.status == 0 else np.zeros(d)


def _proved(
    kind: Kind, points: Sequence[Sequence[Fraction]], rows: Array, direction: Array
) -> Separability | None:
    """Return a certificate of a kind that passes its check, or None."""
    ways = [()] if kind == "overlap" else _rounded_directions(points, rows, direction, kind)
    if kind == "separable":
        trials = [Separability(kind, way) for way in ways]
    else:
        balances = _balances(points, rows, whole=kind == "overlap")
        trials = [Separability(kind, way, balance) for way in ways for balance in balances]
    return next((trial for trial in trials if trial.holds_for(points)), None)


def _rounded_directions(
    points: Sequence[Sequence[Fraction]], rows: Array, direction: Array, kind: Kind
) -> list[tuple[Fraction, ...]]:
    """Return fractions near a direction; for quasi-separable points exactly along the border."""
    size = float(np.abs(direction).max()) or 1.0
    near = [
        tuple(Fraction(float(v) / size).limit_denominator(most) for v in direction)
        for most in DENOMINATORS
    ]
    if kind == "separable":
        return near
    border = [z for z, side in zip(points, rows @ direction, strict=True) if abs(side) < 1e-9]
    return [_onto_null_space(border, way) for way in near] if border else near


def _balances(
    points: Sequence[Sequence[Fraction]], rows: Array, *, whole: bool
) -> list[tuple[Fraction, ...]]:
    """Return multipliers with ``sum mu_i z_i = 0``, made exact from a linear program's."""
    n = len(points)
    # The least multiplier as large as can be, or at least one multiplier.
    low = 1.0 if whole else 0.0
    rhs = np.zeros(rows.shape[1])
    matrix, bounds = rows.T, [(low, None)] * n
    if not whole:
        matrix, rhs = np.vstack([rows.T, np.ones(n)]), np.append(rhs, 1.0)
    found = linprog(np.ones(n), A_eq=matrix, b_eq=rhs, bounds=bounds)
    if found.status != 0:
        return []
    sizes = np.linalg.norm(np.array(points, dtype=np.float64), axis=1)
    weights = found.x / sizes
    weights = weights / weights.max()
    used = [i for i in range(n) if whole or found.x[i] > 1e-9]
    columns = list(zip(*[points[i] for i in used], strict=True))
    results = []
    for most in DENOMINATORS:
        near = tuple(Fraction(float(weights[i])).limit_denominator(most) for i in used)
        exact = dict(zip(used, _onto_null_space(columns, near), strict=True))
        results.append(tuple(exact.get(i, Fraction(0)) for i in range(n)))
    return results


def _onto_null_space(
    rows: Sequence[Sequence[Fraction]], start: tuple[Fraction, ...]
) -> tuple[Fraction, ...]:
    """Return a solution of ``rows x = 0`` near ``start``: some unknowns are computed from others.

    The unknowns that are computed have large entries in ``start``, which bear a change, and columns
    that are far from dependent, so that the change is small: a pivoted QR factorization tells.
    """
    sizes = np.array(rows, dtype=np.float64) * np.array(start, dtype=np.float64)
    order = [int(i) for i in qr(sizes, mode="r", pivoting=True)[1]]
    chosen: list[int] = []
    for i in order:
        if len(chosen) == len(rows):
            break
        if rational_rank([[row[j] for j in (*chosen, i)] for row in rows]) > len(chosen):
            chosen.append(i)
    free = [i for i in range(len(start)) if i not in set(chosen)]
    rhs = [-sum((row[i] * start[i] for i in free), Fraction(0)) for row in rows]
    solved = _solved([[row[i] for i in chosen] for row in rows], rhs)
    found = dict(zip(chosen, solved, strict=True)) | {i: start[i] for i in free}
    return tuple(found[i] for i in range(len(start)))


def _solved(matrix: list[list[Fraction]], rhs: list[Fraction]) -> list[Fraction]:
    """Solve a consistent system with independent columns, by elimination."""
    left = [[*row, value] for row, value in zip(matrix, rhs, strict=True)]
    width = len(matrix[0])
    for k in range(width):
        place = next(i for i in range(k, len(left)) if left[i][k])
        left[k], left[place] = left[place], left[k]
        left[k] = [v / left[k][k] for v in left[k]]
        for i, row in enumerate(left):
            if i != k and row[k]:
                left[i] = [a - row[k] * b for a, b in zip(row, left[k], strict=True)]
    return [left[k][width] for k in range(width)]
