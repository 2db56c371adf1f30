"""What every room shares: how a computation ended, and what a solution carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Status(Enum):
    """How a computation ended; the value is the sentence that the user reads."""

    OPTIMAL = "Optimal: the certified gap is within the tolerance."
    NEARLY_OPTIMAL = (
        "Nearly optimal: the answer is certified, but its gap is above the tolerance. Likely "
        "causes: confidences or table entries many orders of magnitude apart, or a tolerance "
        "below what double precision allows. Try a larger tolerance, or rescale the confidences."
    )
    LOCAL_OPTIMUM = (
        "Local optimum: gamma is outside the convex regime, so the best of several descents is "
        "returned. The certified gap says how much lower the global optimum can be. Try more "
        "starts, ConvexConcave(starts=100), or a gamma within the convex regime."
    )
    TIME_LIMIT = (
        "Time limit: the solver was stopped; the best point so far comes with its certified gap. "
        "Try a larger time_limit or a larger tolerance."
    )
    INTERRUPTED = (
        "Interrupted: Ctrl-C stopped the solver; the best point so far comes with its certified "
        "gap. Ask again to go on to the end."
    )
    INACCURATE = (
        "Inaccurate: the solver stopped in numerical trouble and the certified gap is large. "
        "Likely causes: hard arcs that agree only nearly, or confidences many orders of "
        "magnitude apart. Try a finite beta in place of a hard arc, or rescale the confidences."
    )
    ENGINE_FAILED = (
        "Engine failed: the solver that was called ended without an answer. The message has its "
        "own words. Try Conic() with another engine."
    )
    CONTRADICTION = (
        "Contradiction: certainties clash, so no distribution has a finite score. Remove or "
        "soften one of the arcs named."
    )
    NOT_CONVEX = (
        "Not convex: gamma exceeds beta/alpha on some row, so a global optimum cannot be "
        "promised. Use a gamma within the bound named, a larger beta, or a smaller alpha."
    )
    TOO_LARGE = (
        "Too large: the clusters of this model do not fit into memory. Remove arcs that join "
        "many variables, assume values for some variables, or give a better elimination order."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What every verb returns: a status, and figures about the work done.

    Attributes:
        status: how the computation ended.
        message: what the status means for this input; empty when there is nothing to add.
        stats: figures about the work (times in seconds, sizes in cells, iteration counts).
    """

    status: Status
    message: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)
