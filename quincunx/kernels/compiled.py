"""How hot loops are compiled: by Numba, kept on disk where there is a place for it."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

FAST = {"contract", "reassoc"}  # fused multiply-add and vectorised sums; NaN and inf are kept


def compiled(function: Function) -> Function:
    """Compile a loop; additions happen in the order written."""
    return _compile(function, False)


def compiled_fast(function: Function) -> Function:
    """Compile a loop whose additions may be reordered, always in the same way on one machine."""
    return _compile(function, FAST)


def _compile(function: Function, fastmath: Any) -> Function:
    """Compile at the first call; without a cache where no folder for it can be written."""
    options: dict[str, Any] = {"fastmath": fastmath, "error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no locator: an installation that may not be written, nor a home
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
