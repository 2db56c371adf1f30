"""Tensors that are made once for each device."""

from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["kept"]


@cache
def kept(make: Callable[..., Any], given: tuple[Any, ...], dtype: Any, where: str) -> Any:
    """Return what ``make(*given)`` makes as a tensor of torch, once for each device.

    It is kept as long as the process lives: a copy in every call would be waited for, and graphs
    of CUDA that were captured hold its address.

    Arguments:
        make: returns a NumPy array, the same for the same arguments.
        given: its arguments.
        dtype: of the tensor; None: that of the array.
        where: the device, in torch's words.
    """
    import torch

    with torch.inference_mode(False):  # others have gradients through what is made here
        return torch.tensor(make(*given), dtype=dtype, device=where)
