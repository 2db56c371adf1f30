"""Functions of small matrices whose results are remembered by content."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_content"]

Result = TypeVar("Result")

KEPT = 4096  # matrices, the blocks of a Hessian of 32,768 columns in eights: 10 MB at most


def by_content(function: Callable[[NDArray[Any]], Result]) -> Callable[[NDArray[Any]], Result]:
    """Remember what a function made of the last matrices: equal ones give the same object.

    A rounding asks for the same few things of the same blocks of a Hessian dozens of times, while
    it looks for a scale; checking and factoring these took longer than the search for points.

    Arguments:
        function: of a matrix, which it may spoil; nobody may change what it returns.
    """

    @lru_cache(maxsize=KEPT)
    def known(content: bytes, kind: str, shape: tuple[int, ...]) -> Result:
        return function(np.frombuffer(content, dtype=kind).reshape(shape).copy())

    @wraps(function)
    def remembered(matrix: NDArray[Any]) -> Result:
        return known(matrix.tobytes(), matrix.dtype.str, matrix.shape)

    return remembered
