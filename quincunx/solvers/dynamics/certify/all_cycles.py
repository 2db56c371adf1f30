"""All cycles of gradient descent in one dimension up to a period, found and counted with proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.certify.balls import Ball, ball, working
from quincunx.solvers.dynamics.certify.enclosure import Enclosure
from quincunx.solvers.dynamics.certify.line import (
    Line,
    Span,
    exact_step,
    follow,
    spanned,
)
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.rationals import written

__all__ = [
    "AllCycles",
    "LineCycle",
    "Search",
    "all_cycles",
    "alone",
    "isolated",
    "measured",
    "new_cycle",
    "search",
    "zeros",
]

BITS = 128
BOXES = 50_000  # a search that needs more of them is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCycle:
    """A cycle in one dimension that is proved to exist.

    Attributes:
        points: one enclosure each, the highest first, in the order in which they are visited; no
            two overlap, so that the period is exact.
        multiplier: encloses the product of T' over the cycle.
        stable: whether it is proved to attract orbits near by, or proved not to; None: neither.
    """

    points: tuple[Enclosure, ...]
    multiplier: Enclosure
    stable: bool | None

    @property
    def period(self) -> int:
        """How many points there are."""
        return len(self.points)

    def __str__(self) -> str:
        """Show a line."""
        kind = {True: "stable", False: "unstable", None: "stability undecided"}[self.stable]
        inside = ", ".join(map(str, self.points))
        return f"period {self.period}, {kind}, multiplier in {self.multiplier}: {inside}"

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has it: exact numbers are strings."""
        return {
            "points": [point.to_json() for point in self.points],
            "multiplier": self.multiplier.to_json(),
            "stable": self.stable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCycles:
    """All cycles up to a period, or what is known of them.

    Attributes:
        step: of gradient descent.
        max_period: the longest period searched for.
        cycles: proved to exist, by period and then by their highest point.
        complete: no other cycle has a period up to ``max_period``: this is proved.
        undecided: where the highest point of another cycle may be; empty if complete.
        within: all cycles of any period lie in this interval.
        boxes: looked at.
    """

    step: Fraction
    max_period: int
    cycles: tuple[LineCycle, ...]
    complete: bool
    undecided: tuple[Enclosure, ...]
    within: Enclosure
    boxes: int

    @property
    def counts(self) -> dict[int, int]:
        """The number of cycles of each period up to ``max_period``."""
        found = dict.fromkeys(range(1, self.max_period + 1), 0)
        for cycle in self.cycles:
            found[cycle.period] += 1
        return found

    def __str__(self) -> str:
        """Show the theorem."""
        what = "exactly these" if self.complete else "at least these"
        lines = [
            f"Gradient descent with step {written(self.step)} has {what} cycles of period up to "
            f"{self.max_period}, {self.boxes} boxes covering {self.within}:",
            *(f"  {cycle}" for cycle in self.cycles),
        ]
        if not self.complete:
            places = ", ".join(map(str, self.undecided))
            lines.append(f"Undecided is whether others have their highest point in {places}.")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has it: exact numbers are strings."""
        return {
            "step": written(self.step),
            "max_period": self.max_period,
            "cycles": [cycle.to_json() for cycle in self.cycles],
            "counts": {str(period): count for period, count in self.counts.items()},
            "complete": self.complete,
            "undecided": [place.to_json() for place in self.undecided],
            "within": self.within.to_json(),
            "boxes": self.boxes,
        }


class Search(NamedTuple):
    """What an interval search found.

    Attributes:
        near: an interval about w* where ``T^p`` has no other fixed point; None if none was found.
        found: intervals, each with exactly one zero of ``T^p(x) - x``.
        undecided: intervals in which nothing was proved.
        boxes: looked at.
        cuts: the ends of boxes, rising; one in neither list is proved to hold no highest point of
            a cycle.
    """

    near: tuple[Fraction, Fraction] | None
    found: list[Span]
    undecided: list[Span]
    boxes: int
    cuts: list[Fraction]


def all_cycles(problem: Logistic, step: Any, max_period: int, *, bits: int = BITS) -> AllCycles:
    """Find all cycles in one dimension whose period is at most a number, and prove that they are.

    Intervals that cover all cycles are halved until each is proved to hold no highest point of a
    cycle, or one zero of ``T^p(x) - x``. Cycles at a fold or flip cannot be told from none or two
    at any finite precision; the answer is then not complete and says where.

    Arguments:
        problem: in one dimension.
        step: exact: a whole number, a fraction, or a string such as "6" or "1/3"; a float stands
            for its shortest decimal.
        max_period: at least 1; times rise steeply with it where the map is chaotic.
        bits: of the arithmetic; more of them decide nearer to bifurcations.

    Raises:
        ModelError: the problem has more than one dimension or no minimiser, or max_period < 1.
        MissingExtraError: python-flint is not installed.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> from quincunx.solvers.dynamics.certify.all_cycles import all_cycles
        >>> found = all_cycles(Logistic([1, -1, 1300], [5100, 4900, 1]), 6, max_period=3)
        >>> found.complete, found.counts
        (True, {1: 1, 2: 2, 3: 0})
        >>> [cycle.stable for cycle in found.cycles]
        [True, False, True]
    """
    if max_period < 1:
        raise ModelError(f"max_period is {max_period}; give a number >= 1")
    exact = exact_step(step)
    with working(bits):
        line = Line.of(problem, exact)
        cycles = [measured(line, [line.minimizer])]
        undecided: list[Span] = []
        boxes = 0
        isolating: dict[int, list[Span]] = {}
        for period in range(2, max_period + 1):
            result = search(line, period)
            isolating[period] = []
            boxes += result.boxes
            undecided += result.undecided
            for box in result.found:
                new = new_cycle(line, box, period, isolating)
                if new is None:
                    undecided.append(box)
                elif new:
                    isolating[period] += new
                    cycles.append(measured(line, new))
        places = tuple(x.enclosure() for x in _joined(undecided))
        return AllCycles(
            step=exact,
            max_period=max_period,
            cycles=tuple(cycles),
            complete=not places,
            undecided=places,
            within=line.core().enclosure(),
            boxes=boxes,
        )


def alone(line: Line, period: int, near: Span) -> bool:
    """Whether ``T^p`` is proved to have at most one fixed point in an interval.

    There ``(T^p)'`` is never 1, so that ``T^p(x) - x`` is monotone.
    """
    return not follow(line, near, period)[1].contains(1)


def _only_minimizer(line: Line, period: int) -> tuple[Fraction, Fraction] | None:
    """Return an interval about w* in which ``T^p`` has no other fixed point, if one is found."""
    low, high = line.minimizer.fractions()
    reach = line.trap.radius / 4
    least = max(4 * (high - low), reach / 2 ** (_bits() // 2))
    while reach > least:
        # Short fractions, but w* close to the middle, where (T^p)'' is 0 at a flip.
        grain = reach / 1024
        ends = (low // grain) * grain - reach, -(-high // grain) * grain + reach
        if alone(line, period, Span.of(*ends)):
            return ends
        reach /= 2
    return None


def search(line: Line, period: int, boxes: int = BOXES) -> Search:
    """Cover all places of highest points of cycles whose period divides p >= 2, but not w*.

    The highest point x of a cycle is above w*, no image of it is higher, and the point before it is
    below w*, since steps from above w* go down. Each box that is not excluded by this is split
    unless ``T^p(x) - x`` is monotone on it, as ``(T^p)'`` is never 1; its signs at the ends then
    decide.

    Arguments:
        line: the map.
        period: p.
        boxes: at most.
    """
    top, star = line.core().high, line.minimizer
    near = _only_minimizer(line, period)
    # Without such an interval, as at a flip of w*, the search cannot settle what is close to w*.
    edge = (near or star.fractions())[1]
    found: list[Span] = []
    undecided = [star] if near is None else []
    cuts = [edge]
    ceiling = spanned(top).fractions()[1]
    if ceiling <= edge:
        return Search(near, [], undecided, 1, cuts)
    # A little beyond, as the highest point of all may be that of a cycle.
    ceiling = ceiling + (ceiling - edge) / 1024
    grain = (ceiling - edge) / 2 ** (_bits() // 3)
    count = 1
    todo = [(edge, _short(ceiling, ceiling - edge, 1))]
    while todo:
        low, high = todo.pop()
        count += 1
        box = Span.of(low, high)
        number = zeros(line, period, box)
        if number is None and high - low > grain and count < boxes:
            cut = _cut(line, period, low, high)
            if cut is not None:
                todo += [(cut, high), (low, cut)]
                continue
        if number is None:
            undecided.append(box)
        elif number:
            found.append(box)
        cuts.append(high)
    return Search(near, found, _joined(undecided), count, cuts)


def zeros(line: Line, period: int, x: Span) -> int | None:
    """Return how many highest points of cycles a box may hold: 0, 1, or None where not known.

    Where 1 is returned, the box has exactly one zero of ``T^p(x) - x``.
    """
    ranges, derivative = follow(line, x, period)
    if _excluded(line, ranges):
        return 0
    if derivative.contains(1):
        return None
    signs = [_sign(line, period, v) for v in x]
    if 0 in signs:
        return None
    return int(signs[0] != signs[1])


def _excluded(line: Line, ranges: list[Span]) -> bool:
    """Whether no highest point of a cycle is in the first range: the last is T^p of it."""
    x = ranges[0]
    if not ranges[-1].overlaps(x) or ranges[-2].low > line.minimizer.high:
        return True
    return any(y.low > x.high for y in ranges)


def _sign(line: Line, period: int, w: Ball) -> int:
    """Return the sign of ``T^p(w) - w`` at an exact number, or 0 where it is not known."""
    x = Span(w, w)
    for _ in range(period):
        x = line.image(x)
    return 1 if x.low > w else -1 if x.high < w else 0


def _cut(line: Line, period: int, low: Fraction, high: Fraction) -> Fraction | None:
    """Return a short fraction inside a box at which ``T^p(x) - x`` is proved not to be 0."""
    for part in (Fraction(1, 2), Fraction(3, 8), Fraction(5, 8), Fraction(9, 16)):
        cut = _short(low + (high - low) * part, high - low, 0)
        if low < cut < high and _sign(line, period, Span.of(cut, cut).low):
            return cut
    return None


def _short(value: Fraction, width: Fraction, up: int) -> Fraction:
    """Round to a binary fraction that is fine compared with a width."""
    grain = Fraction(2) ** (width.numerator.bit_length() - width.denominator.bit_length() - 6)
    return (value // grain + up) * grain


def _joined(boxes: list[Span]) -> list[Span]:
    """Join intervals that touch."""
    joined: list[Span] = []
    for x in sorted(boxes, key=lambda box: box.fractions()):
        if joined and not joined[-1].high < x.low:
            joined[-1] = Span(joined[-1].low, x.high)
        else:
            joined.append(x)
    return joined


def isolated(line: Line, box: Span, period: int) -> Span:
    """Enclose the only zero of ``T^p(x) - x`` in a box as closely as the precision allows.

    Arguments:
        line: the map.
        box: with exactly one zero, and ``(T^p)'`` never 1 on it.
        period: p.
    """
    x = box
    for _ in range(4 * _bits()):
        middle = x.middle
        excess = follow(line, Span(middle, middle), period)[0][-1].ball - middle
        derivative = follow(line, x, period)[1] - 1
        if derivative.contains(0):
            return x
        found = middle - excess / derivative
        new = Span(max(x.low, found.lower()), min(x.high, found.upper()))
        if not new.width < x.width * ball(Fraction(9, 10)):
            return x
        x = new
    return x


def new_cycle(
    line: Line, box: Span, period: int, isolating: dict[int, list[Span]]
) -> list[Span] | None:
    """Return the points of the cycle through the zero in a box.

    Arguments:
        line: the map.
        box: from :func:`search`, with exactly one zero of ``T^p(x) - x``.
        period: p.
        isolating: points of all cycles of periods that divide p, other than 1 and p.

    Returns:
        Intervals, the highest first, that do not overlap, so that p is the exact period; [] where
        the cycle is shorter, or another zero is its highest point; None where nothing is proved.
    """
    x = isolated(line, box, period)
    points = list(_orbit(line, x, period))
    for divisor in range(2, period):
        if period % divisor == 0 and points[divisor].overlaps(x):
            # A shorter cycle, if a point of it is in the box, which has one zero only.
            known = any(other.within(box) for other in isolating[divisor])
            return [] if known else None
    if any(y.low > x.high for y in points[1:]):
        return []
    distinct = all(
        not points[i].overlaps(points[j]) for i in range(period) for j in range(i)
    ) and not any(y.overlaps(line.minimizer) for y in points)
    return points if distinct else None


def _orbit(line: Line, x: Span, count: int) -> Iterator[Span]:
    for _ in range(count):
        yield x
        x = line.image(x)


def measured(line: Line, points: list[Span]) -> LineCycle:
    """Return a cycle with its multiplier, from enclosures of its points."""
    multiplier = ball(1)
    for x in points:
        multiplier = multiplier * line.slope(x)
    size = abs(multiplier)
    return LineCycle(
        points=tuple(x.enclosure() for x in points),
        multiplier=spanned(multiplier).enclosure(),
        stable=True if size < 1 else False if size > 1 else None,
    )


def _bits() -> int:
    from flint import ctx

    return int(ctx.prec)
