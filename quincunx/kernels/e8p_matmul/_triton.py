"""Products with points of E8P on a GPU; how they are made: :mod:`quincunx.kernels.gpu_rows`."""

from typing import Any

from quincunx._errors import ModelError
from quincunx.kernels.e8p_matmul.reference import WIDTHS
from quincunx.kernels.gpu_parts import Blocks
from quincunx.kernels.gpu_rows import multiplied

__all__ = ["e8p_matmul"]


def e8p_matmul(
    x: Any,
    qweight: Any,
    scales: Any,
    *,
    shape: tuple[int, int],
    bits: int,
    ratio: float = 1.0,
    blocks: Blocks | None = None,
    dtype: Any = None,
) -> Any:
    """Return ``y[.., i] = sum_j x[.., j] W[i, j] scales[i]``.

    With up to two rows of inputs in 16 bits, inputs keep their precision from 1e-15 to 1e13.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        qweight: uint8 [m, ceil(n / 8) bits]: for eight weights a code of 16 bits, at 3 bits then
            one of E81B, at 4 bits a second of E8P; format version 1.
        scales: [1] or [m].
        shape: (m, n).
        bits: 2, 3 or 4.
        ratio: what points of the second stage are divided by.
        blocks: how the product is cut up; None: chosen by the shape.
        dtype: of the results; None: that of x.

    Returns:
        [.., m].

    Raises:
        ModelError: an argument has another shape or type.
    """
    if bits not in WIDTHS:
        raise ModelError(f"bits is {bits}; E8P has 2, 3 or 4")
    if not 0 < ratio < float("inf"):
        raise ModelError(f"ratio is {ratio}; it is positive and finite")
    return multiplied(
        x, qweight, scales, kind="e8p", shape=shape, bits=int(bits), widths=WIDTHS[int(bits)],
        ratio=ratio, blocks=blocks, dtype=dtype,
    )  # fmt: skip
