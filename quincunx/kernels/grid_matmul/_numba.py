"""Products with weights on a grid, eight at a time and straight from their bytes."""

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.code_rows import multiplied
from quincunx.kernels.code_vectors import GRID
from quincunx.kernels.few_rows import Operands

__all__ = ["product"]


def product(given: Operands, *, bits: int, sums: bool = False) -> NDArray[np.float32]:
    """Return [vectors, m]; or sums of weights, [1, m], to see what decoding alone costs."""
    return multiplied(given, GRID, bits, np.zeros(1, dtype=np.float32), sums=sums)
