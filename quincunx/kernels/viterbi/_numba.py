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
    nodes = 1 << (length - shift)
    row = 4 * (nodes // LANES) * shift  # bytes of back pointers a step

    @compiled
    def lowest(costs: Any) -> int:
        best = 0
        for q in range(nodes):
            if costs[q] < costs[best]:
                best = q
        return best

    @compiled
    def path(
        x: Any, table: Any, offset: int, steps: int, node: int, costs: Any, least: Any, back: Any,
        states: Any,
    ) -> bool:  # fmt: skip
        """Steps from ``offset`` on, round the joint; from and to ``node`` unless it is -1."""
        total = x.shape[0]
        costs[0, :] = 0
        if node >= 0:
            costs[0, :] = TOP
            costs[0, node] = 0
        before, after = np.uintp(costs[0].ctypes.data), np.uintp(costs[1].ctypes.data)
        values, low = np.uintp(table.ctypes.data), np.uintp(least.ctypes.data)
        ways, numbers = np.uintp(back.ctypes.data), np.uintp(x.ctypes.data)
        less = np.uint16(0)
        for i in range(steps):
            t = (offset + i) % total
            for lane in range(LANES):
                least[lane] = TOP
            here, at = np.uintp(ways + row * i), np.uintp(numbers + 2 * width * t)
            for block in range(nodes // LANES):
                advance(  # type: ignore[call-arg]
                    before, values, after, here, low, at, less, block,
                    (length, shift, width, doublings),
                )  # fmt: skip
            before, after = after, before
            less = least[0]
            for lane in range(LANES):
                less = min(less, least[lane])
        here_node = node if node >= 0 else lowest(costs[steps % 2])
        for i in range(steps - 1, -1, -1):
            way = 0
            for bit in range(shift):
                word = back[i, (here_node // LANES) * shift + bit]
                way |= ((word >> (here_node % LANES)) & 1) << bit
            state = way * nodes + here_node
            states[(offset + i) % total] = state
            here_node = state >> shift
        return node < 0 or here_node == node

    @compiled
    def run(
        x: Any, table: Any, window: int, turns: Any, states: Any, first: int, last: int
    ) -> None:
        steps = x.shape[1]
        costs, least = np.zeros((2, nodes), np.uint16), np.zeros(LANES, np.uint16)
        back = np.zeros((steps, row // 4), np.uint32)
        for s in range(first, last):
            mine = states[s]
            path(x[s], table, steps - window, 2 * window, -1, costs, least, back, mine)
            fine = path(x[s], table, 0, steps, mine[0] >> shift, costs, least, back, mine)
            for turn in turns:
                node = mine[turn] >> shift
                fine &= path(x[s], table, turn, steps, node, costs, least, back, mine)
            if not fine:
                mine[0] = -1

    return run
