"""Least-distortion paths through a bitshift trellis, written plainly: the definition.

A *state* is a window of L bits on a stream, and stands for V numbers; a step shifts it by b bits,
``next = (state << b | new) mod 2^L``. A *node* is what two neighbouring states share, the last
L - b bits of the one and the first of the other. A path is tail-biting if it ends in the node in
which it starts: then its n steps are n b bits.

Reference:
    Tseng, Sun, Hou, De Sa, "QTIP: Quantization with Trellises and Incoherence Processing",
    NeurIPS 2024, arXiv:2406.11235, section 3 and Algorithm 4.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
Path = Callable[[Numbers, int | None], NDArray[np.int64]]
"""Steps [n, V] and the node to start and end in, or None for any, to the states [n]."""

TOP = 65535  # costs of 16 bits stop here


def shortest(x: Numbers, values: Numbers, shift: int, node: int | None = None) -> NDArray[np.int64]:
    """Return the states [n] of a path of least squared distance, in the precision of the values.

    Among equals the one whose earlier states are lowest, looked at from the end.

    Arguments:
        x: [n, V].
        values: [2^L, V], what each state stands for.
        shift: b, 1 to L, bits a step.
        node: where the path starts and ends; None: anywhere.
    """
    costs = [np.sum((step - values) ** 2, axis=1) for step in x]
    return _dynamic(costs, shift, node, np.add, np.inf)


def shortest_in_16_bits(
    x: Numbers, table: Numbers, shift: int, doublings: int, node: int | None = None
) -> NDArray[np.int64]:
    """Return the states that compiled loops find: whole numbers that saturate.

    Arguments:
        x: int16 [n, V].
        table: int16 [2^L, V].
        shift: b.
        doublings: differences are doubled as often, saturated to 16 bits each time; costs are
            the sums of their squares over 2^16, rounded down.
        node: as for :func:`shortest`.
    """
    wide = table.astype(np.int64)

    def cost(step: Numbers) -> Any:
        gap = np.clip(wide - step, -32768, 32767)
        for _ in range(doublings):
            gap = np.clip(2 * gap, -32768, 32767)
        return np.minimum(np.sum(gap * gap >> 16, axis=1), TOP)

    def add(branch: Numbers, before: Numbers) -> Any:
        return np.minimum(branch + before, TOP) - before.min()

    return _dynamic([cost(step) for step in x], shift, node, add, TOP)


def _dynamic(
    costs: Sequence[Numbers], shift: int, node: int | None, add: Any, barred: float
) -> NDArray[np.int64]:
    """Viterbi's algorithm; costs [2^L] a step."""
    states = len(costs[0])
    nodes = states >> shift
    so_far = np.zeros(nodes, dtype=costs[0].dtype)
    if node is not None:
        so_far += barred
        so_far[node] = 0
    from_node = np.arange(states) >> shift
    choices = []
    for cost in costs:
        ways = add(cost, so_far[from_node]).reshape(-1, nodes)
        choices.append(np.argmin(ways, axis=0))
        so_far = np.min(ways, axis=0)
    here = int(np.argmin(so_far)) if node is None else node
    path = np.empty(len(costs), dtype=np.int64)
    for t in range(len(costs) - 1, -1, -1):
        path[t] = int(choices[t][here]) * nodes + here
        here = int(path[t]) >> shift
    if node is not None and here != node:
        raise ArithmeticError("no path within 16 bits")
    return path


def tail_biting(
    x: Numbers, path: Path, *, shift: int, window: int, turns: Sequence[int]
) -> NDArray[np.int64]:
    """Return the states [n] of a good tail-biting path: the best is beyond reach.

    A first path, without constraint, over the steps around the joint says in which node the
    second starts and ends. Each turn then starts elsewhere, in the node that the path has there,
    which makes no path worse.

    Arguments:
        x: [n, V].
        path: finds the best path for given ends.
        shift: b.
        window: steps on either side of the joint that the first path sees, 1 to n / 2.
        turns: steps at which further paths start.
    """
    first = path(np.concatenate([x[-window:], x[:window]]), None)
    states = path(x, int(first[window]) >> shift)
    for turn in turns:
        turned = path(np.roll(x, -turn, axis=0), int(states[turn]) >> shift)
        states = np.roll(turned, turn)
    return states
