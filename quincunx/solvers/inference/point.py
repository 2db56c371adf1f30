"""What a convex method is given and gives back, before anything is proved about it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from quincunx.solvers.inference.arrays import Floats

Progress: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call of infer may spend.

    Attributes:
        tolerance: the certified gap asked for, in nats, relative to ``1 + |value|``.
        deadline: on the clock of ``time.perf_counter``, in seconds; inf: none.
        progress: called with a line about the work, or None.
        unit: nats of the answer in one nat of the scaled problem that is solved, >= 1.
    """

    tolerance: float
    deadline: float = math.inf
    progress: Progress | None = None
    unit: float = 1.0

    def wanted(self, value: float) -> float:
        """Return the gap that is small enough at a value, both of the scaled problem."""
        return self.tolerance * (1 / self.unit + abs(value))

    @property
    def spent(self) -> bool:
        """Whether the deadline has passed."""
        return time.perf_counter() >= self.deadline


@dataclass(frozen=True, slots=True)
class Effort:
    """What a method did.

    Attributes:
        iterations: its iterations.
        seconds: its time.
        word: its own word for how it ended.
        timed_out: whether the deadline stopped it.
        interrupted: whether the user did (Ctrl-C).
    """

    iterations: int
    seconds: float
    word: str
    timed_out: bool = False
    interrupted: bool = False

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it before it was done."""
        return self.timed_out or self.interrupted


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A primal-dual point, as a method returns it.

    Attributes:
        cells: float64 [N], about calibrated masses.
        tables: dual tables in logarithms, float64 [M] each, to bound the score from below with.
        multipliers: float64 [E], the dual values of the further equations.
        effort: what it took.
        limit: the same, followed along its tangent to gamma = 0, where that was asked for.
    """

    cells: Floats
    tables: tuple[Floats, ...]
    multipliers: Floats
    effort: Effort
    limit: "Point | None" = None
