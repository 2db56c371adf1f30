"""Tail-biting paths for many sequences, in 16-bit arithmetic."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled
from quincunx.kernels.viterbi._simd import LANES, advance

TOP = 65535
MOST_WAYS = 8  # bits a step for which all ways into a node are written out


def fits(length: int, shift: int) -> bool:
    """Say whether the compiled search serves states of L bits, ``shift`` of them new a step."""
    return shift <= MOST_WAYS and 2 * shift <= length and (1 << (length - shift)) >= LANES


@cache
def search(length: int, shift: int, width: int, doublings: int) -> Callable[..., None]:
    """Return the search for one shape of trellis; see :func:`reference.tail_biting`.

    Its arguments are:
        x: int16 [N, n, V], contiguous.
        table: int16 [V, 2^L], contiguous.
        window: steps on either side of the joint in the first path.
        turns: int64 [r], steps at which further paths start.
        states: int32 [N, n], written; -1 in the first place where 16 bits were not enough.
        first, last: sequences to work on.

    Arguments:
        length: L, bits of a state.
        shift: b, bits a step.
        width: V, numbers a step.
        doublings: of differences before they are squared.
    """
    # The cache on disk knows a function by the numbers around it: no other function may be there.
    nodes = 1 << (length - shift)
    row = 4 * (nodes // LANES) * shift  # bytes of back pointers a step

    @compiled
    def run(
        x: Any, table: Any, window: int, turns: Any, states: Any, first: int, last: int
    ) -> None:
        total = x.shape[1]
        costs, least = np.zeros((2, nodes), np.uint16), np.zeros(LANES, np.uint16)
        back = np.zeros((total, row // 4), np.uint32)
        values, low = np.uintp(table.ctypes.data), np.uintp(least.ctypes.data)
        ways = np.uintp(back.ctypes.data)
        for s in range(first, last):
            mine, numbers, fine = states[s], np.uintp(x[s].ctypes.data), True
            for turn in range(2 + len(turns)):
                offset, steps, node = total - window, 2 * window, -1
                if turn:
                    offset, steps = 0 if turn == 1 else turns[turn - 2], total
                    node = mine[offset] >> shift
                costs[0, :] = 0
                if turn:
                    costs[0, :] = TOP
                    costs[0, node] = 0
                before, after = np.uintp(costs[0].ctypes.data), np.uintp(costs[1].ctypes.data)
                less = np.uint16(0)
                for i in range(steps):
                    for lane in range(LANES):
                        least[lane] = TOP
                    here = np.uintp(ways + row * i)
                    at = np.uintp(numbers + 2 * width * ((offset + i) % total))
                    for block in range(nodes // LANES):
                        advance(  # type: ignore[call-arg]
                            before, values, after, here, low, at, less, block,
                            (length, shift, width, doublings),
                        )  # fmt: skip
                    before, after = after, before
                    less = least[0]
                    for lane in range(LANES):
                        less = min(less, least[lane])
                end = node
                if not turn:
                    end = 0
                    for q in range(nodes):
                        if costs[steps % 2, q] < costs[steps % 2, end]:
                            end = q
                for i in range(steps - 1, -1, -1):
                    way = 0
                    for bit in range(shift):
                        word = back[i, (end // LANES) * shift + bit]
                        way |= ((word >> (end % LANES)) & 1) << bit
                    state = way * nodes + end
                    mine[(offset + i) % total] = state
                    end = state >> shift
                fine &= turn == 0 or end == node
            if not fine:
                mine[0] = -1

    return run
