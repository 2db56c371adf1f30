"""From a numeric cycle to a theorem."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.certify.attraction import Arrival, descend
from quincunx.solvers.dynamics.certify.balls import Vector, ball, working
from quincunx.solvers.dynamics.certify.certificate import Certificate
from quincunx.solvers.dynamics.certify.eigenvalues import Root
from quincunx.solvers.dynamics.certify.enclosure import Enclosure, enclose
from quincunx.solvers.dynamics.certify.proof import Proof, prove
from quincunx.solvers.dynamics.certify.row_space import RowSpace
from quincunx.solvers.dynamics.cycles import Cycle, newton_cycles
from quincunx.solvers.dynamics.logistic import Exact, Logistic
from quincunx.solvers.dynamics.rationals import rational, written

__all__ = ["arrive", "certify", "precisions"]

BITS = 160
LEAST_BITS = 64
MOST_BITS = 1280  # for the cycle
MOST_BITS_OF_ORBITS = 5120  # a start loses digits wherever nearby orbits part


def certify(
    problem: Logistic,
    step: float | str | Fraction,
    cycle: Cycle | Array,
    *,
    start: Any = None,
    bits: int = BITS,
) -> Certificate:
    """Prove that gradient descent has a stable cycle, from numbers that are near one.

    Proved are: the loss has one minimiser; enclosures of it, of the largest eigenvalue lambda of
    the second derivative there, and of ``gamma = step lambda``; that a box has exactly one cycle,
    of exactly this period; enclosures of its multipliers, and that all are within the unit circle;
    a ball around a point of it that ``T^p`` contracts into itself; and, if a start is given, that
    gradient descent from it gets into that ball. The numbers given only say where to look.

    Arguments:
        problem: its numbers are taken exactly; a float stands for its shortest decimal.
        step: likewise; such as 7.18 or "1/3".
        cycle: what :func:`find_cycles` returns, or points [period, d] to a few digits.
        start: [d], a point to run gradient descent from; numbers or strings such as "0.3".
        bits: of the arithmetic, to begin with; they are doubled as long as a proof fails.

    Returns:
        The certificate. Where a proof failed, ``valid`` is False and ``reason`` says what did.

    Raises:
        MissingExtraError: python-flint is not installed.
        ModelError: the loss has no minimiser, or more than one; no cycle is near the points, or
            they are those of a shorter cycle, repeated; the step is not > 0.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, certify
        >>> problem = Logistic([1, -1, 1300], [5100, 4900, 1])
        >>> proof = certify(problem, 6, [[0.9986], [-0.326]], start=["1"])
        >>> proof.valid, proof.period, proof.arrival.steps
        (True, 2, 0)
        >>> print(proof.gamma)
        1.4992500749925007[499, 500]
    """
    began = time.perf_counter()
    if not isinstance(bits, int) or bits < LEAST_BITS:
        raise ModelError(f"bits is {bits!r}; give a whole number >= {LEAST_BITS}, such as {BITS}")
    with working(bits):
        pass  # complains about a missing library before any work
    eta = rational(step, "step")
    if eta <= 0:
        raise ModelError(f"step is {step}; give a number > 0, such as 1.5 / problem.sharpness")
    if not problem.l2:
        problem.separability.refuse()
    space = RowSpace.of(problem.exact)
    inside = problem.within_span()
    minimizer = problem.span @ inside.minimizer()
    points = _refined(inside, float(eta), _points(problem, cycle) @ problem.span) @ problem.span.T
    origin = None if start is None else _start(start, problem.dimension, space)
    for precision in precisions(bits, MOST_BITS):
        with working(precision):
            found = prove(problem.exact, eta, space, minimizer, points)
            parts = _parts(found, eta, space)
        if found.stable is not None:
            break
    arrival: Arrival | str | None = None
    if origin is not None and found.stable is not False:
        arrival = arrive(problem.exact, eta, space, found, origin, bits)
    reasons = [found.reason, arrival if isinstance(arrival, str) else ""]
    return Certificate(
        problem=problem.exact,
        step=eta,
        balance=() if problem.l2 else problem.separability.balance,
        basis=space.basis,
        period=len(points),
        stable=found.stable,
        attraction=found.attraction,
        arrival=arrival if isinstance(arrival, Arrival) else None,
        reason="; ".join(reason for reason in reasons if reason),
        bits=precision,
        seconds=time.perf_counter() - began,
        **parts,
    )


def _start(start: Any, d: int, space: RowSpace) -> tuple[Fraction, ...]:
    """Return a start [d], checked."""
    origin = _vector(start, d)
    if not space.holds(origin):
        raise ModelError(
            f"the start ({', '.join(map(written, origin))}) lies outside the span of the points: "
            f"gradient descent keeps its part across the span, and ends beside the cycle. Give a "
            f"start within the span"
        )
    return origin


def precisions(bits: int, most: int) -> Iterator[int]:
    """Return a number of bits, and twice as many as long as there are not too many."""
    yield bits
    while bits < most:
        bits *= 2
        yield bits


def arrive(
    exact: Exact,
    step: Fraction,
    space: RowSpace,
    found: Proof,
    start: tuple[Fraction, ...],
    bits: int,
    steps: int | None = None,
) -> Arrival | str:
    """Run gradient descent from a start with as many bits as it takes.

    Arguments:
        exact: the problem.
        step: of gradient descent.
        space: what the points span.
        found: the cycle, and what it attracts.
        start: [d].
        bits: to begin with.
        steps: look after so many only; None: after each.

    Returns:
        The arrival, or why there is none.
    """
    if found.attraction is None:
        return "nothing is known about starts, without a ball that is attracted"
    for precision in precisions(bits, MOST_BITS_OF_ORBITS):
        with working(precision):
            balls = space.balls(exact, step)
            origin = space.inward([ball(v) for v in start])
            result = descend(balls, found.boxes[0], found.attraction, origin, steps)
        if isinstance(result, int):
            return Arrival(start, result)
        if result:
            return result
    return f"the orbit of the start loses all digits, also of {MOST_BITS_OF_ORBITS} bits"


def _points(problem: Logistic, cycle: Cycle | Array) -> Array:
    """Return the points [p, d] given, checked."""
    given = np.asarray(cycle.points if isinstance(cycle, Cycle) else cycle, np.float64)
    if given.ndim == 1 and problem.dimension == 1:
        given = given[:, None]
    if given.ndim != 2 or not len(given) or given.shape[1] != problem.dimension:
        raise ModelError(
            f"the cycle has shape {given.shape}; give points [period, {problem.dimension}]"
        )
    if not np.isfinite(given).all():
        raise ModelError("the cycle has points that are not finite")
    return given


def _refined(problem: Logistic, step: float, given: Array) -> Array:
    """Return points [p, d] of a cycle to rounding, from some that are near it."""
    points, solved = newton_cycles(problem, step, given[None])
    if not solved[0]:
        raise ModelError(
            f"no cycle of period {len(given)} is near the points given: Newton's method does not "
            f"converge from them. An orbit that moves slowly is not a cycle"
        )
    moved = float(np.abs(points[0] - given).max())
    near = 0.1 * float(np.ptp(given, axis=0).max()) + 0.01 * (1e-3 + float(np.abs(given).max()))
    if moved > near:
        raise ModelError(
            f"no cycle of period {len(given)} is near the points given: Newton's method ends at a "
            f"distance of {moved:.2g} from them. Give points with more digits, from find_cycles"
        )
    return points[0]


def _vector(values: Any, d: int) -> tuple[Fraction, ...]:
    given = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(given, (list, tuple)):
        given = [given]
    if len(given) != d:
        raise ModelError(f"start has {len(given)} coordinates; give {d}")
    return tuple(rational(v, "a coordinate of start") for v in given)


def _parts(found: Proof, step: Fraction, space: RowSpace) -> dict[str, Any]:
    """Return the balls of a proof as enclosures; within :func:`working` only."""
    known = found.sharpness is not None
    return {
        "minimizer": _box(found.minimizer, space),
        "sharpness": enclose(found.sharpness) if known else None,
        "gamma": enclose(found.sharpness * ball(step)) if known else None,
        "points": tuple(_box(box, space) for box in found.boxes),
        "multipliers": tuple(_root(root) for root in found.multipliers),
    }


def _box(box: Vector, space: RowSpace) -> tuple[Enclosure, ...]:
    return tuple(enclose(x) for x in space.outward(box)) if box else ()


def _root(root: Root) -> tuple[Enclosure, Enclosure]:
    real = bool(root.imaginary.is_zero())
    zero = Enclosure(Fraction(0), Fraction(0))
    return enclose(root.real), zero if real else enclose(root.imaginary)
