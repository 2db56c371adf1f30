"""The period-doubling cascade: flip after flip, and how their distances shrink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.bifurcations import Event, switch
from quincunx.solvers.dynamics.continuation import End, start_on, walk
from quincunx.solvers.dynamics.curve import Place
from quincunx.solvers.dynamics.cycles import Cycle
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.parameters import Family, by_step
from quincunx.solvers.dynamics.smooth_map import StepMap

__all__ = ["FEIGENBAUM", "Cascade", "cascade"]

FEIGENBAUM = 4.66920160910299
"""What the ratios of a cascade tend to, for smooth maps with one quadratic hump."""

MAX_POINTS = 3000  # of a branch from its birth to its flip, which takes a hundred or so


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Flips in turn, each of the cycle born at the one before.

    Attributes:
        events: the flips.
        ended: "" where all that were asked for were found; otherwise why there are fewer.
    """

    events: tuple[Event, ...]
    ended: str

    @property
    def parameter(self) -> Array:
        """[K], where cycles double: the step, or what the family goes by."""
        return np.array([event.parameter for event in self.events])

    @property
    def gammas(self) -> Array:
        """[K], step * sharpness there; NaN where there is no sharpness."""
        return np.array([event.gamma for event in self.events])

    @property
    def periods(self) -> tuple[int, ...]:
        """The period of each cycle that doubles."""
        return tuple(event.cycle.period for event in self.events)

    @property
    def ratios(self) -> Array:
        """[K - 2], the distance between neighbouring flips over that of the next two."""
        gaps = np.diff(self.parameter)
        return gaps[:-1] / gaps[1:]

    @property
    def limit(self) -> float:
        """Where the cascade should end, from the last two flips and Feigenbaum's constant."""
        if len(self.events) < 2:
            return float("nan")
        gap = self.events[-1].parameter - self.events[-2].parameter
        return self.events[-1].parameter + gap / (FEIGENBAUM - 1)

    def __repr__(self) -> str:
        """Show periods and parameters."""
        shown = ", ".join(
            f"{e.cycle.period} -> {2 * e.cycle.period} at {e.parameter:.9g}" for e in self.events
        )
        return f"Cascade({shown or 'no flip'})"


def cascade(
    problem: StepMap | Family,
    cycle: Cycle | Array | None = None,
    start: float | None = None,
    *,
    doublings: int = 5,
    until: tuple[float, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Cascade:
    """Locate the flips at which a cycle doubles, its double doubles, and so on.

    Arguments:
        problem: a map, whose step grows, or a family.
        cycle: a cycle before its first flip, or points [period, d] near one. None: the minimiser
            of a logistic loss.
        start: the parameter's value there. None, with no cycle: below the critical step.
        doublings: how many flips to look for. Distances shrink by 4.7 each time, and after ten or
            so rounding hides them.
        until: the interval of the parameter to stay in. None: no further from the start than nine
            times its value.
        progress: called with a line about the work now and then.

    Returns:
        The flips, each exact to rounding, as far as they were found.

    Raises:
        ModelError: no cycle is there, or it does not flip as the parameter grows.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic, cascade
        >>> found = cascade(Logistic([1, -1], [4, 1]), doublings=3)
        >>> [round(gamma, 9) for gamma in found.gammas.tolist()]
        [2.0, 2.591933175, 2.751248377]

    Reference:
        Feigenbaum, "Quantitative universality for a class of nonlinear transformations", Journal
        of Statistical Physics 19, 1978.
    """
    if doublings < 1:
        raise ModelError(f"doublings is {doublings}; give a number > 0")
    if cycle is None:
        if not isinstance(problem, Logistic):
            raise ModelError("give a cycle and its parameter; only a logistic loss has a minimiser")
        cycle, start = problem.minimizer()[None], 0.95 * problem.critical_step
    if start is None:
        raise ModelError("give the parameter's value at the cycle too, start=")
    family = problem if isinstance(problem, Family) else by_step(problem)
    reach = 9 * abs(start) if start else np.inf
    bounds = (start - reach, start + reach) if until is None else until
    events: list[Event] = []
    ended = ""
    for _ in range(doublings):
        before = events[-1] if events else None
        try:
            if before is not None:
                cycle, start = switch(family, before)
            flip, end = _next_flip(family, cycle, start, before, bounds)
        except ModelError as error:
            if before is None:
                raise
            flip, ended = None, str(error)
        else:
            ended = "" if flip else end.message
        if flip is None:
            break
        events.append(flip)
        if progress is not None:
            progress(f"period {flip.cycle.period} doubles at {family.name} {flip.parameter:.12g}")
    if not events:
        raise ModelError(f"the cycle does not flip as {family.name} grows: {ended}")
    return Cascade(events=tuple(events), ended=ended)


def _next_flip(
    family: Family,
    cycle: Cycle | Array,
    start: float,
    before: Event | None,
    bounds: tuple[float, float],
) -> tuple[Event | None, End]:
    """Follow a cycle to its flip: away from the one before, or else to larger parameters."""
    curve, place = start_on(family, cycle, start, np.inf)
    if before is None:
        ahead = place.tangent[-1]
    else:
        # The distance of both halves of a doubled cycle grows on the way from where it was born.
        half = len(place.u) // 2
        ahead = (place.u[:half] - place.u[half:-1]) @ (
            place.tangent[:half] - place.tangent[half:-1]
        )
    if ahead < 0:
        place = Place(place.u, -place.tangent, place.multipliers)
    _, found, end = walk(curve, place, bounds, MAX_POINTS, stop=lambda event: event.kind == "flip")
    if end.kind == "merged" or not found or found[-1].kind != "flip":
        return None, end
    return found[-1], end
