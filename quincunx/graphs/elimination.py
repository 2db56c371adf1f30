"""Elimination orders: weighted min-fill and min-degree on a heap, in time near linear.

networkx has both heuristics, but unweighted: it counts fill edges and neighbours where the size of
a table is a product of state counts. The orders here weigh by states.
"""

import heapq
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

Heuristic: TypeAlias = Literal["min-fill", "min-degree"]


def interaction_graph(n: int, scopes: Iterable[Sequence[int]]) -> list[set[int]]:
    """Join every two variables that share a scope.

    Arguments:
        n: number of variables.
        scopes: sets of variables, as positions in range(n).

    Returns:
        The neighbours of each variable.
    """
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for scope in scopes:
        for v in scope:
            neighbours[v].update(scope)
    for v in range(n):
        neighbours[v].discard(v)
    return neighbours


def greedy_order(
    neighbours: Sequence[set[int]], states: Sequence[int], heuristic: Heuristic
) -> list[int]:
    """Eliminate the cheapest variable first, over and over.

    "min-fill" takes the variable whose elimination adds the least fill, an edge between variables
    with r and s states counting r*s, and breaks ties by the size of the cluster made;
    "min-degree" takes the smallest cluster. Equal costs go by position, so the order is
    deterministic.

    Arguments:
        neighbours: the graph, as from :func:`interaction_graph`; left unchanged.
        states: number of states of each variable.
        heuristic: "min-fill" or "min-degree".

    Returns:
        All variables in elimination order.

    Reference:
        U. Kjaerulff, "Triangulation of graphs: algorithms giving small total state space", Aalborg
        University R 90-09, 1990.
    """
    graph = [set(near) for near in neighbours]
    log_states = np.log(np.asarray(states, dtype=np.float64)).tolist()
    count_fill = heuristic == "min-fill"
    fill = [_fill(graph, states, v) if count_fill else 0 for v in range(len(graph))]
    size = [log_states[v] + sum(log_states[u] for u in graph[v]) for v in range(len(graph))]
    left = set(range(len(graph)))
    heap = [(fill[v], size[v], v) for v in left]
    heapq.heapify(heap)
    order = []
    while left:
        *cost, v = heapq.heappop(heap)
        if v not in left or cost != [fill[v], size[v]]:
            continue  # an entry made before a neighbour was eliminated
        order.append(v)
        left.discard(v)
        changed = set(graph[v])
        if count_fill:
            changed |= _update_fill(graph, states, fill, v)
        _eliminate(graph, v)
        for u in changed:
            size[u] = log_states[u] + sum(log_states[x] for x in graph[u])
            heapq.heappush(heap, (fill[u], size[u], u))
    return order


def _fill(graph: Sequence[set[int]], states: Sequence[int], v: int) -> int:
    """Return the weight of the edges that eliminating ``v`` would add."""
    near = graph[v]
    if len(near) < 2:
        return 0
    total = sum(states[a] for a in near)
    joined = (sum(map(states.__getitem__, near & graph[a])) for a in near)
    twice = sum(states[a] * (total - states[a] - j) for a, j in zip(near, joined, strict=True))
    return twice // 2


def _update_fill(graph: list[set[int]], states: Sequence[int], fill: list[int], v: int) -> set[int]:
    """Join the neighbours of ``v``, keeping every fill exact; return the variables changed.

    Counting anew would cost a popular variable the square of its neighbours at every step.
    """
    near = graph[v]
    changed = set()
    for u in near:
        strangers = graph[u] - near
        fill[u] -= states[v] * (sum(states[x] for x in strangers) - states[v])
    for a, b in combinations(near, 2):
        if b in graph[a]:
            continue
        common = (graph[a] & graph[b]) - {v}
        for u in common:
            fill[u] -= states[a] * states[b]
        fill[a] += states[b] * (sum(states[x] for x in graph[a] - graph[b]))
        fill[b] += states[a] * (sum(states[x] for x in graph[b] - graph[a]))
        graph[a].add(b)
        graph[b].add(a)
        changed |= common
    return changed


def elimination_cliques(
    neighbours: Sequence[set[int]], order: Sequence[int]
) -> tuple[list[set[int]], list[int]]:
    """Return the maximal cliques that an elimination order makes, and a tree that joins them.

    Arguments:
        neighbours: the graph; left unchanged.
        order: all variables, each once.

    Returns:
        The cliques, and for each the position of its parent clique, -1 for a root. The sets of
        each variable form a connected part of the tree.
    """
    graph = [set(near) for near in neighbours]
    position = {v: i for i, v in enumerate(order)}
    cliques: list[set[int]] = []
    above: list[int] = []
    for v in order:
        near = graph[v]
        cliques.append({v, *near})
        above.append(min((position[u] for u in near), default=-1))
        _eliminate(graph, v)
    # A clique whose child is larger by just the child's own variable lies within that child.
    absorbed = [-1] * len(cliques)
    for i, up in enumerate(above):
        if up >= 0 and absorbed[up] < 0 and len(cliques[up]) == len(cliques[i]) - 1:
            absorbed[up] = i

    def keeper(i: int) -> int:
        while absorbed[i] >= 0:
            i = absorbed[i]
        return i

    kept = [i for i in range(len(cliques)) if absorbed[i] < 0]
    number = {i: n for n, i in enumerate(kept)}
    parents = []
    for i in kept:
        top = i
        while above[top] >= 0 and absorbed[above[top]] == top:
            top = above[top]
        parents.append(number[keeper(above[top])] if above[top] >= 0 else -1)
    return [cliques[i] for i in kept], parents


def _eliminate(graph: list[set[int]], v: int) -> None:
    """Join the neighbours of ``v`` and take it out of their neighbourhoods."""
    near = graph[v]
    for a in near:
        graph[a] |= near
        graph[a] -= {a, v}
