"""Products with weights on a grid, on a GPU; how: :mod:`quincunx.kernels.gpu_rows`."""

from typing import Any

from quincunx._errors import ModelError
from quincunx.kernels.gpu_parts import Blocks
from quincunx.kernels.gpu_rows import multiplied

__all__ = ["grid_matmul"]


def grid_matmul(
    x: Any,
    qweight: Any,
    scales: Any,
    *,
    shape: tuple[int, int],
    bits: int,
    blocks: Blocks | None = None,
    dtype: Any = None,
) -> Any:
    """Return ``y[.., i] = sum_j x[.., j] W[i, j] scales[i]``.

    With up to two rows of inputs in 16 bits and up to four bits a weight, inputs keep their
    precision from 1e-15 to 1e13.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        qweight: uint8 [m, ceil(n bits / 8)], codes of ±1/2, ±3/2, ...; format version 1.
        scales: [1] or [m].
        shape: (m, n).
        bits: 1 to 8.
        blocks: how the product is cut up; None: chosen by the shape.
        dtype: of the results; None: that of x.

    Returns:
        [.., m].

    Raises:
        ModelError: an argument has another shape or type.
    """
    if bits not in range(1, 9):
        raise ModelError(f"bits is {bits}; a grid has 1 to 8")
    return multiplied(
        x, qweight, scales, kind="grid", shape=shape, bits=int(bits), widths=(int(bits),),
        blocks=blocks, dtype=dtype,
    )  # fmt: skip
