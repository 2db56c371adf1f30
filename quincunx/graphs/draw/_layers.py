"""A directed graph in layers: which node in which layer, and in which order.

Edges lead downwards but for those that would close a cycle.

Reference:
    K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
    structures", IEEE Transactions on Systems, Man and Cybernetics 11, 1981.
"""

from bisect import bisect, insort
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

Node: TypeAlias = Hashable
Edge: TypeAlias = tuple[Node, Node]

SWEEPS = 24
NARROW, BROAD = 7.0, 2.2  # a layer's width: what it may have anyway, and per area of the nodes


def find_ranks(graph: Any, widths: Mapping[Node, float]) -> dict[Node, int]:
    """Give each node a layer, from 0, below those that point to it, with short edges.

    Arguments:
        graph: a directed graph of networkx; the order of its nodes settles which edge of a cycle
            leads upwards.
        widths: the room that each node takes in its layer, in inches; where a layer gets too wide,
            nodes with little below them go further down.

    Returns:
        The layers; neighbours are in different ones, and none is empty.
    """
    import networkx as nx

    finished = {n: i for i, n in enumerate(nx.dfs_postorder_nodes(graph))}
    forward = nx.DiGraph()
    forward.add_nodes_from(graph)
    forward.add_edges_from((a, b) if finished[a] > finished[b] else (b, a) for a, b in graph.edges)
    rank: dict[Node, int] = {}
    order = list(nx.topological_sort(forward))
    for n in order:
        rank[n] = 1 + max((rank[m] for m in forward.pred[n]), default=-1)
    _shorten(rank, forward, order)
    _narrow(rank, forward, widths)
    used = {r: i for i, r in enumerate(sorted(set(rank.values())))}
    return {n: used[rank[n]] for n in graph}


def _shorten(rank: dict[Node, int], forward: Any, order: Sequence[Node]) -> None:
    """Move each node to that end of its slack which has more of its edges."""
    above, below = forward.pred, forward.succ
    for _ in range(SWEEPS):
        before = dict(rank)
        for n in reversed(order):
            if below[n] and len(below[n]) >= len(above[n]):
                rank[n] = min(rank[m] for m in below[n]) - 1
        for n in order:
            if len(above[n]) > len(below[n]):
                rank[n] = max(rank[m] for m in above[n]) + 1
        if rank == before:
            return


def _narrow(rank: dict[Node, int], forward: Any, widths: Mapping[Node, float]) -> None:
    """Push nodes of layers that are too wide downwards, with what is below them."""
    import networkx as nx

    limit = max(NARROW, (BROAD * sum(widths.values())) ** 0.5)
    following = {n: len(nx.descendants(forward, n)) for n in rank}
    r = min(rank.values())
    while r <= max(rank.values()):
        row = sorted((n for n in rank if rank[n] == r), key=lambda n: -following[n])
        width = sum(widths[n] for n in row)
        while width > limit and len(row) > 1:
            queue = [row.pop()]
            width -= widths[queue[0]]
            for n in queue:
                rank[n] += 1
                queue += [m for m in forward.succ[n] if rank[m] <= rank[n] and m not in queue]
        r += 1


def find_orders(links: Any, rows: Sequence[Sequence[Node]]) -> list[list[Node]]:
    """Reorder each layer so that few edges cross: nodes go where their neighbours are.

    Arguments:
        links: an undirected graph of networkx with edges between neighbouring layers only.
        rows: the nodes of each layer, in the order to begin with.

    Returns:
        The best of the orders tried.
    """
    tried = best = [list(row) for row in rows]
    fewest = crossings(links, best)
    for sweep in range(SWEEPS):
        tried = [list(row) for row in tried]
        for fixed, row in pairwise(tried if sweep % 2 == 0 else tried[::-1]):
            at = {n: i for i, n in enumerate(fixed)}
            wish = {n: float(i) for i, n in enumerate(row)}
            for n in row:
                near = [at[m] for m in links[n] if m in at]
                wish[n] = sum(near) / len(near) if near else wish[n]
            if sweep % 4 >= 2:
                row.reverse()  # so that equals change places, which may undo a crossing later on
            row.sort(key=wish.__getitem__)
        _swap(links, tried)
        if (count := crossings(links, tried)) < fewest:
            best, fewest = tried, count
    return best


def _swap(links: Any, rows: Sequence[list[Node]]) -> None:
    """Let neighbours in a layer change places where fewer of their own edges cross then."""
    for r, row in enumerate(rows):
        sides = [
            {n: i for i, n in enumerate(rows[s])} for s in (r - 1, r + 1) if 0 <= s < len(rows)
        ]
        for i in range(len(row) - 1):
            gain = 0
            for at in sides:
                left, right = ([at[m] for m in links[n] if m in at] for n in row[i : i + 2])
                gain += sum((x > y) - (x < y) for x in left for y in right)
            if gain > 0:
                row[i], row[i + 1] = row[i + 1], row[i]


def crossings(links: Any, rows: Sequence[Sequence[Node]]) -> int:
    """Count the crossings of the edges between neighbouring layers."""
    total = 0
    for row, following in pairwise(rows):
        at = {n: i for i, n in enumerate(following)}
        seen: list[int] = []
        for n in row:
            ends = [at[m] for m in links[n] if m in at]
            total += sum(len(seen) - bisect(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
