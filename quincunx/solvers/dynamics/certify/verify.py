"""Prove a certificate again, from what it says and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NoReturn, TypeAlias

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.certify.attraction import STEPS, Arrival, contraction
from quincunx.solvers.dynamics.certify.balls import Vector, ball, one_zero, working
from quincunx.solvers.dynamics.certify.certificate import Certificate
from quincunx.solvers.dynamics.certify.convergence import FORMAT as CONVERGENCE
from quincunx.solvers.dynamics.certify.convergence import Convergence, by_route
from quincunx.solvers.dynamics.certify.cycle import arrive
from quincunx.solvers.dynamics.certify.enclosure import Enclosure, enclose
from quincunx.solvers.dynamics.certify.proof import Loop, Proof, interval, prove
from quincunx.solvers.dynamics.certify.row_space import RowSpace
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.separability import Separability

__all__ = ["verify"]

MOST_BITS = 10_000


Proved: TypeAlias = Certificate | Convergence


def verify(source: str | os.PathLike[str] | Mapping[str, Any] | Proved) -> Proved:
    """Read a certificate and prove every claim in it, with more precision than it was made with.

    Data, step and claims come from the source; nothing else is trusted. A claim holds if it
    follows from what is proved now: an enclosure must hold that of the new proof, and the boxes of
    the cycle must have exactly one cycle in them.

    Arguments:
        source: a file that :meth:`Certificate.save` or :meth:`Convergence.save` wrote, the entries
            of one, or a certificate.

    Returns:
        The certificate, all of whose claims hold.

    Raises:
        FileFormatError: the file is something else, is damaged, or was changed.
        ModelError: a claim does not follow; the message says which.
        MissingExtraError: python-flint is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, certify
        >>> from quincunx.solvers.dynamics.certify.verify import verify
        >>> proof = certify(Logistic([1, -1], [4, 1]), 14, [[0.76], [2.41]])
        >>> verify(proof.to_json()).valid
        True
    """
    claimed = _read(source)
    if claimed.bits > MOST_BITS:
        raise FileFormatError(f"the certificate asks for {claimed.bits} bits; most are {MOST_BITS}")
    return _converges(claimed) if isinstance(claimed, Convergence) else _verified(claimed)


def _converges(claimed: Convergence) -> Convergence:
    """Prove that orbits converge from every start, or that it is refuted or open as it is said."""
    if claimed.valid:
        if not claimed.verify():
            _refuse("convergence from every start does not follow")
        return claimed
    exact = claimed.problem
    l2: Any = exact.l2
    problem = Logistic(exact.points, exact.weights, l2)
    again = by_route(problem, claimed.step, claimed.route, claimed.bits)
    if again.to_json() != claimed.to_json():
        _refuse(f"what is found for these data and this step is: {again.message}")
    return claimed


def _verified(claimed: Certificate) -> Certificate:
    """Prove what is claimed about a cycle."""
    _check_one_minimizer(claimed)
    if not claimed.minimizer:
        if claimed.gamma or claimed.sharpness or claimed.points:
            _refuse("there is no minimiser")
        _check_nothing_more(claimed)
        return claimed
    space = RowSpace.of(claimed.problem)
    if claimed.basis != space.basis:
        _refuse("the basis is not that of the points")
    with working(2 * claimed.bits):
        # Without a cycle, the minimiser takes its place: a fixed point.
        points = [_middle(point) for point in claimed.points or [claimed.minimizer]]
        found = prove(claimed.problem, claimed.step, space, _middle(claimed.minimizer), points)
        _check_minimum(claimed, found, space)
        if claimed.points:
            _check_cycle(claimed, found, space)
            _check_stability(claimed, found, space)
        else:
            _check_nothing_more(claimed)
    _check_arrival(claimed, found, space)
    return claimed


def _read(source: Any) -> Proved:
    if isinstance(source, Certificate | Convergence):
        return _of_entries(source.to_json())
    if isinstance(source, Mapping):
        return _of_entries(source)
    if not isinstance(source, str | os.PathLike):
        raise ModelError(f"{source!r} is no certificate; give one, its file, or a file's entries")
    try:
        with open(source, encoding="utf-8") as file:
            entries = json.load(file)
    # ValueError: also a number of more digits than Python reads.
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{source} is not JSON: {error}") from error
    try:
        return _of_entries(entries)
    except FileFormatError as error:
        raise FileFormatError(f"{source}: {error}") from error


def _of_entries(entries: Any) -> Proved:
    whole_line = isinstance(entries, Mapping) and entries.get("format") == CONVERGENCE
    return Convergence.from_json(entries) if whole_line else Certificate.from_json(entries)


def _check_one_minimizer(claimed: Certificate) -> None:
    exact = claimed.problem
    if exact.l2:
        if claimed.balance:
            _refuse("an L2 term goes with no weights of points")
        return
    if not Separability("overlap", balance=claimed.balance).holds_for(exact.points):
        _refuse("the weights do not show that the points overlap")


def _check_minimum(claimed: Certificate, found: Proof, space: RowSpace) -> None:
    _check("the minimiser", claimed.minimizer, space.outward(found.minimizer))
    if claimed.sharpness is None and claimed.gamma is None:
        return
    if found.sharpness is None or claimed.sharpness is None or claimed.gamma is None:
        _refuse("lambda is not enclosed")
    _check("lambda", [claimed.sharpness], [found.sharpness])
    _check("gamma", [claimed.gamma], [found.sharpness * ball(claimed.step)])


def _check_cycle(claimed: Certificate, found: Proof, space: RowSpace) -> None:
    if not found.boxes:
        _refuse(found.reason)
    for ends, box in zip(claimed.points, found.boxes, strict=True):
        _check("a point of the cycle", ends, space.outward(box))
    loop = Loop(space.balls(claimed.problem, claimed.step), claimed.period)
    wide = [v for point in claimed.points for v in space.inward([interval(e) for e in point])]
    if one_zero(loop.residual, loop.derivative, wide) is None:
        _refuse("the boxes of the cycle may have more than one cycle in them")


def _check_stability(claimed: Certificate, found: Proof, space: RowSpace) -> None:
    left = list(claimed.multipliers)
    for root in found.multipliers if left else []:
        held = [(a, b) for a, b in left if _holds(a, root.real) and _holds(b, root.imaginary)]
        if not held:
            _refuse("the multipliers are not within what is claimed")
        left.remove(held[0])
    if left:
        _refuse("the multipliers are not enclosed")
    if claimed.attraction is not None:
        near = claimed.attraction
        balls = space.balls(claimed.problem, claimed.step)
        kappa = contraction(balls, found.boxes, near.frame, near.radius)
        if kappa is None or not kappa <= ball(near.kappa):
            _refuse("the ball is not shown to be attracted at the rate claimed")
    stable = True if claimed.attraction is not None else found.stable
    if claimed.stable is not None and claimed.stable is not stable:
        _refuse(f"stability is claimed to be {claimed.stable} and found to be {stable}")


def _check_arrival(claimed: Certificate, found: Proof, space: RowSpace) -> None:
    if claimed.arrival is None:
        return
    if claimed.attraction is None:
        _refuse("a start is said to arrive where nothing is attracted")
    if not space.holds(claimed.arrival.start):
        _refuse("the start lies outside the span of the points")
    if claimed.arrival.steps > STEPS:
        _refuse(f"a start is said to arrive after more than {STEPS} steps")
    result = arrive(
        claimed.problem,
        claimed.step,
        space,
        replace(found, attraction=claimed.attraction),
        claimed.arrival.start,
        2 * claimed.bits,
        claimed.arrival.steps,
    )
    if not isinstance(result, Arrival):
        _refuse(result)


def _check_nothing_more(claimed: Certificate) -> None:
    if claimed.multipliers or claimed.attraction or claimed.arrival or claimed.stable is not None:
        _refuse("something about a cycle is claimed, but there is none")


def _check(what: str, claimed: Sequence[Enclosure], found: Vector) -> None:
    if len(claimed) != len(found) or not all(map(_holds, claimed, found)):
        _refuse(f"{what} is not within what is claimed")


def _holds(claimed: Enclosure, found: Any) -> bool:
    if found.is_zero():
        return 0 in claimed
    inner = enclose(found)
    return inner in claimed


def _middle(values: Sequence[Enclosure]) -> tuple[Fraction, ...]:
    return tuple((e.low + e.high) / 2 for e in values)


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f"the certificate does not hold: {reason}")
