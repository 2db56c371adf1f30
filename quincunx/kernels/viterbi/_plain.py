"""Tail-biting paths for many sequences in float64, for any trellis."""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled


@compiled
def search(
    x: Any,
    table: Any,
    shift: int,
    window: int,
    turns: Any,
    states: Any,
    first: int,
    last: int,
) -> None:
    """Find what :func:`reference.tail_biting` finds with :func:`reference.shortest`.

    Arguments:
        x: float64 [N, n, V].
        table: float64 [V, 2^L].
        shift: b, 1 to L and at most 16.
        window: steps on either side of the joint in the first path.
        turns: int64 [r], steps at which further paths start.
        states: int32 [N, n], written.
        first: the first sequence to work on.
        last: the one after the last.
    """
    total, width = x.shape[1], x.shape[2]
    nodes, ways = table.shape[1] >> shift, 1 << shift
    back = np.empty((total, nodes), np.uint16)
    before, after, cost = np.empty(nodes), np.empty(nodes), np.empty(nodes)
    for s in range(first, last):
        for turn in range(2 + len(turns)):
            offset, steps, node = total - window, 2 * window, -1
            before[:] = 0
            if turn:
                offset, steps = 0 if turn == 1 else turns[turn - 2], total
                node = states[s, offset] >> shift
                before[:] = np.inf
                before[node] = 0
            for i in range(steps):
                numbers, chosen = x[s, (offset + i) % total], back[i]
                after[:] = np.inf
                chosen[:] = 0
                for way in range(ways):
                    cost[:] = 0
                    for v in range(width):
                        number, here = numbers[v], table[v, way * nodes : (way + 1) * nodes]
                        for q in range(nodes):
                            cost[q] += (number - here[q]) ** 2
                    for q in range(nodes):
                        whole = cost[q] + before[(way * nodes + q) >> shift]
                        if whole < after[q]:
                            after[q] = whole
                            chosen[q] = way
                before, after = after, before
            end = np.argmin(before) if node < 0 else node
            for i in range(steps - 1, -1, -1):
                state = np.int64(back[i, end]) * nodes + end
                states[s, (offset + i) % total] = state
                end = state >> shift
