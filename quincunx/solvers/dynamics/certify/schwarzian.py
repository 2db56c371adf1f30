"""The Schwarzian derivative in one dimension, and all attracting cycles where it is negative."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.certify.all_cycles import isolated, search
from quincunx.solvers.dynamics.certify.balls import Ball, ball, working
from quincunx.solvers.dynamics.certify.enclosure import Enclosure
from quincunx.solvers.dynamics.certify.line import Line, Span, exact_step, follow
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from
from quincunx.solvers.dynamics.logistic import Logistic

__all__ = ["Attractors", "Schwarzian", "attractors", "schwarzian_negative"]

BITS = 128
BOXES = 20_000
BURNS = (1000, 4000, 16_000)  # iterations, one after the other, before a period is looked for
LONGEST = 128  # period that is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Schwarzian:
    """Whether ``S T = T''' / T' - (3/2) (T'' / T')^2 < 0``, away from critical points.

    Attributes:
        negative: it is proved to be, on all of ``within``.
        positive_at: encloses a point where it is proved not to be: there ``S T >= 0``.
        undecided: a small interval in which neither was proved.
        within: an interval that T maps to itself and that has all cycles; every orbit enters it or
            converges to the minimiser.
        boxes: looked at.
    """

    negative: bool
    positive_at: Enclosure | None
    undecided: Enclosure | None
    within: Enclosure
    boxes: int

    def __str__(self) -> str:
        """Show the result in a line."""
        if self.negative:
            low, high = float(self.within.low), float(self.within.high)
            return (
                f"The Schwarzian derivative is negative on an interval from about {low:.10g} to "
                f"about {high:.10g} that T maps to itself (boxes: {self.boxes})."
            )
        if self.positive_at is not None:
            return f"The Schwarzian derivative is not negative at {self.positive_at}."
        return f"Whether the Schwarzian derivative is negative in {self.undecided} is undecided."


@dataclass(frozen=True, slots=True, kw_only=True)
class Attractors:
    """Attracting cycles in one dimension.

    Attributes:
        cycles: attracting ones that are proved to exist, by period and then by their highest point.
        complete: there are no others, of whatever period: this is proved.
        reason: why that is proved, or what prevents it.
    """

    cycles: tuple[Cycle, ...]
    complete: bool
    reason: str

    def __str__(self) -> str:
        """Show the cycles and the reason."""
        what = "all" if self.complete else "some, perhaps not all,"
        lines = [f"These are {what} attracting cycles: {self.reason}"]
        return "\n".join([*lines, *(f"  {cycle!r}" for cycle in self.cycles)])


class _Basin(NamedTuple):
    """An attracting cycle, its highest point, and an interval whose points converge to it."""

    cycle: Cycle
    point: Span
    inside: Span


def schwarzian_negative(problem: Logistic, step: Any, *, bits: int = BITS) -> Schwarzian:
    """Prove that the Schwarzian derivative of gradient descent is negative, or that it is not.

    In terms of the loss ``S T < 0`` is ``f'''' (1 - step f'') + (3/2) step f'''^2 > 0``, where
    ``T' = 1 - step f''`` is not 0. This is looked at on the interval that has all cycles, in boxes
    that are halved until it is settled.

    Arguments:
        problem: in one dimension.
        step: exact: a whole number, a fraction, or a string such as "6" or "1/3"; a float stands
            for its shortest decimal.
        bits: of the arithmetic.

    Raises:
        ModelError: the problem has more than one dimension or no minimiser, or the L2 term alone
            throws orbits away.
        MissingExtraError: python-flint is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.certify.schwarzian import schwarzian_negative
        >>> schwarzian_negative(Logistic([1, -1], [4, 1]), 30).negative
        True
        >>> schwarzian_negative(Logistic([1, -1, 1300], [5100, 4900, 1]), 6).negative
        False
    """
    exact = exact_step(step)
    with working(bits):
        return _schwarzian(Line.of(problem, exact))


def _schwarzian(line: Line) -> Schwarzian:
    core = line.core()
    # Its ends exactly: rounded outward, it would be more than what is looked at.
    within = Enclosure(*core.fractions())
    todo, boxes = [core], 0
    least = core.width * ball(2) ** -40
    while todo:
        x = todo.pop()
        boxes += 1
        value = _excess(line, x)
        if value > 0:
            continue
        middle = x.middle
        point = Span(middle, middle)
        wrong = bool(_excess(line, point) <= 0) and not line.slope(point).contains(0)
        if wrong or x.width <= least or boxes >= BOXES:
            return Schwarzian(
                negative=False,
                positive_at=point.enclosure() if wrong else None,
                undecided=None if wrong else x.enclosure(),
                within=within,
                boxes=boxes,
            )
        todo += [Span(middle, x.high), Span(x.low, middle)]
    return Schwarzian(negative=True, positive_at=None, undecided=None, within=within, boxes=boxes)


def _excess(line: Line, x: Span) -> Ball:
    """Return ``f'''' T' + (3/2) step f'''^2`` on an interval: its sign is that of ``-S T``."""
    third, fourth = line.higher(x)
    return fourth * line.slope(x) + ball(Fraction(3, 2)) * line.step * _squared(third)


def _squared(value: Ball) -> Ball:
    """Return the square of a ball, which is nowhere negative."""
    return (value * value).nonnegative_part()


def attractors(problem: Logistic, step: Any, *, bits: int = BITS) -> Attractors:
    """Find all attracting cycles in one dimension, of any period, and prove that they are all.

    Where there is no cycle of period two, every orbit converges to the minimiser. Where the
    Schwarzian derivative is negative on an interval that T maps to itself, every attracting cycle
    attracts a critical point of T or an end of the interval (Singer): the orbits of these few
    points, followed until each is proved to be caught by a cycle, find all. Otherwise, or where
    such an orbit does not settle, as with chaos, cycles that were found are given, but it is not
    claimed that there are no others.

    Arguments:
        problem: in one dimension.
        step: exact, as for :func:`schwarzian_negative`.
        bits: of the arithmetic; long orbits that are chaotic at first need many.

    Raises:
        ModelError: as for :func:`schwarzian_negative`.
        MissingExtraError: python-flint is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.certify.schwarzian import attractors
        >>> found = attractors(Logistic([1, -1], [4, 1]), 17)
        >>> found.complete, [cycle.period for cycle in found.cycles]
        (True, [4])

    Reference:
        Singer, "Stable orbits and bifurcation of maps of the interval", SIAM Journal on Applied
        Mathematics 35, 1978; de Melo and van Strien, "One-Dimensional Dynamics", 1993, theorem
        II.6.1.
    """
    exact = exact_step(step)
    with working(bits):
        line = Line.of(problem, exact)
        result = search(line, 2)
        if result.near is not None and not result.found and not result.undecided:
            at = np.array([[float(line.minimizer.middle)]])
            fixed = cycle_from(problem, float(exact), at)
            reason = "there is no cycle of period 2, so that all orbits converge to the minimiser"
            return Attractors(cycles=(fixed,), complete=True, reason=reason)
        caught, basins = _caught(line, problem, float(exact), _seeds(line))
        cycles = sorted((b.cycle for b in basins), key=lambda c: (c.period, c.points[0, 0]))
        complete, reason = _why(line, all(caught))
        return Attractors(cycles=tuple(cycles), complete=complete, reason=reason)


def _why(line: Line, caught: bool) -> tuple[bool, str]:
    if not caught:
        return False, (
            f"the orbit of a critical point or of an end is not proved to settle in {sum(BURNS)} "
            f"steps on a cycle of period up to {LONGEST}: chaos, or a bifurcation near by"
        )
    sign = _schwarzian(line)
    if not sign.negative:
        return False, (
            f"{str(sign)[0].lower()}{str(sign)[1:-1]}, so that cycles may attract no critical "
            f"point; all_cycles has all up to a period"
        )
    return True, (
        "the Schwarzian derivative is negative where all cycles are, and the critical "
        "points and ends converge to these"
    )


def _seeds(line: Line) -> list[Span]:
    """Return the critical points in the core, and its ends, which are exact."""
    core = line.core()
    turns = [place for place, _ in line.turns if place.overlaps(core)]
    return [*turns, Span(core.low, core.low), Span(core.high, core.high)]


def _caught(
    line: Line, problem: Logistic, step: float, seeds: list[Span]
) -> tuple[list[bool], list[_Basin]]:
    """Return whether each seed is proved to converge to an attracting cycle, and the cycles."""
    orbits = np.array([[float(seed.middle)] for seed in seeds])
    caught, tried = [False] * len(seeds), [False] * len(seeds)
    basins: list[_Basin] = []
    for burn in BURNS:
        for _ in range(burn):
            orbits = problem.map(orbits, step)
        for i in range(len(seeds)):
            if tried[i]:
                continue
            basin = next((b for b in basins if _close(b, problem, step, orbits[i])), None)
            basin = basin or _basin(line, problem, step, orbits[i])
            if basin is not None:
                tried[i], caught[i] = True, _arrives(line, seeds[i], basin)
                if not any(basin.point.overlaps(other.point) for other in basins):
                    basins.append(basin)
        if all(tried):
            break
    return caught, basins


def _close(basin: _Basin, problem: Logistic, step: float, w: Array) -> bool:
    """Whether a point in double precision is on its way to a cycle."""
    low, high = float(basin.inside.low), float(basin.inside.high)
    x = w[None]
    for _ in range(basin.cycle.period):
        if low < x[0, 0] < high:
            return True
        x = problem.map(x, step)
    return False


def _basin(line: Line, problem: Logistic, step: float, w: Array) -> _Basin | None:
    """Return the stable cycle near the end of an orbit in double precision, proved, or None."""
    orbit = [w]
    for _ in range(LONGEST):
        orbit.append(problem.map(orbit[-1][None], step)[0])
    away = np.abs(np.array(orbit)[1:, 0] - w[0])
    size = 1e-3 + float(np.abs(orbit).max())
    for period in np.flatnonzero(away < 1e-4 * size)[:3] + 1:
        try:
            cycle = cycle_from(problem, step, np.array(orbit[:period]))
        except ModelError:
            continue
        if cycle.stable:
            return _proved(line, cycle)
    return None


def _proved(line: Line, cycle: Cycle) -> _Basin | None:
    """Prove that a stable cycle exists, with an interval about its highest point that it draws.

    In a ball about a fixed point of ``T^p`` where ``|(T^p)'| <= k < 1``, distances to it shrink.
    """
    period, centre = cycle.period, ball(0) + float(cycle.points[0, 0])
    reach = (1e-3 + float(np.abs(cycle.points).max())) * ball(2) ** -2
    for _ in range(60):
        near = Span((centre - reach).lower(), (centre + reach).upper())
        if abs(follow(line, near, period)[1]) < 1 and _crosses(line, near, period):
            x = isolated(line, near, period)
            images = follow(line, x, period)[0][1:period]
            radius = min(x.low - near.low, near.high - x.high).lower()
            inside = Span((x.high - radius).upper(), (x.low + radius).lower())
            if inside.low < inside.high and not any(y.overlaps(x) for y in images):
                return _Basin(cycle, x, inside)
        reach = reach / 2
    return None


def _crosses(line: Line, near: Span, period: int) -> bool:
    """Whether ``T^p(x) - x`` is positive at the lower end of an interval, negative at the other."""
    low = follow(line, Span(near.low, near.low), period)[0][-1]
    high = follow(line, Span(near.high, near.high), period)[0][-1]
    return bool(low.low > near.low and high.high < near.high)


def _arrives(line: Line, x: Span, basin: _Basin) -> bool:
    """Whether all of an interval is proved to come within the ball that a cycle draws."""
    for _ in range(sum(BURNS)):
        if x.within(basin.inside):
            return True
        if x.width > basin.inside.width:
            return False
        x = line.image(x)
    return False
