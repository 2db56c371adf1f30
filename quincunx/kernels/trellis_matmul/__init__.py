"""Products with weights whose tiles are paths through a bitshift trellis."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._types import Array
from quincunx.kernels import trellis_codes
from quincunx.kernels.few_rows import Operands, checked, least_rows, operands, returned
from quincunx.kernels.gpu_parts import Blocks, narrowed, unscaled
from quincunx.kernels.select import launches
from quincunx.kernels.threads import in_rows
from quincunx.kernels.trellis_matmul import reference

__all__ = ["trellis_matmul"]

STATE_BITS = 16  # of compiled loops
PARTS = {(32, 8): 1, (16, 16): 2}  # their tiles: eights a row


def trellis_matmul(
    x: Array,
    packed: Array,
    shape: tuple[int, int],
    *,
    bits: float,
    code: str = "mul1",
    tile: tuple[int, int] = (32, 8),
    state_bits: int = STATE_BITS,
    blocks: Blocks | None = None,
) -> Array:
    """Multiply inputs with coded weights: ``y = x W'``.

    Up to 8 rows of inputs in a processor's memory are multiplied straight from the bytes; a row of
    tiles is one thread's, and the results do not depend on how many threads there are. On a GPU
    any number of rows is, with inputs of 16 bits as they are. All else, and tiles and lengths of
    states that are not the usual ones, are decoded first.

    Arguments:
        x: [b, n], floating; computed with as float32.
        packed: uint8 [ceil(m / r), ceil(n / c) 32 bits], rows of tiles (r, c).
        shape: (m, n).
        bits: a weight.
        code: what states stand for, one of :data:`quincunx.kernels.trellis_codes.NAMES`.
        tile: (r, c), rows and columns of a tile; 256 weights.
        state_bits: L.
        blocks: how a GPU's work is cut up; None: by the shape.

    Returns:
        float32 [b, m].

    Raises:
        ModelError: the arrays do not have these shapes and types, or there is no such code.
    """
    m, n = shape
    usual = state_bits == STATE_BITS and tile in PARTS
    if usual and x.ndim == 2 and launches(x):
        import torch

        from quincunx.kernels.trellis_matmul._triton import trellis_matmul as launched

        return launched(
            narrowed(x), packed, unscaled(str(x.device)), shape=shape, bits=bits, code=code,
            tile=tile, blocks=blocks, dtype=torch.float32,
        )  # fmt: skip
    tiles = -(-n // tile[1])
    checked(x, packed, n, -(-m // tile[0]), tiles * int(32 * bits))
    found = operands(x, packed, tiles * tile[1]) if usual else None
    if found is not None:
        return returned(compiled_product(found, m, bits=bits, code=code, tile=tile), x)
    return reference.trellis_matmul(
        x, packed, shape, bits=bits, code=code, tile=tile, state_bits=state_bits
    )


def compiled_product(
    given: Operands, rows: int, *, bits: float, code: str, tile: tuple[int, int], sums: bool = False
) -> NDArray[np.float32]:
    """Return [vectors, m] by the compiled loops.

    Arguments:
        given: inputs and codes, as :func:`quincunx.kernels.few_rows.operands` makes them.
        rows: m.
        bits: a weight.
        code: what states stand for.
        tile: (32, 8) or (16, 16).
        sums: return sums of weights, [1, m]: what decoding alone costs.
    """
    from quincunx.kernels import code_vectors
    from quincunx.kernels.trellis_matmul._numba import products

    x, packed = given
    which = {
        "1mad": code_vectors.ONE_MAD,
        "2mad": code_vectors.TWO_MAD,
        "3inst": code_vectors.THREE_INST,
        "mcg": code_vectors.MCG,
        "mul1": code_vectors.MUL1,
        "hyb": -1,
    }.get(code, code_vectors.TABLE)
    factor = 1 / code_vectors.BYTES_SCALE if code in ("1mad", "2mad") else 1.0
    table = _table(code)
    run = products(which, int(2 * bits), PARTS[tile], 0 if sums else len(x))
    y = np.empty((1 if sums else len(x), rows), dtype=np.float32)
    in_rows(
        lambda first, last: run(packed, x, table, factor, y, first, last),
        len(packed),
        least=least_rows(tile[0] * x.shape[1]),
    )
    return y


@cache
def _table(code: str) -> NDArray[np.float32]:
    """What a code looks up: for HYB all pairs of either sign, for others all states or nothing."""
    if code == "hyb":
        pairs = trellis_codes.table()
        return np.concatenate([pairs, pairs * np.array([-1, 1], dtype=np.float32)])
    if code in trellis_codes.HASHES:
        return np.zeros(1, dtype=np.float32)
    values: Any = trellis_codes.values(code, STATE_BITS)
    return np.ascontiguousarray(values[:, 0])
