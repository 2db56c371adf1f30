"""Branches of cycles: pseudo-arclength continuation in the step or in a coordinate of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.bifurcations import (
    Event,
    events_between,
    flip_near,
    gamma_at,
    hidden_event,
    outside,
)
from quincunx.solvers.dynamics.curve import Curve, Place, curve_of
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from, proper_period
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.parameters import Family, by_step, check_rank
from quincunx.solvers.dynamics.smooth_map import StepMap, check_step

__all__ = ["Branch", "End", "follow", "start_on", "walk"]

# Lengths are relative to the size of the points and to the parameter, together.
LARGEST = 0.02
FIRST = 1e-3
FINE = 1e-6  # below it a step is taken although multipliers change much: they then really do
SMALLEST = 1e-11
FAR = 1e6  # what counts as infinity
TURN = 0.9  # cosine of the largest angle between neighbouring tangents
CHANGE = 0.4  # of a multiplier in a step, relative to 1 + its modulus

EndKind = Literal["bound", "merged", "closed", "unbounded", "lost", "max points", "stopped"]


@dataclass(frozen=True, slots=True)
class End:
    """Why a branch ends.

    Attributes:
        kind: "bound": the parameter reached the end of its interval. "merged": the cycle became
            one of half the period, at the outermost event. "closed": the branch came back to its
            start. "unbounded": points run off to infinity. "lost": Newton's method found no next
            point. "max points": there are as many as asked for. "stopped": at an event, as asked.
        message: the same in words and figures.
    """

    kind: EndKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Cycles of one period along a curve, which may turn back in the parameter.

    Attributes:
        name: of the parameter.
        parameter: [K], float64, in order along the curve.
        points: [K, period, d].
        multipliers: [K, d], complex.
        steps: [K].
        gammas: [K], step * sharpness; NaN where there is no sharpness.
        start: index of the cycle from which the branch was followed.
        events: in order along the curve.
        ends: why it ends, at the first point and at the last.
    """

    name: str
    parameter: Array
    points: Array
    multipliers: Array
    steps: Array
    gammas: Array
    start: int
    events: tuple[Event, ...]
    ends: tuple[End, End]

    @property
    def period(self) -> int:
        """How many points a cycle has."""
        return int(self.points.shape[1])

    @property
    def stable(self) -> Array:
        """[K], bool: whether all multipliers are within the unit circle."""
        return np.abs(self.multipliers).max(axis=1) < 1

    def __repr__(self) -> str:
        """Show period, size, range of the parameter, events and ends."""
        low, high = self.parameter.min(), self.parameter.max()
        kinds = ", ".join(f"{e.kind} {e.parameter:.9g}" for e in self.events) or "no events"
        return (
            f"Branch(period {self.period}, {len(self.parameter)} points, {self.name} {low:.9g} to "
            f"{high:.9g}: {kinds}; ends {self.ends[0].kind}, {self.ends[1].kind})"
        )


def follow(
    problem: StepMap | Family,
    cycle: Cycle | Array,
    start: float,
    *,
    until: tuple[float, float],
    max_points: int = 5000,
    progress: Callable[[str], None] | None = None,
) -> Branch:
    """Follow a cycle both ways along its branch, through folds, and locate what happens on it.

    Arguments:
        problem: a map, which is followed in its step, or a family, such as
            :func:`~quincunx.solvers.dynamics.by_coordinate` makes.
        cycle: what is to be followed, stable or not; or points [period, d] near one.
        start: the parameter's value at that cycle.
        until: the interval of the parameter to stay in.
        max_points: a side of the start, at most.
        progress: called with a line about the work now and then.

    Returns:
        The branch, of the proper period of the cycle given. Events are exact to rounding; those of
        kind "branch point" to about 1e-8 only, as equations are singular there.

    Raises:
        ModelError: the start is not within ``until``, or no cycle is there.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, follow
        >>> problem = Logistic([1, -1], [4, 1])
        >>> branch = follow(problem, [problem.minimizer()], 10, until=(5, 20))
        >>> branch.events
        (Event(flip of period 1 at 12.5, gamma 2),)
        >>> branch.ends[1].message
        'step reached 20'

    Reference:
        Keller, "Numerical solution of bifurcation and nonlinear eigenvalue problems", 1977;
        Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    family = problem if isinstance(problem, Family) else by_step(problem)
    low, high, value = float(until[0]), float(until[1]), float(start)
    if not low < high or math.isnan(value):
        raise ModelError(f"until is {until!r} and start {start!r}; give an interval, low < high")
    if not low <= value <= high:
        raise ModelError(f"the start, {start!r}, is not within until={until!r}")
    if max_points < 1:
        raise ModelError(f"max_points is {max_points}; give a number > 0")
    curve, place = start_on(family, cycle, value, high - low)
    up = place if place.tangent[-1] >= 0 else _reversed(place)
    after, later, last = walk(curve, up, (low, high), max_points, progress)
    before, earlier, first = [up], list[Event](), last
    if last.kind != "closed":
        before, earlier, first = walk(curve, _reversed(up), (low, high), max_points, progress)
    places = before[:0:-1] + after
    values = np.array([curve.value(p.u) for p in places])
    return Branch(
        name=family.name,
        parameter=values,
        points=np.array([curve.points(p.u) for p in places]),
        multipliers=np.array([p.multipliers for p in places]),
        steps=np.array([family.at(v)[1] for v in values.tolist()]),
        gammas=np.array([gamma_at(family, v) for v in values.tolist()]),
        start=len(before) - 1,
        events=(*reversed(earlier), *later),
        ends=(first, last),
    )


def start_on(
    family: Family, cycle: Cycle | Array, value: float, extent: float
) -> tuple[Curve, Place]:
    """Return the curve that a cycle lies on, at its proper period, and the place there.

    Arguments:
        family: the map.
        cycle: a cycle, or points [period, d] near one.
        value: of the parameter.
        extent: how far the parameter may go.

    Raises:
        ModelError: no cycle is there.
    """
    problem, step = family.at(value)
    given = cycle.points if isinstance(cycle, Cycle) else cycle
    if isinstance(problem, Logistic):
        check_step(step)
        check_rank(problem)
    points = np.atleast_2d(np.asarray(given, np.float64))
    if points.ndim != 2 or points.shape[1] != problem.dimension or not np.isfinite(points).all():
        raise ModelError(
            f"points have shape {points.shape}; give finite ones [period, {problem.dimension}]"
        )
    error = np.abs(problem.map(points, step) - np.roll(points, -1, axis=0)).max()
    if not error <= 1e-11 * (1e-3 + np.abs(points).max()):
        points = cycle_from(problem, step, points).points
    points = points[: proper_period(points)]
    curve = curve_of(family, points, value, extent)
    u = curve.vector(points, value)
    at = curve.place(u)
    # Along the tangent, so that a start on a fold is one as well.
    found = None if at is None else curve.correct(u, at.tangent, float(at.tangent @ u))
    place = None if at is None or found is None else curve.place(found, at.tangent)
    if place is None or abs(place.u[-1] - u[-1]) > 1e-9:
        raise ModelError(
            f"no cycle of period {len(points)} is near the points given at {family.name} = "
            f"{value!r}, or two branches cross there: start a little further along"
        )
    return curve, place


def walk(
    curve: Curve,
    start: Place,
    bounds: tuple[float, float],
    max_points: int,
    progress: Callable[[str], None] | None = None,
    stop: Callable[[Event], bool] | None = None,
) -> tuple[list[Place], list[Event], End]:
    """Follow a curve one way, along the tangent at its start.

    Arguments:
        curve: of cycles.
        start: on it.
        bounds: the parameter's.
        max_points: beside the start.
        progress: called with a line about the work now and then.
        stop: called with an event; whether to end there.

    Returns:
        Places from the start on, the events met, and why it ended.
    """
    places, events = [start], list[Event]()
    length, away = FIRST, False
    while len(places) <= max_points:
        at = places[-1]
        new, found = _step(curve, at, length)
        if isinstance(found, Event):
            return places, [*events, found], _merged(curve, found)
        if new is None:
            length /= 2
            if length < SMALLEST:
                return places, events, _lost(curve, at)
            continue
        value = curve.value(new.u)
        beyond = not bounds[0] <= value <= bounds[1]
        if beyond:
            new = _at_bound(curve, at, new, bounds)
            found = [] if new is None else events_between(curve, at, new)
        closing = _closing(curve, start, at, new) if away and new is not None else None
        if closing is not None:
            new, found = closing, events_between(curve, at, closing)
        for event in found:
            events.append(event)
            if stop is not None and stop(event):
                return places, events, End("stopped", f"stopped at {event!r}")
        if new is not None:
            places.append(new)
        if closing is not None:
            return places, events, End("closed", "the branch came back to its start")
        if beyond:
            text = f"{curve.family.name} reached {bounds[value > bounds[1]]:.12g}"
            extra = "" if new is not None else ", where the equations of cycles are singular"
            return places, events, End("bound", text + extra)
        away = away or float(np.linalg.norm(places[-1].u - start.u)) > 4 * LARGEST
        if np.linalg.norm(places[-1].u[:-1]) > FAR:
            return places, events, End("unbounded", f"points grow beyond all near {value:.12g}")
        if at.tangent @ places[-1].tangent > 0.98:
            length = min(LARGEST * max(1.0, float(np.linalg.norm(places[-1].u))), 1.5 * length)
        if progress is not None and len(places) % 20 == 0:
            progress(f"{len(places)} points, {curve.family.name} {value:.6g}")
    return places, events, End("max points", f"there are {max_points} points on this side")


def _step(curve: Curve, at: Place, length: float) -> tuple[Place | None, list[Event] | Event]:
    """Try a step: the next place, or None, and events on the way; a bare event ends the curve."""
    guess = at.u + length * at.tangent
    u = curve.correct(guess, at.tangent, float(at.tangent @ guess))
    if u is None or np.linalg.norm(u - guess) > length / 2:
        return None, []
    new = curve.place(u, at.tangent)
    if new is None or at.tangent @ new.tangent < TURN:
        return None, []
    coarse = length > FINE
    if coarse and _change(at.multipliers, new.multipliers) > CHANGE:
        return None, []
    if curve.period % 2 == 0:
        old, now = _halves(curve, at), _halves(curve, new)
        if old @ now < 0:
            # Half way round is the same cycle: between the places both halves are one.
            end = _merging(curve, at, new)
            return None, [] if end is None else end
        if now @ now < 1e-8 * (old @ old):
            return None, []  # That is the cycle of half the period, which crosses this branch.
    found = events_between(curve, at, new)
    if not found and outside(at) != outside(new):
        # Two events hide each other's change of sign: look closer, or they are one and the same.
        return (None, []) if coarse else (new, [hidden_event(curve, at, new)])
    return new, found


def _merged(curve: Curve, event: Event) -> End:
    return End(
        "merged",
        f"the cycle of period {curve.period} became one of period {event.cycle.period} at "
        f"{curve.family.name} = {event.parameter:.12g}",
    )


def _lost(curve: Curve, at: Place) -> End:
    """Say where no next point is found, and why where the family knows."""
    value = curve.value(at.u)
    why = "Newton's method finds no next point, as where branches cross"
    if np.abs(at.multipliers - 1).min() < 1e-9:
        why = "a multiplier is 1 up to rounding, and the cycle is free to move"
    ahead = curve.value(at.u + FIRST * at.tangent)
    for other in (value, value + 1e-3 * (ahead - value), ahead):
        try:
            curve.family.at(other)
        except ModelError as error:
            why = str(error)
            break
    return End("lost", f"lost at {curve.family.name} = {value:.12g}: {why}")


def _at_bound(curve: Curve, at: Place, beyond: Place, bounds: tuple[float, float]) -> Place | None:
    """Return the place at the bound that was crossed; None where the equations are singular."""
    bound = bounds[curve.value(beyond.u) > bounds[1]] / curve.scale[-1]
    share = (bound - at.u[-1]) / (beyond.u[-1] - at.u[-1])
    border = np.append(np.zeros(len(at.u) - 1), 1.0)
    u = curve.correct(at.u + share * (beyond.u - at.u), border, bound)
    if u is None or np.linalg.norm(u - at.u) > 2 * np.linalg.norm(beyond.u - at.u):
        return None
    return curve.place(u, at.tangent)


def _merging(curve: Curve, at: Place, new: Place) -> Event | None:
    """Return the flip at which a cycle and its half meet, between two places."""
    old, now = _halves(curve, at), _halves(curve, new)
    share = (old @ old) / (old @ old - old @ now)
    u = at.u + share * (new.u - at.u)
    points, half = curve.points(u), curve.period // 2
    middle = (points[:half] + points[half:]) / 2
    extent = float(curve.scale[-1])
    event = flip_near(curve.family, middle, curve.value(u), extent)
    near = np.linalg.norm(new.u - at.u)
    if event is None or abs(event.parameter / extent - u[-1]) > near:
        return None
    return event


def _halves(curve: Curve, place: Place) -> Array:
    points = curve.points(place.u)
    half = curve.period // 2
    return (points[:half] - points[half:]).reshape(-1)


def _change(a: Array, b: Array) -> float:
    """Return the largest change of a multiplier, each matched with the nearest."""
    far = np.abs(a[:, None] - b)
    rows, columns = linear_sum_assignment(far)
    sizes = 1 + np.minimum(np.abs(a)[rows], np.abs(b)[columns])
    return float((far[rows, columns] / sizes).max())


def _closing(curve: Curve, start: Place, at: Place, new: Place) -> Place | None:
    """Return the start, at whichever phase of its cycle, if it lies between two places."""
    length = float(at.tangent @ (new.u - at.u))
    for k in range(curve.period):
        u, tangent = (
            np.append(np.roll(v[:-1], k * curve.dimension), v[-1]) for v in (start.u, start.tangent)
        )
        along = float(at.tangent @ (u - at.u))
        aside = float(np.linalg.norm(u - at.u - along * at.tangent))
        if 0 < along <= length and aside < length / 2 and tangent @ at.tangent > TURN:
            return Place(u, tangent, start.multipliers)
    return None


def _reversed(place: Place) -> Place:
    return Place(place.u, -place.tangent, place.multipliers)
