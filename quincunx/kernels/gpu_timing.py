"""How long programs of Triton take, and by which Triton they are compiled."""

from collections.abc import Callable
from typing import Any


def median_time(call: Callable[[], Any]) -> float:
    """Return the milliseconds of a call on a GPU: the median of many, with its caches emptied."""
    from triton.testing import do_bench

    return float(do_bench(call, warmup=5, rep=20, return_mode="median"))


def compiler() -> str:
    """Return the name and version of what compiles programs."""
    import triton

    return f"triton {triton.__version__}"
