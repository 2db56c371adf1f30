"""The proof itself: minimiser, cycle, period, multipliers and attraction at one precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.attraction import Attraction, attracted
from quincunx.solvers.dynamics.certify.balls import (
    Ball,
    Balls,
    Derivative,
    Matrix,
    System,
    Vector,
    ball,
    krawczyk,
    newton,
)
from quincunx.solvers.dynamics.certify.eigenvalues import Root, eigenvalues, largest
from quincunx.solvers.dynamics.certify.enclosure import Enclosure, enclose
from quincunx.solvers.dynamics.certify.row_space import RowSpace
from quincunx.solvers.dynamics.logistic import Exact

__all__ = ["Loop", "Proof", "interval", "product", "prove"]


@dataclass(slots=True)
class Proof:
    """What came out, in balls that are worth something within :func:`working` only.

    Attributes:
        minimizer: [d], a box.
        sharpness: the largest eigenvalue of the second derivative there.
        boxes: [period][d].
        multipliers: [d].
        stable: True or False where proved.
        attraction: what is drawn into the cycle.
        reason: what failed; empty where nothing did.
    """

    minimizer: Vector = field(default_factory=list)
    sharpness: Ball = None
    boxes: list[Vector] = field(default_factory=list)
    multipliers: list[Root] = field(default_factory=list)
    stable: bool | None = None
    attraction: Attraction | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Loop:
    """The equations ``T(x_k) = x_(k+1)`` of all points of a cycle at once.

    Unlike those of ``T^p(x) = x``, they do not wrap boxes into each other.

    Attributes:
        balls: the map T.
        period: p.
    """

    balls: Balls
    period: int

    def split(self, x: Vector) -> list[Vector]:
        """Return the p points [d] of a list [p d]."""
        d = self.balls.dimension
        return [x[k * d : (k + 1) * d] for k in range(self.period)]

    def residual(self, x: Vector) -> Vector:
        """Return ``T(x_k) - x_(k+1)`` [p d]."""
        points = self.split(x)
        following = [*points[1:], points[0]]
        return [
            image - y
            for point, after in zip(points, following, strict=True)
            for image, y in zip(self.balls.map(point), after, strict=True)
        ]

    def derivative(self, x: Vector) -> Matrix:
        """Return the derivative [p d, p d] of the residual."""
        d, p = self.balls.dimension, self.period
        zero = ball(0)
        found = [[zero] * (p * d) for _ in range(p * d)]
        for k, point in enumerate(self.split(x)):
            after = (k + 1) % p * d
            for i, row in enumerate(self.balls.jacobian(point)):
                line = found[k * d + i]
                line[k * d : (k + 1) * d] = row
                line[after + i] = line[after + i] - 1
        return found


def prove(
    exact: Exact,
    step: Fraction,
    space: RowSpace,
    minimizer: Sequence[Any],
    points: Sequence[Sequence[Any]],
) -> Proof:
    """Prove as much about a cycle as the precision allows, within :func:`working`.

    Arguments:
        exact: the problem; it must be known to have one minimiser at most within the space.
        step: of gradient descent.
        space: what the points span; boxes are in its coordinates.
        minimizer: [d], near the minimiser: floats or fractions.
        points: [period][d], near a cycle.

    Raises:
        ModelError: the points are those of a shorter cycle, repeated.
    """
    found, balls = Proof(), space.balls(exact, step)
    near = space.inward([_number(v) for v in minimizer])
    w = enclosed_zero(balls.gradient, balls.hessian, near, space)
    if w is None:
        return _failed(found, "no minimiser was enclosed: Krawczyk's test failed")
    found.minimizer = w
    roots = eigenvalues(_matrix(balls.hessian(w)))
    if roots is None:
        return _failed(found, "the largest eigenvalue at the minimiser was not enclosed")
    found.sharpness = largest(roots)
    loop = Loop(balls, len(points))
    start = [v for point in points for v in space.inward([_number(v) for v in point])]
    x = enclosed_zero(loop.residual, loop.derivative, start, space)
    if x is None:
        return _failed(found, "no cycle was enclosed: Krawczyk's test failed")
    boxes = loop.split(x)
    if not _distinct(boxes):
        return _failed(found, "the points of the cycle were not told apart")
    found.boxes = boxes
    _stability(found, balls)
    return found


def enclosed_zero(
    system: System, derivative: Derivative, start: Vector, space: RowSpace
) -> Vector | None:
    """Return a box around the zero near a start, or None.

    The box is the smaller one of Krawczyk's test. The zero is also the only one in the box that
    is published: in the coordinates of the whole space, and with decimals as ends.
    """
    from flint import ctx

    try:
        centre = newton(system, derivative, start)
    except ZeroDivisionError:
        return None
    radius = Fraction(1, 2 ** (int(ctx.prec) // 2))
    if not all(x.is_finite() for x in centre):
        return None
    found = krawczyk(system, derivative, centre, radius)
    if found is None:
        return None
    wide = [x + ball(0, radius) for x in centre]
    r = len(space.basis) or len(found)
    published = [
        x
        for k in range(0, len(found), r)
        for x in space.inward([interval(enclose(x)) for x in space.outward(found[k : k + r])])
    ]
    held = all(box.contains(x) for box, x in zip(wide, published, strict=True))
    return found if held else None


def interval(ends: Enclosure) -> Ball:
    """Return a ball that holds all of an enclosure."""
    return ball(ends.low).union(ball(ends.high))


def product(balls: Balls, boxes: Sequence[Vector]) -> Any:
    """Return ``DT(x_(p-1)) ... DT(x_0)`` as an ``arb_mat``."""
    found = _matrix(balls.jacobian(boxes[0]))
    for box in boxes[1:]:
        found = _matrix(balls.jacobian(box)) * found
    return found


def _stability(found: Proof, balls: Balls) -> None:
    matrix = product(balls, found.boxes)
    found.multipliers = eigenvalues(matrix) or []
    sizes = [root.size() for root in found.multipliers]
    if any(size > 1 for size in sizes):
        found.stable = False
        found.reason = "the cycle is unstable, so that no ball around it is attracted"
        return
    if sizes and all(size < 1 for size in sizes):
        found.stable = True
    bound = max((float(size.mid()) for size in sizes), default=0.5)
    found.attraction = attracted(balls, found.boxes, matrix, bound)
    if found.attraction is not None:
        found.stable = True  # |V^-1 P V| < 1 bounds the multipliers too
    elif found.stable:
        found.reason = "no ball was found that is surely attracted"
    else:
        found.reason = "the multipliers were not shown to be on one side of the unit circle"


def _distinct(boxes: list[Vector]) -> bool:
    """Whether no point is repeated after a divisor of the period.

    Raises:
        ModelError: all are: the cycle shifted by the divisor lies in the box as well, in which
            there is only one.
    """
    p = len(boxes)
    for q in range(1, p):
        if p % q:
            continue
        same = [
            all(a.overlaps(b) for a, b in zip(boxes[k], boxes[(k + q) % p], strict=True))
            for k in range(p)
        ]
        if all(same):
            what = "a fixed point" if q == 1 else f"a cycle of {q} points"
            raise ModelError(
                f"the {p} points are {what}, repeated: give that, or points of a longer cycle"
            )
        if any(same):
            return False
    return True


def _failed(found: Proof, reason: str) -> Proof:
    found.reason = reason
    return found


def _matrix(rows: Matrix) -> Any:
    from flint import arb_mat

    return arb_mat(rows)


def _number(value: Any) -> Ball:
    return ball(value) if isinstance(value, Fraction) else ball(0) + float(value)
