"""What rows are multiplied with, as data."""

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Kronecker"]


@dataclass(frozen=True, slots=True, eq=False)
class Kronecker:
    """Sylvester's matrix of a power of two, a Kronecker product with other matrices, scaled.

    What is made of one on a device is kept as long as the process lives: make it once.

    Attributes:
        power: a power of two.
        matrices: square; with entries of 1 and -1 of whole numbers, all others floating.
        scale: what the product is multiplied with.
    """

    power: int
    matrices: tuple[NDArray[Any], ...]
    scale: float

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders of the other matrices."""
        return tuple(len(matrix) for matrix in self.matrices)

    @property
    def n(self) -> int:
        """The size of the product."""
        return self.power * math.prod(self.orders)
