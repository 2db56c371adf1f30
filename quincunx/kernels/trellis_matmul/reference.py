"""Products with tiles of paths, plainly: states from bytes, numbers of states, one product."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels import trellis_codes
from quincunx.kernels.packing import unpack

LENGTH = 256  # weights of a tile


def trellis_matmul(
    x: Array,
    packed: Array,
    shape: tuple[int, int],
    *,
    bits: float,
    code: str,
    tile: tuple[int, int],
    state_bits: int,
) -> Array:
    """Return ``x W'``; see :func:`quincunx.kernels.trellis_matmul.trellis_matmul`."""
    xp: Any = array_namespace(x)
    weights = decoded(packed, shape, bits=bits, code=code, tile=tile, state_bits=state_bits)
    return xp.astype(x, xp.float32, copy=False) @ weights.T


def decoded(
    packed: Array,
    shape: tuple[int, int],
    *,
    bits: float,
    code: str,
    tile: tuple[int, int],
    state_bits: int,
) -> Array:
    """Return the weights, float32 [m, n]."""
    xp: Any = array_namespace(packed)
    values = trellis_codes.values(code, state_bits)
    shift, steps = int(bits * values.shape[1]), LENGTH // values.shape[1]
    bands, tiles = packed.shape[0], packed.shape[1] // int(32 * bits)
    paths = xp.reshape(packed, (bands * tiles, int(32 * bits)))
    states = unpack(paths, steps, shift, state_bits)
    table = xp.asarray(np.array(values), device=packed.device)
    found = xp.take(table, xp.reshape(states, (-1,)), axis=0)
    found = xp.permute_dims(xp.reshape(found, (bands, tiles, *tile)), (0, 2, 1, 3))
    return xp.reshape(found, (bands * tile[0], tiles * tile[1]))[: shape[0], : shape[1]]
