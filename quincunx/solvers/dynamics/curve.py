"""The curve of cycles in the space of all their points and a parameter, and Newton's method on it.

``T(x_k; v) - x_(k+1) = 0`` for k = 0 .. p-1, cyclically, are p d equations for p d + 1 unknowns.
Where the Jacobian has full rank their zeros are a smooth curve, also at folds, where the parameter
turns back and Newton's method at a fixed parameter fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.cycles import Cycle, multipliers
from quincunx.solvers.dynamics.parameters import Family

__all__ = ["Curve", "Place", "curve_of"]

ITERATIONS = 9
CLOSED = 1e-10  # a move so small is the last: the error after it is of the order of its square
STALLED, ROUNDED = 1e-6, 1e-14  # a move, and a scaled residual, beyond which rounding reigns
NUDGE = 1e-4  # relative; differences in the parameter are good to 1e-7, of fourth order to 1e-11


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the curve.

    Attributes:
        u: [p d + 1], scaled points and parameter.
        tangent: [p d + 1], of length 1.
        multipliers: [d], complex.
    """

    u: Array
    tangent: Array
    multipliers: Array


@dataclass(frozen=True, slots=True)
class Curve:
    """Equations of cycles of one period, in coordinates of size about one.

    Attributes:
        family: the map.
        period: p.
        dimension: d.
        scale: [p d + 1], what the scaled coordinates are multiplied with.
    """

    family: Family
    period: int
    dimension: int
    scale: Array

    def points(self, u: Array) -> Array:
        """Return the points [p, d] of a scaled vector."""
        return (u[:-1] * self.scale[:-1]).reshape(self.period, self.dimension)

    def value(self, u: Array) -> float:
        """Return the parameter of a scaled vector."""
        return float(u[-1] * self.scale[-1])

    def vector(self, points: Array, value: float) -> Array:
        """Return the scaled vector of points [p, d] and a parameter."""
        return np.append(points.reshape(-1), value) / self.scale

    def residual(self, points: Array, value: float) -> Array:
        """Return how far images are from the points they should be, scaled, [p d]."""
        problem, step = self.family.at(value)
        error = problem.map(points, step) - np.roll(points, -1, axis=0)
        return np.asarray(error).reshape(-1) / self.scale[:-1]

    def matrix(self, u: Array, order: int = 2) -> Array:
        """Return the derivatives [p d, p d + 1] of the residual by the scaled coordinates.

        That by the parameter is a central difference, of order 2 or 4. It decides how fast Newton's
        method converges, and not to where.
        """
        p, d = self.period, self.dimension
        points, value = self.points(u), self.value(u)
        problem, step = self.family.at(value)
        full = np.zeros((p, d, p, d))
        places = np.arange(p)
        full[places, :, places, :] += problem.jacobian(points, step)
        full[places, :, (places + 1) % p, :] -= np.eye(d)
        h = NUDGE * max(abs(value), 1e-3 * self.scale[-1])
        by_value = (self.residual(points, value + h) - self.residual(points, value - h)) / (2 * h)
        if order == 4:
            ahead, behind = (self.residual(points, value + k * h) for k in (2, -2))
            by_value = (4 * by_value - (ahead - behind) / (4 * h)) / 3
        return np.column_stack([full.reshape(p * d, p * d), by_value * self.scale[-1]])

    def correct(self, guess: Array, border: Array, level: float) -> Array | None:
        """Return the point of the curve near a guess with ``border u = level``, by Newton's method.

        None where it does not converge, or where the family has no map.
        """
        u, last = np.array(guess), np.inf
        with np.errstate(all="ignore"):
            for _ in range(ITERATIONS):
                try:
                    error = self.residual(self.points(u), self.value(u))
                    move = np.linalg.solve(
                        np.vstack([self.matrix(u), border]), np.append(error, border @ u - level)
                    )
                except (ModelError, np.linalg.LinAlgError):
                    return None
                size = float(np.abs(move).max())
                if not size < 10:  # also where it is NaN
                    return None
                u -= move
                # Where cycles are nearly free to move, rounding in the equations moves them more.
                stalled = size <= STALLED and size > last / 4 and np.abs(error).max() <= ROUNDED
                if size <= CLOSED or stalled:
                    return u
                last = size
        return None

    def place(self, u: Array, along: Array | None = None) -> Place | None:
        """Return a point of the curve with its tangent, turned to that of a place before it.

        None where the tangent is not determined, or the family has no map near by.
        """
        try:
            matrix = self.matrix(u, 4)
            if along is None:
                tangent = np.linalg.svd(matrix)[2][-1]
            else:
                goal = np.append(np.zeros(len(u) - 1), 1.0)
                tangent = np.linalg.solve(np.vstack([matrix, along]), goal)
        except (ModelError, np.linalg.LinAlgError):
            return None
        size = float(np.linalg.norm(tangent))
        if not np.isfinite(size):
            return None
        problem, step = self.family.at(self.value(u))
        return Place(u, tangent / size, multipliers(problem, step, self.points(u)))

    def cycle(self, u: Array) -> Cycle:
        """Return the cycle at a point of the curve."""
        points, value = self.points(u), self.value(u)
        problem, step = self.family.at(value)
        error = problem.map(points, step) - np.roll(points, -1, axis=0)
        return Cycle(
            points=points,
            step=step,
            multipliers=multipliers(problem, step, points),
            residual=float(np.abs(error).max()),
        )


def curve_of(family: Family, points: Array, value: float, extent: float) -> Curve:
    """Return the equations of the cycles near points [p, d].

    Arguments:
        family: the map.
        points: of a cycle, for their number and size.
        value: of the parameter there.
        extent: how far the parameter may go, > 0, perhaps infinite.
    """
    p, d = points.shape
    # Points moved by their size, all of them, and a parameter moved by its own, are a way of 1.
    size = float(np.sqrt((points**2).mean()))
    size = np.sqrt(p) * (size if size > 1e-12 else 1.0)
    width = min(extent, abs(value)) if value else (extent if np.isfinite(extent) else 1.0)
    return Curve(family, p, d, np.append(np.full(p * d, size), width))
