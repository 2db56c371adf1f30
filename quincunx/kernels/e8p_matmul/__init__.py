"""Products with weights that are points of E8P, alone or with a second stage."""

from quincunx._types import Array
from quincunx.kernels.e8p_matmul import reference
from quincunx.kernels.few_rows import checked, operands, returned
from quincunx.kernels.gpu_parts import Blocks, narrowed, unscaled
from quincunx.kernels.packing import row_size
from quincunx.kernels.select import launches

__all__ = ["e8p_matmul"]


def e8p_matmul(
    x: Array,
    packed: Array,
    shape: tuple[int, int],
    *,
    bits: int,
    ratio: float = 1.0,
    blocks: Blocks | None = None,
) -> Array:
    """Multiply inputs with weights of which eight are a point of E8P: ``y = x W'``.

    Up to 8 rows of inputs in a processor's memory are multiplied straight from the bytes, with the
    same results for any number of threads. On a GPU any number of rows is, with inputs of 16 bits
    as they are. Else the weights are decoded first.

    Arguments:
        x: [b, n], floating; computed with as float32.
        packed: uint8 [m, ceil(n / 8) bits]: for eight weights a code of 16 bits, at 3 bits then one
            of E81B, at 4 bits a second of E8P.
        shape: (m, n).
        bits: 2, 3 or 4.
        ratio: what points of the second stage are divided by.
        blocks: how a GPU's work is cut up; None: by the shape.

    Returns:
        float32 [b, m].

    Raises:
        ModelError: the arrays do not have these shapes and types.
    """
    m, n = shape
    tiles = -(-n // 8)
    checked(x, packed, n, m, row_size(tiles, reference.WIDTHS[bits]))
    if launches(x):
        import torch

        from quincunx.kernels.e8p_matmul._triton import e8p_matmul as launched

        return launched(
            narrowed(x), packed, unscaled(str(x.device)), shape=shape, bits=bits, ratio=ratio,
            blocks=blocks, dtype=torch.float32,
        )  # fmt: skip
    found = operands(x, packed, tiles * 8)
    if found is None:
        return reference.e8p_matmul(x, packed, shape, bits=bits, ratio=ratio)
    from quincunx.kernels.e8p_matmul._numba import product

    return returned(product(found, bits=bits, ratio=float(ratio)), x)
