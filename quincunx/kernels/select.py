"""Which implementation serves an array: compiled loops, programs of Triton, or plain steps."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shared(array: Any) -> NDArray[Any] | None:
    """Return a NumPy view of the same memory, or None where there is none.

    A view exists for NumPy's own arrays and for torch tensors on the processor; other libraries
    and devices are served by the plain algorithm. Writing to the view writes to the array.
    """
    if isinstance(array, np.ndarray):
        return array
    if type(array).__module__.partition(".")[0] == "torch" and array.device.type == "cpu":
        view: NDArray[Any] = array.detach().numpy()
        return view
    return None


def on_gpu(array: Any) -> bool:
    """Say whether an array is a torch tensor on a GPU."""
    return type(array).__module__.partition(".")[0] == "torch" and bool(array.is_cuda)


def launches(array: Any) -> bool:
    """Say whether programs of Triton serve an array: it is on a GPU, and Triton is there."""
    return on_gpu(array) and _has_triton()


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def copied(array: Any) -> NDArray[Any]:
    """Copy an array of any library and place to NumPy."""
    view = shared(array)
    if view is not None:
        return np.array(view)
    return np.array(array.detach().cpu() if hasattr(array, "detach") else array)
