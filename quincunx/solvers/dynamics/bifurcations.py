"""Where cycles change: flips, folds, Neimark-Sacker and branch points, to rounding.

A test function changes its sign at an event. It is evaluated at points of the curve that Newton's
method has brought to rounding, so that an event is as exact as the cycle's equations are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.curve import Curve, Place, curve_of
from quincunx.solvers.dynamics.cycles import Cycle
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.parameters import Family, by_step
from quincunx.solvers.dynamics.smooth_map import StepMap

__all__ = [
    "Event",
    "EventKind",
    "events_between",
    "flip_criticality",
    "flip_near",
    "gamma_at",
    "hidden_event",
    "outside",
    "switch",
]

EventKind = Literal["flip", "fold", "neimark-sacker", "branch point"]

WIDEST = 0.02  # amplitude of a doubled cycle to begin with, relative to the size of its points
NARROWEST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A cycle at which something changes.

    Attributes:
        kind: "flip": a multiplier is -1, and a cycle of twice the period begins or ends here.
            "fold": one is 1, and the branch turns back. "neimark-sacker": a complex pair has
            modulus 1, and a closed curve begins or ends. "branch point": one is 1, and the branch
            does not turn back: another crosses it.
        parameter: its value.
        cycle: there.
        gamma: step * sharpness there; NaN where there is no sharpness.
    """

    kind: EventKind
    parameter: float
    cycle: Cycle
    gamma: float

    def __repr__(self) -> str:
        """Show kind, period, parameter and gamma."""
        extra = "" if np.isnan(self.gamma) else f", gamma {self.gamma:.12g}"
        return f"Event({self.kind} of period {self.cycle.period} at {self.parameter:.12g}{extra})"


def gamma_at(family: Family, value: float) -> float:
    """Return step * sharpness at a value of the parameter; NaN where there is none."""
    return float("nan") if family.gamma is None else family.gamma(value)


def _flip(place: Place) -> float:
    return _signed(1 + place.multipliers)


def _unit(place: Place) -> float:
    return _signed(place.multipliers - 1)


def _turn(place: Place) -> float:
    return float(place.tangent[-1])


def _modulus(place: Place) -> float:
    pairs = list(combinations(place.multipliers, 2))
    return _signed(np.array([a * b - 1 for a, b in pairs])) if pairs else 1.0


def _signed(factors: Array) -> float:
    """Return the least modulus with the product's sign: smooth near a zero, and never too large."""
    phases = factors / np.where(factors == 0, 1, np.abs(factors))
    sign = 1.0 if np.prod(phases).real >= 0 else -1.0
    return sign * float(np.abs(factors).min())


def events_between(curve: Curve, a: Place, b: Place) -> list[Event]:
    """Return the events between two neighbouring places, in order.

    Arguments:
        curve: what both lie on.
        a: a place.
        b: one so near that the tangent has hardly turned.
    """

    def changes(test: Callable[[Place], float]) -> bool:
        return (test(a) >= 0) != (test(b) >= 0)

    found: list[tuple[float, Event]] = []
    turns, crosses = changes(_turn), changes(_unit)
    asked: list[tuple[EventKind, Callable[[Place], float]]] = []
    if turns or crosses:
        # On a branch that ends in a pitchfork the parameter turns with no multiplier crossing 1.
        asked.append(("fold" if turns and crosses else "branch point", _turn if turns else _unit))
    if changes(_flip):
        asked.append(("flip", _flip))
    if changes(_modulus):
        asked.append(("neimark-sacker", _modulus))
    for kind, test in asked:
        u, s = _locate(curve, a, b, test)
        event = _event(curve, u, kind)
        if kind != "neimark-sacker" or _on_circle(event.cycle.multipliers):
            found.append((s, event))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def outside(place: Place) -> int:
    """Return how many multipliers are not within the unit circle."""
    return int((np.abs(place.multipliers) >= 1).sum())


def hidden_event(curve: Curve, a: Place, b: Place) -> Event:
    """Return what happens where stability changes and no test function does.

    Such as two equal multipliers, by a symmetry, that leave the unit circle together at -1.

    Arguments:
        curve: what both places lie on.
        a: a place.
        b: one very near, with another number of multipliers outside.
    """
    rank = min(outside(a), outside(b))

    def leaving(place: Place) -> float:
        return float(np.sort(np.abs(place.multipliers))[::-1][rank]) - 1

    u, _ = _locate(curve, a, b, leaving)
    found = curve.cycle(u).multipliers
    crossing = found[np.argmin(np.abs(np.abs(found) - 1))]
    if abs(crossing + 1) < 1e-6:
        return _event(curve, u, "flip")
    return _event(curve, u, "branch point" if abs(crossing - 1) < 1e-6 else "neimark-sacker")


def _event(curve: Curve, u: Array, kind: EventKind) -> Event:
    value = curve.value(u)
    return Event(
        kind=kind, parameter=value, cycle=curve.cycle(u), gamma=gamma_at(curve.family, value)
    )


def _on_circle(found: Array) -> bool:
    """Whether the pair whose product is 1 is complex; two real ones are a neutral saddle."""
    pair = min(combinations(found, 2), key=lambda two: abs(two[0] * two[1] - 1))
    return bool(pair[0].imag)


class _Lost(Exception):
    """No point of the curve was found where one was asked for."""


def _locate(
    curve: Curve, a: Place, b: Place, test: Callable[[Place], float]
) -> tuple[Array, float]:
    """Return the point between two places at which a test function is 0, and how far it is."""
    length = float(a.tangent @ (b.u - a.u))
    slope = b.tangent / float(a.tangent @ b.tangent)
    seen: list[tuple[float, float, Array]] = [(0.0, test(a), a.u), (length, test(b), b.u)]

    def at(s: float) -> float:
        if s in (0.0, length):
            return seen[0][1] if s == 0 else seen[1][1]
        # Hermite's cubic through both places.
        t = s / length
        h0, h1 = (1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t)
        m0, m1 = t * (1 - t) ** 2 * length, t**2 * (t - 1) * length
        guess = h0 * a.u + h1 * b.u + m0 * a.tangent + m1 * slope
        u = curve.correct(guess, a.tangent, float(a.tangent @ a.u) + s)
        place = None if u is None else curve.place(u, a.tangent)
        if place is None:
            raise _Lost
        seen.append((s, test(place), place.u))
        return seen[-1][1]

    try:
        s = brentq(at, 0.0, length, xtol=1e-16, rtol=4 * np.finfo(float).eps)
        at(s)
    except _Lost:
        # Next to a branch point the equations are singular: two more digits are not to be had.
        return _between(seen)
    best = min(seen, key=lambda each: (abs(each[1]), abs(each[0] - s)))
    return best[2], best[0]


def _between(seen: list[tuple[float, float, Array]]) -> tuple[Array, float]:
    """Return the zero of the line through the closest places on both sides."""
    below = max((each for each in seen if (each[1] >= 0) == (seen[0][1] >= 0)), key=lambda e: e[0])
    above = min((each for each in seen if (each[1] >= 0) != (seen[0][1] >= 0)), key=lambda e: e[0])
    share = below[1] / (below[1] - above[1])
    return (1 - share) * below[2] + share * above[2], (1 - share) * below[0] + share * above[0]


def flip_near(family: Family, points: Array, value: float, extent: float) -> Event | None:
    """Return the flip next to a cycle whose multiplier is nearly -1, by the secant method.

    Arguments:
        family: the map.
        points: [p, d], near the cycle.
        value: of the parameter.
        extent: as in :func:`curve_of`.
    """
    curve = curve_of(family, points, value, extent)
    u = curve.vector(points, value)
    # At the value given: a flip is a regular point of the branch of the cycle that doubles.
    border = np.append(np.zeros(len(u) - 1), 1.0)
    start = curve.correct(u, border, float(u[-1]))
    at = None if start is None else curve.place(start)
    if at is None:
        return None
    way, level = at.tangent, float(at.tangent @ at.u)
    s, before, test = 0.0, 1e-6, _flip(at)
    guess = curve.correct(at.u + before * way, way, level + before)
    other = None if guess is None else curve.place(guess, way)
    best = (abs(test), at)
    for _ in range(30):
        if other is None:
            return None
        now = _flip(other)
        best = min(best, (abs(now), other), key=lambda each: each[0])
        if now == test or now == 0:
            break
        s, before, test = before, before - now * (before - s) / (now - test), now
        if not abs(before) < 0.5 or abs(before - s) < 1e-15:
            break
        guess = curve.correct(at.u + before * way, way, level + before)
        other = None if guess is None else curve.place(guess, way)
    return _event(curve, best[1].u, "flip") if best[0] < 1e-7 else None


def switch(problem: StepMap | Family, flip: Event) -> tuple[Cycle, float]:
    """Return a cycle of the doubled period close to a flip, and the parameter there.

    To go on with: ``follow(problem, *switch(problem, flip), until=...)``.

    Arguments:
        problem: as given to :func:`~quincunx.solvers.dynamics.follow`.
        flip: an event of that kind.

    Returns:
        The cycle, and the value of the parameter at which it is one, on whichever side it exists.

    Raises:
        ModelError: the event is no flip, or no doubled cycle is found.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, follow, switch
        >>> problem = Logistic([1, -1], [4, 1])
        >>> fixed = follow(problem, [problem.minimizer()], 12, until=(11, 13))
        >>> cycle, step = switch(problem, fixed.events[0])
        >>> cycle.period, cycle.stable, step > 12.5
        (2, True, True)

    Reference:
        Kuznetsov, "Elements of Applied Bifurcation Theory", section 10.2.
    """
    family = problem if isinstance(problem, Family) else by_step(problem)
    if flip.kind != "flip":
        raise ModelError(f"the event is a {flip.kind}; cycles double at flips only")
    points, value = flip.cycle.points, flip.parameter
    twice = np.concatenate([points, points])
    curve = curve_of(family, twice, value, np.inf)
    way = np.append(_doubling(family, points, value), 0.0)
    base = curve.vector(twice, value)
    amplitude = WIDEST
    while amplitude > NARROWEST:
        u = curve.correct(base + amplitude * way, way, float(way @ base) + amplitude)
        if u is not None and np.linalg.norm(u - base) < 3 * amplitude:
            cycle = curve.cycle(u)
            # Multipliers begin at 1; a doubled cycle whose own flip is near is too far from here.
            if np.abs(cycle.multipliers - 1).min() < 0.2:
                return cycle, curve.value(u)
        amplitude /= 3
    raise ModelError(
        f"no cycle of period {2 * len(points)} is found next to the flip at {value!r}; is the "
        f"event from this problem?"
    )


def _doubling(family: Family, points: Array, value: float) -> Array:
    """Return the direction [2 p d] in which a cycle doubles, of length 1."""
    problem, step = family.at(value)
    jacobians = problem.jacobian(points, step)
    product = np.eye(points.shape[1])
    for jacobian in jacobians:
        product = jacobian @ product
    values, vectors = np.linalg.eig(product)
    move = vectors[:, np.argmin(np.abs(values + 1))].real
    moves = []
    for jacobian in np.concatenate([jacobians, jacobians]):
        moves.append(move)
        move = jacobian @ move
    found = np.concatenate(moves)
    return found / np.linalg.norm(found)


def flip_criticality(problem: Logistic) -> float:
    """Return ``T''^2 / 2 + T''' / 3`` at the minimiser and the critical step, in one dimension.

    Positive: the flip at 2 / sharpness is supercritical, and a stable 2-cycle is born above it.
    Negative: subcritical, and an unstable one exists below. Neither says that no other cycle
    coexists.

    Arguments:
        problem: with one dimension.

    Raises:
        ModelError: there are more dimensions, or no minimiser.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, flip_criticality
        >>> round(flip_criticality(Logistic([1, -1], [4, 1])), 12)
        0.693333333333

    Reference:
        Kuznetsov, "Elements of Applied Bifurcation Theory", theorem 4.3.
    """
    _, _, third, fourth = problem.derivatives(problem.minimizer())
    step = problem.critical_step
    return float((step * third[0]) ** 2 / 2 - step * fourth[0] / 3)
