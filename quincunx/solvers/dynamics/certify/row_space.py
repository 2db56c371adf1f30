"""Coordinates of what the points span, where that is less than the space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from quincunx.solvers.dynamics.certify.balls import Ball, Balls, Vector, ball
from quincunx.solvers.dynamics.logistic import Exact
from quincunx.solvers.dynamics.rationals import rational_rank

__all__ = ["RowSpace"]


@dataclass(frozen=True, slots=True)
class RowSpace:
    """A basis in which gradient descent moves; it leaves all directions across alone.

    Attributes:
        basis: r orthogonal vectors of d fractions; empty where the whole space is meant, and
            coordinates are those of the space.
    """

    basis: tuple[tuple[Fraction, ...], ...] = ()

    @classmethod
    def of(cls, exact: Exact) -> RowSpace:
        """Return that of a problem, by Gram and Schmidt in fractions."""
        d = len(exact.points[0])
        found: list[tuple[Fraction, ...]] = []
        if exact.l2:
            return cls()
        for z in exact.points:
            rest = list(z)
            for b in found:
                share = _inner(rest, b) / _inner(b, b)
                rest = [v - share * u for v, u in zip(rest, b, strict=True)]
            if any(rest):
                scale = max(abs(v) for v in rest)
                found.append(tuple(v / scale for v in rest))
            if len(found) == d:
                return cls()
        return cls(tuple(found))

    def balls(self, exact: Exact, step: Fraction) -> Balls:
        """Return the map in coordinates along the basis, whose vectors get length 1 for that."""
        found = Balls.of(exact, step)
        return Balls([self.inward(z) for z in found.points], found.weights, found.l2, found.step)

    def inward(self, w: Sequence[Ball]) -> Vector:
        """Return coordinates [r] of a vector [d]; a part across the basis is lost."""
        return [_along(unit, w) for unit in self._units()] if self.basis else list(w)

    def outward(self, a: Sequence[Ball]) -> Vector:
        """Return the vector [d] that has given coordinates [r]."""
        return [_along(row, a) for row in zip(*self._units(), strict=True)] if self.basis else [*a]

    def holds(self, w: Sequence[Fraction]) -> bool:
        """Say whether a vector [d] lies in the span, exactly."""
        return not self.basis or rational_rank([*self.basis, w]) == len(self.basis)

    def _units(self) -> list[Vector]:
        units = []
        for b in self.basis:
            length = ball(_inner(b, b)).sqrt()
            units.append([ball(v) / length for v in b])
        return units


def _inner(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _along(a: Sequence[Ball], b: Sequence[Ball]) -> Ball:
    return sum((x * y for x, y in zip(a, b, strict=True)), ball(0))
