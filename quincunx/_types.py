"""What every room shares: how a computation ended, what a solution carries, what plugs in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeAlias

Array: TypeAlias = Any
"""An array of NumPy, torch or any other library that follows the array API standard."""


class Status(Enum):
    """How a computation ended; the value is the sentence that the user reads."""

    OPTIMAL = "Optimal: the certified gap is within the tolerance."
    NEARLY_OPTIMAL = (
        "Nearly optimal: the answer is certified, but its gap is above the tolerance. Likely "
        "causes: confidences or table entries many orders of magnitude apart, or a tolerance "
        "below what double precision allows. Try a larger tolerance, or rescale the confidences."
    )
    LOCAL_OPTIMUM = (
        "Local optimum: gamma is outside the convex regime, so the descent from another start may "
        "end lower. The certified gap, where there is one, says by how much at most. Try "
        "ConvexConcave() with many starts, starts=100, or a gamma within the convex regime."
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
    ROUNDED = "Rounded: every weight has its point of the codebook."
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


class Codebook(Protocol):
    """Finitely or countably many points, and the way to the nearest: what a rounding plugs in.

    A weight matrix W [m, n] is cut into tiles of r rows and c columns; each tile, read row by row,
    is one vector of ``r * c`` numbers and is replaced by one point. Codebooks are values: frozen
    data classes, whose scale is changed with ``dataclasses.replace``.
    """

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of W that are coded together, (r, c)."""

    @property
    def bits(self) -> float:
        """Bits a weight; infinite for a lattice without bound."""

    @property
    def scale(self) -> Any:
        """What points are multiplied with: a number > 0, one a row [m, 1], or None: not chosen."""

    @property
    def unit_scale(self) -> float:
        """The scale that suits weights of a standard normal distribution; a search starts there."""

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by points.

        Arguments:
            x: [N, r * c], floating; one column of tiles from top to bottom.
            metric: [c, c], symmetric and positive definite: points minimise (x - q) M (x - q)' a
                row of the tile, in place of the squared distance, as well as the codebook can.

        Returns:
            The points [N, r * c] in the type of ``x``, and their codes [N, k], whole numbers.
        """

    def decode(self, codes: Array, /) -> Array:
        """Points [N, r * c] of codes [N, k], as :meth:`quantize` returned them."""
