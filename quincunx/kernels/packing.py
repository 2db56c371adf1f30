"""Paths of a trellis, and codes of any width, as bytes: what is stored.

A tail-biting path of n states, each shifted by b bits from the one before, is a circle of n b bits.
They are written in the order of the steps, the low b bits of each state, highest bit first, into
bytes from their highest bit on; zeros fill the last byte. State t is the L bits that end with
those of step t, so that the first states begin at the end of the circle. Codes of other codebooks
are written one after the other, highest bit first, into bytes likewise. Nothing depends on the
machine's byte order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows


def packed_size(steps: int, shift: int) -> int:
    """Return how many bytes a path of ``steps`` steps of ``shift`` bits has."""
    return -(-steps * shift // 8)


def pack(states: Array, shift: int) -> Array:
    """Write paths as bytes.

    Arguments:
        states: whole numbers [N, n], tail-biting.
        shift: b >= 1, bits a step.

    Returns:
        uint8 [N, ceil(n b / 8)].
    """
    xp: Any = array_namespace(states)
    states = xp.astype(states, xp.int64)
    count, steps = states.shape
    places = xp.arange(shift - 1, -1, -1, dtype=xp.int64, device=states.device)
    bits = xp.reshape((states[:, :, None] >> places) & 1, (count, steps * shift))
    spare = -steps * shift % 8
    if spare:
        zeros = xp.zeros((count, spare), dtype=xp.int64, device=states.device)
        bits = xp.concat([bits, zeros], axis=1)
    weights = 1 << xp.arange(7, -1, -1, dtype=xp.int64, device=states.device)
    return xp.astype(xp.sum(xp.reshape(bits, (count, -1, 8)) * weights, axis=2), xp.uint8)


def unpack(codes: Array, steps: int, shift: int, state_bits: int) -> Array:
    """Read paths from bytes.

    Arguments:
        codes: uint8 [N, ceil(n b / 8)], as :func:`pack` wrote them.
        steps: n.
        shift: b.
        state_bits: L, b or more, and at most n b.

    Returns:
        States, int64 [N, n].

    Raises:
        ModelError: the codes have another shape, or L is out of range.
    """
    xp: Any = array_namespace(codes)
    if codes.ndim != 2 or codes.shape[1] != packed_size(steps, shift):
        raise ModelError(
            f"codes have shape {tuple(codes.shape)}; {steps} steps of {shift} bits have "
            f"{packed_size(steps, shift)} bytes"
        )
    if not shift <= state_bits <= steps * shift:
        raise ModelError(
            f"states of {state_bits} bits cannot be read from {steps} steps of {shift} bits; use "
            f"{shift} to {steps * shift}"
        )
    view = shared(codes)
    if view is not None:
        return xp.asarray(_by_loop(view, steps, shift, state_bits))
    codes, device = xp.astype(codes, xp.int64), codes.device
    places = xp.arange(7, -1, -1, dtype=xp.int64, device=device)
    bits = xp.reshape((codes[:, :, None] >> places) & 1, (codes.shape[0], -1))
    symbols = xp.reshape(bits[:, : steps * shift], (codes.shape[0], steps, shift))
    weights = xp.asarray([1 << place for place in range(shift - 1, -1, -1)], device=device)
    symbols = xp.sum(symbols * weights, axis=2)
    states = xp.zeros_like(symbols)
    for age in range(-(-state_bits // shift)):
        states = states + (xp.roll(symbols, age, axis=1) << (age * shift))
    return states & ((1 << state_bits) - 1)


def _by_loop(codes: NDArray[Any], steps: int, shift: int, state_bits: int) -> NDArray[np.int64]:
    """Read paths by a compiled loop."""
    from quincunx.kernels.unpacking._numba import unpack as unpacked

    codes = np.ascontiguousarray(codes, dtype=np.uint8)
    states = np.empty((len(codes), steps), dtype=np.int64)
    in_rows(lambda first, last: unpacked(codes, states, shift, state_bits, first, last), len(codes))
    return states


def row_size(count: int, widths: Sequence[int]) -> int:
    """Return how many bytes ``count`` tiles with codes of ``widths`` bits have."""
    return -(-count * sum(widths) // 8)


def pack_rows(codes: Array, widths: Sequence[int]) -> Array:
    """Write rows of codes as bytes; zeros fill each row's last byte.

    Arguments:
        codes: whole numbers [M, N, k], the j-th of each tile below ``2^widths[j]``.
        widths: of the k codes, in bits, 1 to 16.

    Returns:
        uint8 [M, ceil(N sum(widths) / 8)].
    """
    xp: Any = array_namespace(codes)
    rows, count, _ = codes.shape
    bits = [
        (xp.astype(codes[:, :, j : j + 1], xp.int64) >> _places(xp, width, codes)) & 1
        for j, width in enumerate(widths)
    ]
    row = xp.reshape(xp.concat(bits, axis=2), (rows, count * sum(widths)))
    spare = -row.shape[1] % 8
    if spare:
        zeros = xp.zeros((rows, spare), dtype=xp.int64, device=codes.device)
        row = xp.concat([row, zeros], axis=1)
    return xp.astype(_joined(xp, xp.reshape(row, (rows, -1, 8))), xp.uint8)


def unpack_rows(packed: Array, count: int, widths: Sequence[int]) -> Array:
    """Read rows of codes from bytes.

    Arguments:
        packed: uint8 [M, ceil(N sum(widths) / 8)], as :func:`pack_rows` wrote them.
        count: N, tiles a row.
        widths: of the k codes, in bits.

    Returns:
        [M, N, k]: uint8 where all widths are 8, int32 else.

    Raises:
        ModelError: the bytes have another shape.
    """
    xp: Any = array_namespace(packed)
    if packed.ndim != 2 or packed.shape[1] != row_size(count, widths):
        raise ModelError(
            f"packed codes have shape {tuple(packed.shape)}; {count} tiles of {sum(widths)} bits "
            f"have {row_size(count, widths)} bytes a row"
        )
    if all(width == 8 for width in widths):
        return xp.reshape(packed, (packed.shape[0], count, len(widths)))
    bits = (xp.astype(packed, xp.int32)[:, :, None] >> _places(xp, 8, packed)) & 1
    row = xp.reshape(bits, (packed.shape[0], -1))[:, : count * sum(widths)]
    row, parts = xp.reshape(row, (packed.shape[0], count, sum(widths))), []
    for j, width in enumerate(widths):
        start = sum(widths[:j])
        parts.append(_joined(xp, row[:, :, start : start + width]))
    return xp.astype(xp.stack(parts, axis=2), xp.int32)


def _places(xp: Any, width: int, like: Array) -> Array:
    return xp.arange(width - 1, -1, -1, dtype=xp.int32, device=like.device)


def _joined(xp: Any, bits: Array) -> Array:
    """Join bits along the last axis, highest first."""
    width = bits.shape[-1]
    weights = xp.asarray([1 << k for k in range(width - 1, -1, -1)], device=bits.device)
    return xp.sum(bits * xp.astype(weights, bits.dtype), axis=-1)
