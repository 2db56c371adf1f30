"""Walsh-Hadamard transforms of rows, and Kronecker products with them on a GPU."""

from __future__ import annotations

from functools import cache
from typing import Any

from quincunx.kernels.hadamard.kronecker import Kronecker
from quincunx.kernels.select import launches

__all__ = ["Kronecker", "random_hadamard", "serves"]


def serves(x: Any, power: int, orders: tuple[int, ...]) -> bool:
    """Say whether :func:`random_hadamard` takes an array, and a product of factors of such orders.

    Arguments:
        x: of any library; taken are torch tensors of up to 32 bits on a GPU.
        power: of two.
        orders: of the other matrices.
    """
    narrow = launches(x) and x.dtype.is_floating_point and x.dtype.itemsize in (2, 4)
    return narrow and _fits(power, orders)


@cache
def _fits(power: int, orders: tuple[int, ...]) -> bool:
    from quincunx.kernels.hadamard._triton import plan

    return plan(power, orders) is not None


def random_hadamard(
    x: Any,
    matrix: Kronecker,
    *,
    transposed: bool = False,
    before: Any = None,
    divisor: Any = None,
    after: Any = None,
    bias: Any = None,
    dtype: Any = None,
) -> Any:
    """Return ``after (M (before x / divisor)) + bias`` for each row of x, on a GPU.

    One launch, computed in float32. Gradients flow to ``x`` only, and to those of gradients; with
    vectors that need some, multiply outside. Infinite inputs give NaN.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        matrix: M; there is room for it (:func:`serves`).
        transposed: multiply by M' instead.
        before: [n] or [1] of any type on the same device; int8 for signs, which keep the inputs'
            type exact. None: ones.
        divisor: [n], or None.
        after: [n], or None.
        bias: [n], or None.
        dtype: of the result; None: that of x.

    Returns:
        [.., n].

    Raises:
        ModelError: a shape or type is not as above.
    """
    from quincunx.kernels.hadamard._torch import fused

    return fused(x, matrix, transposed, (before, divisor, after, bias), dtype)
