"""Gradient descent in ball arithmetic: every result encloses the exact one.

Balls are Arb's (Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval
arithmetic", IEEE Transactions on Computers 66, 2017), through python-flint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from quincunx._errors import ModelError, need_extra
from quincunx.solvers.dynamics.logistic import Exact

__all__ = [
    "Ball",
    "Balls",
    "ball",
    "bend",
    "krawczyk",
    "midpoints",
    "newton",
    "one_zero",
    "sigmoid",
    "slope",
    "working",
]

Ball: TypeAlias = Any
"""flint's ``arb``."""

MOST_BITS = 100_000

Vector: TypeAlias = list[Ball]
Matrix: TypeAlias = list[list[Ball]]


@contextmanager
def working(bits: int) -> Iterator[None]:
    """Compute with so many bits within the block.

    Raises:
        ModelError: that is no sensible number of bits.
        MissingExtraError: python-flint is not installed.
    """
    need_extra("flint", "certify", "Proving something about a cycle")
    if not isinstance(bits, int) or isinstance(bits, bool) or not 16 <= bits <= MOST_BITS:
        raise ModelError(f"bits is {bits!r}; give a whole number from 16 to {MOST_BITS}")
    from flint import ctx

    with ctx.workprec(bits):
        yield


def ball(value: Fraction | int | str, radius: Fraction | int | str = 0) -> Ball:
    """Return a ball that holds a number, and all that are no further from it than the radius."""
    from flint import arb, fmpq

    def exact(v: Fraction | int | str) -> Any:
        return arb(fmpq(v.numerator, v.denominator)) if isinstance(v, Fraction) else arb(v)

    return exact(value) + arb(0, exact(radius).upper()) if radius else exact(value)


def midpoints(vector: Sequence[Ball]) -> Vector:
    """Return the centres, which are exact."""
    return [x.mid() for x in vector]


def sigmoid(t: Ball) -> Ball:
    """Return s(t) = 1 / (1 + exp(-t)); over a wide ball from its ends, as s rises."""
    if _narrow(t):
        return _sigmoid(t)
    return _sigmoid(t.lower()).union(_sigmoid(t.upper()))


def slope(t: Ball) -> Ball:
    """Return s'(t) = s(t) s(-t); over a wide ball from its ends and the peak at 0."""
    from flint import arb

    if _narrow(t):
        return _sigmoid(t) * _sigmoid(-t)
    low, high = t.lower(), t.upper()
    found = (_sigmoid(low) * _sigmoid(-low)).union(_sigmoid(high) * _sigmoid(-high))
    return found.union(arb(1) / 4) if t.contains(0) else found


def bend(t: Ball) -> Ball:
    """Return s''(t) = s'(t) (1 - 2 s(t)), enclosed factor by factor."""
    return slope(t) * (1 - 2 * sigmoid(t))


def _sigmoid(t: Ball) -> Ball:
    # Where exp is large, both parts of the quotient are wide.
    if t < 0:
        small = t.exp()
        return small / (1 + small)
    return 1 / (1 + (-t).exp())


def _narrow(t: Ball) -> bool:
    return bool(t.rad() < 1e-6)


@dataclass(frozen=True, slots=True)
class Balls:
    """A problem and a step as balls of the precision at which this was made.

    Attributes:
        points: n rows of d balls.
        weights: n balls, multiplicities over their sum.
        l2: the L2 term.
        step: of gradient descent.
    """

    points: Matrix
    weights: Vector
    l2: Ball
    step: Ball

    @classmethod
    def of(cls, exact: Exact, step: Fraction) -> Balls:
        """Make balls of fractions, within :func:`working`."""
        total = sum(exact.weights)
        return cls(
            [[ball(v) for v in z] for z in exact.points],
            [ball(c / total) for c in exact.weights],
            ball(exact.l2),
            ball(step),
        )

    @property
    def dimension(self) -> int:
        """Numbers in a point, d."""
        return len(self.points[0])

    def gradient(self, w: Sequence[Ball]) -> Vector:
        """Return f' [d] on a box [d]."""
        found = [self.l2 * x for x in w]
        for z, c in zip(self.points, self.weights, strict=True):
            push = c * sigmoid(-_inner(z, w))
            for i, v in enumerate(z):
                found[i] = found[i] - push * v
        return found

    def hessian(self, w: Sequence[Ball]) -> Matrix:
        """Return f'' [d, d] on a box [d]."""
        return self.curvature([_inner(z, w) for z in self.points])

    def curvature(self, margins: Sequence[Ball]) -> Matrix:
        """Return f'' [d, d] where the margins ``z_i w`` are in balls [n]."""
        d = self.dimension
        found = [[self.l2 if i == j else ball(0) for j in range(d)] for i in range(d)]
        for z, c, t in zip(self.points, self.weights, margins, strict=True):
            size = c * slope(t)
            for i in range(d):
                part = size * z[i]
                for j in range(i + 1):
                    found[i][j] = found[i][j] + part * z[j]
        return [[found[max(i, j)][min(i, j)] for j in range(d)] for i in range(d)]

    def map(self, w: Sequence[Ball]) -> Vector:
        """Return a step of gradient descent [d] from a box [d]."""
        return [x - self.step * g for x, g in zip(w, self.gradient(w), strict=True)]

    def jacobian(self, w: Sequence[Ball]) -> Matrix:
        """Return the derivative [d, d] of a step on a box [d]."""
        return [
            [(1 if i == j else 0) - self.step * h for j, h in enumerate(row)]
            for i, row in enumerate(self.hessian(w))
        ]


def _inner(a: Sequence[Ball], b: Sequence[Ball]) -> Ball:
    found = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        found = found + x * y
    return found


System: TypeAlias = Callable[[Vector], Vector]
Derivative: TypeAlias = Callable[[Vector], Matrix]


def newton(system: System, derivative: Derivative, start: Vector, iterations: int = 30) -> Vector:
    """Return an approximate zero near a start, as exact centres; nothing is proved by this."""
    from flint import arb_mat

    x = midpoints(start)
    for _ in range(iterations):
        move = arb_mat(derivative(x)).solve(arb_mat([[v] for v in system(x)]))
        x = [(v - move[i, 0]).mid() for i, v in enumerate(x)]
        if all(abs(move[i, 0]) < ball(2) ** (-_bits() // 2) for i in range(len(x))):
            # Squared once more, the error is below the precision.
            value = arb_mat([[v] for v in system(x)])
            move = arb_mat(derivative(x)).solve(value)
            return [(v - move[i, 0]).mid() for i, v in enumerate(x)]
    return x


def krawczyk(
    system: System, derivative: Derivative, centre: Vector, radius: Fraction
) -> Vector | None:
    """Return a box with exactly one zero of the system, or None where that is not proved.

    Arguments:
        system: F, of balls.
        derivative: DF, of balls.
        centre: of a box X.
        radius: of X in every coordinate: X has exactly one zero, and what is returned holds it.
    """
    return one_zero(system, derivative, [x + ball(0, radius) for x in midpoints(centre)])


def one_zero(system: System, derivative: Derivative, box: Vector) -> Vector | None:
    """Return a smaller box that holds the one zero in a box, or None where that is not proved.

    ``K = m - Y F(m) + (1 - Y DF(X)) (X - m)`` with Y near ``DF(m)^-1``: if K lies in the interior
    of the box X, then X has exactly one zero, and K holds it.

    Arguments:
        system: F, of balls.
        derivative: DF, of balls.
        box: X.

    Reference:
        Krawczyk, "Newton-Algorithmen zur Bestimmung von Nullstellen mit Fehlerschranken",
        Computing 4, 1969; Rump, "Verification methods", Acta Numerica 19, 2010, section 13.
    """
    from flint import arb_mat

    size, m = len(box), midpoints(box)
    try:
        near = arb_mat(derivative(m)).mid().inv().mid()
    except ZeroDivisionError:
        return None
    one = arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
    spread = arb_mat([[b - c] for b, c in zip(box, m, strict=True)])
    found = (
        arb_mat([[c] for c in m])
        - near * arb_mat([[v] for v in system(m)])
        + (one - near * arb_mat(derivative(box))) * spread
    )
    inner = [found[i, 0] for i in range(size)]
    inside = all(b.contains_interior(k) for b, k in zip(box, inner, strict=True))
    return inner if inside else None


def _bits() -> int:
    from flint import ctx

    return int(ctx.prec)
