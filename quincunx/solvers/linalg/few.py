"""A few vectors in a processor's memory as NumPy's arrays, whose steps take the least time."""

import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._types import Array
from quincunx.solvers.linalg.flat import unit
from quincunx.solvers.linalg.random_bits import signs

__all__ = ["as_given", "few_vectors", "signs_of", "unit_signs"]

MOST = 1 << 16  # numbers; with more, threads and torch's loops gain more than they cost
KEPT = 1024  # vectors of signs

Few = tuple[NDArray[Any], tuple[Any, ...]]  # an array each, or None where none was given


def few_vectors(x: Array, *others: Array | None) -> Few | None:
    """Return vectors and what they are worked on with as NumPy's, or None where that is no gain.

    It is none for many numbers, for other libraries and places, and where gradients are wanted.

    Arguments:
        x: floating.
        others: vectors in the same place, or None.

    Returns:
        x in float32, or float64 if it is, and the others in its type.
    """
    view = _view(x)
    if view is None or view.size > MOST:
        return None
    y = view if view.dtype == np.float64 else view.astype(np.float32, copy=False)
    found: list[NDArray[Any] | None] = []
    for other in others:
        bare = None if other is None else _view(other)
        if other is not None and bare is None:
            return None
        found.append(None if bare is None else bare.astype(y.dtype, copy=False))
    return y, tuple(found)


def as_given(y: NDArray[Any], x: Array, dtype: Any) -> Array:
    """Return results in the library of x, and in a type; None: that of x."""
    if isinstance(x, np.ndarray):
        return y.astype(dtype or x.dtype, copy=False)
    torch: Any = sys.modules["torch"]
    return torch.from_numpy(y).to(dtype or x.dtype)


@lru_cache(maxsize=KEPT)
def signs_of(n: int, seed: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the signs in a type, to be read only."""
    return signs(n, seed).astype(dtype)


@lru_cache(maxsize=KEPT)
def unit_signs(n: int, seed: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the signs times what the matrix of size n begins with, to be read only."""
    return signs_of(n, seed, dtype) * unit(n)


def _view(array: Array) -> NDArray[Any] | None:
    if type(array) is np.ndarray:
        return array
    torch: Any = sys.modules.get("torch")
    if torch is None or type(array) not in (torch.Tensor, torch.nn.Parameter):
        return None
    if array.device.type != "cpu" or (array.requires_grad and torch.is_grad_enabled()):
        return None
    wide = array if array.dtype in (torch.float32, torch.float64, torch.int8) else array.float()
    view: NDArray[Any] = wide.detach().numpy()
    return view
