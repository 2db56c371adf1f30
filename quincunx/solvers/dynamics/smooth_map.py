"""What is studied: a map of R^d that depends on a step size, with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array

__all__ = ["SmoothMap", "StepMap", "check_step"]


class StepMap(Protocol):
    """All that orbits, cycles and continuation ask of a problem; logistic regression is one."""

    @property
    def dimension(self) -> int:
        """Numbers in a point, d."""

    def map(self, w: Array, step: Array, /) -> Array:
        """Return the images [N, d] of points [N, d]; ``step`` is a number, or one a point [N]."""

    def jacobian(self, w: Array, step: Array, /) -> Array:
        """Return the derivatives [N, d, d] of the map at points [N, d]."""

    def starts(self, count: int, step: float, seed: int, /) -> Array:
        """Draw points [count, d] where all that happens in the long run is to be seen."""


@dataclass(frozen=True, slots=True)
class SmoothMap:
    """A map of one's own, such as gradient descent on another loss.

    Arguments:
        function: takes points [N, d] and a step, a number or one a point [N]; returns [N, d].
        derivative: takes the same; returns the Jacobians [N, d, d].
        low: [d], the box to draw starting points from.
        high: [d], its other corner.

    Example:
        >>> import numpy as np
        >>> from quincunx.solvers.dynamics import SmoothMap, find_cycles
        >>> def quartic(w, step):
        ...     return w - np.reshape(step, (-1, 1)) * (w**3 - w)
        >>> def derivative(w, step):
        ...     return 1 - np.reshape(step, (-1, 1, 1)) * (3 * w[:, :, None] ** 2 - 1)
        >>> descent = SmoothMap(quartic, derivative, [-1.2], [1.2])
        >>> [(c.period, c.stable) for c in find_cycles(descent, 0.5, max_period=1)]
        [(1, True), (1, True), (1, False)]
    """

    function: Callable[[Array, Array], Array]
    derivative: Callable[[Array, Array], Array]
    low: Array
    high: Array

    def __post_init__(self) -> None:
        low, high = (np.atleast_1d(np.asarray(a, np.float64)) for a in (self.low, self.high))
        if low.shape != high.shape or low.ndim != 1 or not np.all(low < high):
            raise ModelError(f"the box goes from {self.low!r} to {self.high!r}; give low < high")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def dimension(self) -> int:
        """Numbers in a point, d."""
        return len(self.low)

    def map(self, w: Array, step: Array, /) -> Array:
        """Return the images [N, d] of points [N, d]."""
        return self.function(w, step)

    def jacobian(self, w: Array, step: Array, /) -> Array:
        """Return the derivatives [N, d, d] of the map at points [N, d]."""
        return self.derivative(w, step)

    def starts(self, count: int, step: float, seed: int, /) -> Array:
        """Draw points [count, d] from the box, uniformly."""
        return np.random.default_rng(seed).uniform(self.low, self.high, (count, self.dimension))


def check_step(step: float) -> float:
    """Return a step as a float.

    Raises:
        ModelError: it is not a positive number.
    """
    try:
        value = float(step)
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise ModelError(f"step is {step!r}; give a number > 0, such as 1.5 / problem.sharpness")
    return value
