"""Paths of a trellis as bytes: what is stored.

A tail-biting path of n states, each shifted by b bits from the one before, is a circle of n b bits.
They are written in the order of the steps, the low b bits of each state, highest bit first, into
bytes from their highest bit on; zeros fill the last byte. State t is the L bits that end with
those of step t, so that the first states begin at the end of the circle. Nothing depends on the
machine's byte order.
"""

from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array


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
    weights = xp.asarray([1 << place for place in range(7, -1, -1)], device=states.device)
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
