"""A shift register run over the bytes of each path."""

from typing import Any

from quincunx.kernels.compiled import compiled


@compiled
def unpack(codes: Any, states: Any, shift: int, state_bits: int, first: int, last: int) -> None:
    """Read paths from bytes.

    Arguments:
        codes: uint8 [N, ceil(n b / 8)], contiguous.
        states: int64 [N, n], written.
        shift: b, bits a step, at most 20.
        state_bits: L.
        first: the first path.
        last: the one after the last.
    """
    steps, size = states.shape[1], codes.shape[1]
    mask, fresh = (1 << state_bits) - 1, (1 << shift) - 1
    begin = steps - -(-state_bits // shift)
    for s in range(first, last):
        register = 0
        for t in range(begin, 2 * steps):
            at = t % steps * shift
            byte = at >> 3
            window = 0
            for k in range(4):  # b bits lie in at most four bytes
                window = window << 8 | (codes[s, byte + k] if byte + k < size else 0)
            symbol = window >> (32 - (at & 7) - shift) & fresh
            register = (register << shift | symbol) & mask
            if t >= steps:
                states[s, t - steps] = register
