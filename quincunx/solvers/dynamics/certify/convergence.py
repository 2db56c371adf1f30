"""Proofs that gradient descent in one dimension converges to the minimiser from every start."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.certify.all_cycles import (
    LineCycle,
    alone,
    measured,
    new_cycle,
    search,
    zeros,
)
from quincunx.solvers.dynamics.certify.balls import ball, working
from quincunx.solvers.dynamics.certify.certificate import exact_number
from quincunx.solvers.dynamics.certify.enclosure import Enclosure
from quincunx.solvers.dynamics.certify.line import Line, Span, exact_step, trap
from quincunx.solvers.dynamics.logistic import Exact, Logistic
from quincunx.solvers.dynamics.rationals import written

__all__ = [
    "Convergence",
    "Route",
    "by_route",
    "converges_globally",
    "gamma_at_most_one",
    "no_two_cycle",
]

Route = Literal["gamma at most one", "no cycle of period two"]

FORMAT, VERSION = "quincunx certificate of global convergence", 1
BITS = 128
SHOWN = 12  # points that are written out in full


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """Whether gradient descent converges to the minimiser from every start, and why.

    Attributes:
        problem: the data, in fractions.
        step: of gradient descent.
        route: what the proof rests on.
        valid: it is proved. False says nothing but that this route does not prove it, unless
            ``two_cycle`` is given, which is proved to exist and starts on which do not converge.
        message: what is proved, or why it is not.
        minimizer: encloses w*.
        gamma: encloses ``step f''(w*)``.
        radius: every orbit enters ``|w| <= radius`` and stays there.
        near: in this interval about w*, ``T^2`` has no other fixed point; None on the other route.
        cuts: from the end of ``near`` to above all points of cycles. Between neighbours, ``T^2`` is
            proved to have no fixed point that is the higher point of a cycle.
        two_cycle: a cycle of period two, which refutes the statement.
        bits: of the arithmetic.
    """

    problem: Exact
    step: Fraction
    route: Route
    valid: bool
    message: str
    minimizer: Enclosure
    gamma: Enclosure
    radius: Fraction
    near: Enclosure | None
    cuts: tuple[Fraction, ...]
    two_cycle: LineCycle | None
    bits: int

    @property
    def boxes(self) -> int:
        """How many boxes the proof is about, the one around the minimiser included."""
        return max(len(self.cuts), 1)

    def __str__(self) -> str:
        """State the theorem and its proof, or what is missing."""
        pairs = list(zip(self.problem.points, self.problem.weights, strict=True))
        data = ", ".join(f"{written(z[0])} x {written(c)}" for z, c in pairs[:SHOWN])
        more = f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        ridge = f", L2 term {written(self.problem.l2)}" if self.problem.l2 else ""
        claim = "converges" if self.valid else "is not proved to converge"
        lines = [
            f"Gradient descent on a logistic loss {claim} to the minimiser from every start.",
            f"  data (point x multiplicity): {data}{more}{ridge}",
            f"  step: {written(self.step)}",
            f"  minimiser: {self.minimizer}",
            f"  gamma = step f''(minimiser): {self.gamma}",
            f"  all orbits enter and stay in |w| <= {written(self.radius)}",
            f"  {self.message}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Show the result in a line."""
        return (
            f"Convergence(valid={self.valid}, {self.route}, gamma {self.gamma}, boxes {self.boxes})"
        )

    def verify(self) -> bool:
        """Prove the statement anew from the data, step and boxes in this object alone.

        Nothing is searched: the boxes are checked one by one. What is not valid does not verify.
        """
        if not self.valid or self.two_cycle is not None or self.step <= 0:
            return False
        try:
            exact = self.problem
            l2: Any = exact.l2
            problem = Logistic(exact.points, exact.weights, l2)
            # With more bits, so that what is enclosed anew lies within what was.
            with working(self.bits + 64):
                return self._holds(Line.of(problem, self.step))
        except ModelError:
            return False

    def _holds(self, line: Line) -> bool:
        minimizer, gamma = (Enclosure(*x.fractions()) for x in (line.minimizer, line.gamma))
        if minimizer not in self.minimizer or gamma not in self.gamma:
            return False
        if self.message != _proof(self.route, self.boxes):
            return False
        if self.radius < trap(self.problem, self.step).radius:
            return False
        if self.route == "gamma at most one":
            return bool(line.gamma.high <= 1)
        return self._covered(line)

    def _covered(self, line: Line) -> bool:
        if self.near is None or not self.cuts or self.cuts[0] != self.near.high:
            return False
        near = Span.of(self.near.low, self.near.high)
        if not (line.minimizer.within(near) and alone(line, 2, near)):
            return False
        if not ball(self.cuts[-1]) >= line.core().high:
            return False
        pairs = zip(self.cuts, self.cuts[1:], strict=False)
        return all(low < high and zeros(line, 2, Span.of(low, high)) == 0 for low, high in pairs)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has it: exact numbers are strings."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "points": [written(z[0]) for z in self.problem.points],
            "multiplicities": [written(c) for c in self.problem.weights],
            "l2": written(self.problem.l2),
            "step": written(self.step),
            "route": self.route,
            "valid": self.valid,
            "message": self.message,
            "minimizer": self.minimizer.to_json(),
            "gamma": self.gamma.to_json(),
            "radius": written(self.radius),
            "near": self.near and self.near.to_json(),
            "cuts": [written(v) for v in self.cuts],
            "two_cycle": self.two_cycle and self.two_cycle.to_json(),
            "bits": self.bits,
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Convergence:
        """Return what :meth:`to_json` wrote, with its claims unproved: see :meth:`verify`.

        Raises:
            FileFormatError: it is something else, or damaged.
        """
        if not isinstance(entries, Mapping) or entries.get("format") != FORMAT:
            raise FileFormatError(f"this is not a {FORMAT}; Convergence.save writes one")
        if entries.get("version") != VERSION:
            raise FileFormatError(
                f"the certificate has version {entries.get('version')!r}; this library reads "
                f"version {VERSION}"
            )
        try:
            return cls._read(entries)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise FileFormatError(f"the certificate is damaged: {error!r}") from error

    @classmethod
    def _read(cls, entries: Mapping[str, Any]) -> Convergence:
        route, bits, valid = entries["route"], entries["bits"], entries["valid"]
        if route not in get_args(Route) or not isinstance(valid, bool):
            raise ValueError(f"route {route!r}, valid {valid!r}")
        if not isinstance(bits, int) or isinstance(bits, bool) or not 53 <= bits <= 10_000:
            raise ValueError(f"{bits!r} bits")
        cycle = entries["two_cycle"]
        exact = Exact(
            tuple((exact_number(z),) for z in entries["points"]),
            tuple(exact_number(c) for c in entries["multiplicities"]),
            exact_number(entries["l2"]),
        )
        if len(exact.points) != len(exact.weights):
            raise ValueError("there are not as many multiplicities as points")
        return cls(
            problem=exact,
            step=exact_number(entries["step"]),
            route=route,
            valid=valid,
            message=str(entries["message"]),
            minimizer=_enclosure(entries["minimizer"]),
            gamma=_enclosure(entries["gamma"]),
            radius=exact_number(entries["radius"]),
            near=None if entries["near"] is None else _enclosure(entries["near"]),
            cuts=tuple(exact_number(v) for v in entries["cuts"]),
            two_cycle=None
            if cycle is None
            else LineCycle(
                points=tuple(_enclosure(p) for p in cycle["points"]),
                multiplier=_enclosure(cycle["multiplier"]),
                stable=cycle["stable"],
            ),
            bits=bits,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, from which :meth:`from_json` and :meth:`verify` prove all anew."""
        with atomic_write(path) as file:
            file.write(json.dumps(self.to_json(), indent=1) + "\n")


def _enclosure(ends: Any) -> Enclosure:
    low, high = ends
    return Enclosure(exact_number(low), exact_number(high))


def converges_globally(problem: Logistic, step: Any, *, bits: int = BITS) -> Convergence:
    """Prove that gradient descent in one dimension converges to the minimiser from every start.

    First by :func:`gamma_at_most_one`, which looks at the minimiser only, and if that does not
    settle it by :func:`no_two_cycle`, which covers an interval and works for larger steps too.

    Arguments:
        problem: in one dimension.
        step: exact: a whole number, a fraction, or a string such as "6" or "1/3"; a float stands
            for its shortest decimal.
        bits: of the arithmetic.

    Returns:
        The theorem, or ``valid=False`` with the reason: a cycle of period two, or what stays
        undecided.

    Raises:
        ModelError: the problem has more than one dimension or no minimiser, or the L2 term alone
            throws orbits away.
        MissingExtraError: python-flint is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.certify.convergence import converges_globally
        >>> converges_globally(Logistic([1, -1], [4, 1]), 12).valid
        True
        >>> print(converges_globally(Logistic([1, -1], [4, 1]), 13).message)
        Not so: the cycle of period 2 through 1.93369 and 0.976145 exists and is stable
    """
    found = gamma_at_most_one(problem, step, bits=bits)
    return found if found.valid else no_two_cycle(problem, step, bits=bits)


def by_route(problem: Logistic, step: Any, route: Route, bits: int) -> Convergence:
    """Return what one of the two routes finds."""
    way = gamma_at_most_one if route == "gamma at most one" else no_two_cycle
    return way(problem, step, bits=bits)


def gamma_at_most_one(problem: Logistic, step: Any, *, bits: int = BITS) -> Convergence:
    """Prove global convergence in one dimension by ``step f''(w*) <= 1``.

    Why this suffices: let w* >= 0, else reflect. f'' is an even function that falls in ``|w|``. For
    ``w >= w*`` so ``f''(w) <= f''(w*) <= 1 / step`` and ``T' >= 0``: T maps the half-line beyond w*
    to itself, goes down there, and converges, to the only fixed point. From ``w < w*`` steps go up.
    Either they stay below w*, and then converge to it, or one leads beyond w*, and the first case
    applies.

    The step 1 / f''(w*) itself is irrational as a rule and then no step that can be given; where
    the enclosure of gamma still holds 1, this decides nothing.

    Arguments:
        problem: in one dimension.
        step: exact, as for :func:`converges_globally`.
        bits: of the arithmetic.

    Raises:
        ModelError: as for :func:`converges_globally`.
    """
    exact = exact_step(step)
    with working(bits):
        line = Line.of(problem, exact)
        valid = bool(line.gamma.high <= 1)
        if valid:
            message = _proof("gamma at most one", 1)
        elif line.gamma.low > 1:
            message = "gamma > 1, where this theorem says nothing; see no_two_cycle"
        else:
            message = (
                f"whether gamma <= 1 is not decided by {bits} bits: it is 1 or very near; "
                f"use more bits, or no_two_cycle"
            )
        return _convergence(problem, exact, line, "gamma at most one", valid, message, bits)


def no_two_cycle(problem: Logistic, step: Any, *, bits: int = BITS) -> Convergence:
    """Prove global convergence in one dimension by the absence of cycles of period two.

    A continuous map of a compact interval to itself without cycles of period two takes every orbit
    to a fixed point (Coppel); gradient descent has one fixed point, w*, and a trapping interval.
    That ``T^2`` has no fixed point but w* is proved by covering with boxes all places where the
    higher point of a cycle could be.

    Arguments:
        problem: in one dimension.
        step: exact, as for :func:`converges_globally`.
        bits: of the arithmetic.

    Raises:
        ModelError: as for :func:`converges_globally`.

    Reference:
        Coppel, "The solution of equations by iteration", Mathematical Proceedings of the Cambridge
        Philosophical Society 51, 1955.
    """
    exact = exact_step(step)
    with working(bits):
        line = Line.of(problem, exact)
        route: Route = "no cycle of period two"
        result = search(line, 2)
        orbits = [new_cycle(line, box, 2, {}) for box in result.found]
        cycles = [measured(line, points) for points in orbits if points]
        if cycles:
            # A stable one tells more: it keeps an open set of starts.
            cycle = next((c for c in cycles if c.stable), cycles[0])
            return _convergence(
                problem, exact, line, route, False, _refutation(cycle), bits, two_cycle=cycle
            )
        if result.near is None or result.undecided or result.found:
            places = ", ".join(str(x.enclosure()) for x in result.undecided + result.found)
            message = f"whether a cycle of period 2 has its higher point in {places} is undecided"
            if line.gamma.low <= 2 <= line.gamma.high:
                message += ", as gamma is 2 or very near"
            return _convergence(problem, exact, line, route, False, message, bits)
        message = _proof(route, len(result.cuts))
        near = Enclosure(*result.near)
        return _convergence(
            problem, exact, line, route, True, message, bits, near=near, cuts=tuple(result.cuts)
        )


def _proof(route: Route, boxes: int) -> str:
    if route == "gamma at most one":
        return "Proof: gamma <= 1, and f'' is even and falls in |w|."
    show = f"{boxes} box{'es show' if boxes > 1 else ' shows'}"
    return (
        f"Proof: {show} that there is no cycle of period 2, so that all orbits converge "
        f"(Coppel 1955)."
    )


def _refutation(cycle: LineCycle) -> str:
    kind = {True: " and is stable", False: " and is unstable", None: ""}[cycle.stable]
    first, second = (f"{p.midpoint:.6g}" for p in cycle.points)
    return f"Not so: the cycle of period 2 through {first} and {second} exists{kind}"


def _convergence(
    problem: Logistic,
    step: Fraction,
    line: Line,
    route: Route,
    valid: bool,
    message: str,
    bits: int,
    *,
    near: Enclosure | None = None,
    cuts: tuple[Fraction, ...] = (),
    two_cycle: LineCycle | None = None,
) -> Convergence:
    return Convergence(
        problem=problem.exact,
        step=step,
        route=route,
        valid=valid,
        message=message,
        minimizer=line.minimizer.enclosure(),
        gamma=line.gamma.enclosure(),
        radius=line.trap.radius,
        near=near,
        cuts=cuts,
        two_cycle=two_cycle,
        bits=bits,
    )
