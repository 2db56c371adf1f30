"""Products with weights on half-integer grids."""

from quincunx._types import Array
from quincunx.kernels.few_rows import checked, operands, returned
from quincunx.kernels.gpu_parts import Blocks, narrowed, unscaled
from quincunx.kernels.grid_matmul import reference
from quincunx.kernels.packing import row_size
from quincunx.kernels.select import launches

__all__ = ["grid_matmul"]


def grid_matmul(
    x: Array,
    packed: Array,
    shape: tuple[int, int],
    *,
    bits: int,
    blocks: Blocks | None = None,
) -> Array:
    """Multiply inputs with weights ±1/2, ±3/2, ..., of one code each: ``y = x W'``.

    Up to 8 rows of inputs in a processor's memory are multiplied straight from the bytes, with the
    same results for any number of threads. On a GPU any number of rows is, with inputs of 16 bits
    as they are. Else the weights are decoded first.

    Arguments:
        x: [b, n], floating; computed with as float32.
        packed: uint8 [m, ceil(n bits / 8)].
        shape: (m, n).
        bits: 1 to 8.
        blocks: how a GPU's work is cut up; None: by the shape.

    Returns:
        float32 [b, m].

    Raises:
        ModelError: the arrays do not have these shapes and types.
    """
    m, n = shape
    checked(x, packed, n, m, row_size(n, (bits,)))
    if launches(x):
        import torch

        from quincunx.kernels.grid_matmul._triton import grid_matmul as launched

        return launched(
            narrowed(x), packed, unscaled(str(x.device)), shape=shape, bits=bits, blocks=blocks,
            dtype=torch.float32,
        )  # fmt: skip
    found = operands(x, packed, -(-n // 8) * 8)
    if found is None:
        return reference.grid_matmul(x, packed, shape, bits=bits)
    from quincunx.kernels.grid_matmul._numba import product

    return returned(product(found, bits=bits), x)
