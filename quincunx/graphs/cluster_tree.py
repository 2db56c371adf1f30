"""Cluster trees: tree decompositions laid out so that inference is arithmetic on arrays."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np

from quincunx._errors import ModelError, TooLargeError
from quincunx.graphs.elimination import (
    Heuristic,
    elimination_cliques,
    greedy_order,
    interaction_graph,
)
from quincunx.graphs.table import MAX_AXES, Floats, Names, distinct_names, members_of, names_of
from quincunx.graphs.variable import Variable, find_variable

EINSUM_AXES = 32  # NumPy's own limit on the operands of einsum


@dataclass(frozen=True, slots=True)
class ClusterTree:
    """A forest of clusters of variables with the running intersection property.

    Clusters come parents first. A cluster's first axes are the variables it shares with its
    parent (its sepset), in the parent's order: seen as a matrix [sepset states, other states], a
    cluster's table meets its parent's without moving a number.

    Attributes:
        variables: all variables.
        clusters: each cluster's variables, as positions in ``variables``.
        parents: each cluster's parent, an earlier cluster; -1 for a root.
        position: each variable's place in ``variables``, by its name.
        containing: for each variable the clusters that hold it; the first is nearest to a root.
        parent_axes: for each cluster the axes of its parent's table that its sepset has.
        shapes: the shape of each cluster's table.
        sizes: the number of cells of each cluster's table.

    Raises:
        ModelError: clusters and parents do not make such a forest; the message says where.
    """

    variables: tuple[Variable, ...]
    clusters: tuple[tuple[int, ...], ...]
    parents: tuple[int, ...]
    position: Mapping[str, int] = field(init=False, repr=False, compare=False)
    containing: tuple[tuple[int, ...], ...] = field(init=False, repr=False)
    parent_axes: tuple[tuple[int, ...], ...] = field(init=False, repr=False)
    shapes: tuple[tuple[int, ...], ...] = field(init=False, repr=False)
    sizes: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the clusters and verify the running intersection property."""
        if len(self.parents) != len(self.clusters):
            raise ModelError(f"{len(self.clusters)} clusters need as many parents")
        n = len(self.variables)
        if any(not 0 <= v < n for cluster in self.clusters for v in cluster):
            raise ModelError(f"clusters hold places of the {n} variables, 0 to {n - 1}")
        holds: list[list[int]] = [[] for _ in self.variables]
        shared = [0] * len(self.variables)
        axes = []
        for c, (cluster, parent) in enumerate(zip(self.clusters, self.parents, strict=True)):
            if not -1 <= parent < c:
                raise ModelError(f"cluster {c} has parent {parent}; parents must come first")
            for v in cluster:
                holds[v].append(c)
            above = self.clusters[parent] if parent >= 0 else ()
            own = set(cluster)
            sepset = tuple(v for v in above if v in own)
            if cluster[: len(sepset)] != sepset:
                raise ModelError(
                    f"cluster {c} must begin with the variables of its parent, {sepset}; it is "
                    f"{cluster}"
                )
            for v in sepset:
                shared[v] += 1
            axes.append(tuple(i for i, v in enumerate(above) if v in own))
        for v, variable in enumerate(self.variables):
            # A forest's part is connected when it has one node more than edges.
            if len(holds[v]) - shared[v] != 1:
                raise ModelError(
                    f"variable {variable.name!r} is in {len(holds[v])} clusters that "
                    f"{shared[v]} shared edges join: the running intersection property fails"
                )
        states = [len(v) for v in self.variables]
        shapes = tuple(tuple(states[v] for v in cluster) for cluster in self.clusters)
        object.__setattr__(self, "shapes", shapes)
        object.__setattr__(self, "sizes", tuple(math.prod(shape) for shape in shapes))
        position = {v.name: i for i, v in enumerate(self.variables)}
        object.__setattr__(self, "position", MappingProxyType(position))
        object.__setattr__(self, "containing", tuple(map(tuple, holds)))
        object.__setattr__(self, "parent_axes", tuple(axes))

    def __reduce__(self) -> tuple[type["ClusterTree"], tuple[object, ...]]:
        """Pickle and copy by what defines the tree; the rest is derived anew."""
        return ClusterTree, (self.variables, self.clusters, self.parents)

    def find(self, member: str | Variable) -> int:
        """Return the place of a variable.

        Raises:
            UnknownNameError: there is none of that name.
            ModelError: a variable of that name with other states is meant.
        """
        (name,) = names_of(member)
        if name not in self.position:
            find_variable(self.variables, name)
        place = self.position[name]
        distinct_names(member, (self.variables[place],))
        return place

    def sepset_size(self, c: int) -> int:
        """Return the number of joint states of cluster ``c``'s sepset; 1 for a root."""
        return math.prod(self.shapes[c][: len(self.parent_axes[c])])

    def message_shape(self, c: int) -> tuple[int, ...]:
        """Return the shape in which a message from ``c`` multiplies its parent's table."""
        parent = self.parents[c]
        keep = set(self.parent_axes[c])
        return tuple(n if i in keep else 1 for i, n in enumerate(self.shapes[parent]))

    def sepset_marginal(self, c: int, table: Floats) -> Floats:
        """Sum the table of cluster ``c``'s parent down to their sepset.

        Arguments:
            c: a cluster with a parent.
            table: array with the parent's cells, of any shape.

        Returns:
            float64 [sepset_size(c)].
        """
        table = table.reshape(self.shapes[self.parents[c]])
        if not self.parent_axes[c]:
            return np.asarray(table.sum()).reshape(1)
        if table.ndim <= EINSUM_AXES:  # several times as fast as sum over several axes
            # NumPy's types know the form with letters only.
            operands: list[Any] = [table, list(range(table.ndim)), list(self.parent_axes[c])]
            return np.asarray(np.einsum(*operands)).reshape(-1)
        keep = set(self.parent_axes[c])
        rest = tuple(i for i in range(table.ndim) if i not in keep)
        return np.asarray(table.sum(axis=rest)).reshape(-1)

    @property
    def treewidth(self) -> int:
        """Size of the largest cluster less one: the width of this decomposition."""
        return max(map(len, self.clusters), default=0) - 1

    def home(self, members: Iterable[int]) -> int:
        """Return the smallest cluster that holds all of some variables, -1 where none does."""
        wanted = set(members)
        holders: Iterable[int] = range(len(self.clusters))
        if wanted:
            holders = self.containing[min(wanted, key=lambda v: len(self.containing[v]))]
        found = [c for c in holders if wanted.issubset(self.clusters[c])]
        return min(found, key=self.sizes.__getitem__, default=-1)

    def names(self, c: int) -> tuple[str, ...]:
        """Return the names of cluster ``c``'s variables."""
        return tuple(self.variables[v].name for v in self.clusters[c])

    def _repr_html_(self) -> str:
        """Write the tree as nested lists for a notebook."""
        below: list[list[int]] = [[] for _ in self.clusters]
        for c, p in enumerate(self.parents):
            if p >= 0:
                below[p].append(c)
        inner = [""] * len(self.clusters)
        for c in reversed(range(len(self.clusters))):
            text = escape(", ".join(self.names(c)))
            nested = "".join(inner[d] for d in below[c])
            inner[c] = f"<li>{text}{f'<ul>{nested}</ul>' if nested else ''}</li>"
        roots = "".join(inner[c] for c, p in enumerate(self.parents) if p < 0)
        return f"<p>Cluster tree of width {self.treewidth}</p><ul>{roots}</ul>"


def cluster_tree(
    variables: Sequence[Variable],
    scopes: Iterable[Names],
    *,
    heuristic: Heuristic | None = None,
    order: Names | None = None,
) -> ClusterTree:
    """Decompose the graph in which the variables of every scope are joined.

    Arguments:
        variables: all variables; those in no scope get clusters of their own.
        scopes: sets of variables that one cluster must hold together.
        heuristic: "min-fill" or "min-degree", both weighted by states; None: both are tried and
            the tree with fewer cells is taken.
        order: an elimination order instead: all variables, each once.

    Returns:
        A forest, one tree a connected component.

    Raises:
        ModelError: the order does not name every variable once, or a heuristic is unknown.
        UnknownNameError: a scope names an unknown variable.
        TooLargeError: a cluster has more than 64 variables.
    """
    position = _positions(variables)
    members = ([position[n] for n in _known(variables, position, s)] for s in scopes)
    graph = interaction_graph(len(variables), members)
    if order is not None:
        names = names_of(order)
        if len(names) != len(position) or set(names) != set(position):
            odd = [n for n in (*names, *position) if (n in position) != (n in names)]
            odd = odd or [n for n in names if names.count(n) > 1]
            raise ModelError(
                f"an elimination order names every variable once; {odd[0]!r} is missing, unknown "
                "or repeated"
            )
        return _assemble(variables, *elimination_cliques(graph, [position[n] for n in names]))
    if heuristic not in (None, "min-fill", "min-degree"):
        raise ModelError(f"heuristic must be 'min-fill' or 'min-degree', not {heuristic!r}")
    tried: list[Heuristic] = [heuristic] if heuristic else ["min-fill", "min-degree"]
    states = [len(v) for v in variables]
    found = [
        elimination_cliques(graph, greedy_order(graph, states, heuristic)) for heuristic in tried
    ]

    def cells(cliques: list[set[int]]) -> int:
        return sum(math.prod(states[v] for v in clique) for clique in cliques)

    return _assemble(variables, *min(found, key=lambda tree: cells(tree[0])))


def tree_of_clusters(variables: Sequence[Variable], clusters: Iterable[Names]) -> ClusterTree:
    """Join given clusters into a tree, along a maximum spanning tree of their overlaps.

    Raises:
        ModelError: no tree over these clusters has the running intersection property, or a
            variable is in none of them.
    """
    import networkx as nx

    position = _positions(variables)
    sets = [{position[n] for n in _known(variables, position, c)} for c in clusters]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(sets)))
    for i, one in enumerate(sets):
        for j in range(i):
            if one & sets[j]:
                graph.add_edge(i, j, weight=len(one & sets[j]))
    forest = nx.maximum_spanning_tree(graph)
    parents = [-1] * len(sets)
    for part in nx.connected_components(forest):
        for parent, child in nx.bfs_edges(forest, min(part)):
            parents[child] = parent
    return _assemble(variables, sets, parents)


def _positions(variables: Sequence[Variable]) -> dict[str, int]:
    position = {v.name: i for i, v in enumerate(variables)}
    if len(position) < len(variables):
        raise ModelError("a tree's variables must have different names")
    return position


def _known(
    variables: Sequence[Variable], position: Mapping[str, int], scope: Names
) -> tuple[str, ...]:
    members = members_of(scope)
    for member in members:
        (name,) = names_of(member)
        if name not in position:
            find_variable(variables, name)
        distinct_names(member, (variables[position[name]],))
    return names_of(members)


def _assemble(
    variables: Sequence[Variable], cliques: Sequence[set[int]], parents: Sequence[int]
) -> ClusterTree:
    """Order clusters parents first and their axes sepset first."""
    largest = max(map(len, cliques), default=0)
    if largest > MAX_AXES:
        raise TooLargeError(
            f"a cluster of {largest} variables is needed (treewidth {largest - 1}); tables of more "
            f"than {MAX_AXES} variables cannot be held. Remove arcs that join many variables."
        )
    below: list[list[int]] = [[] for _ in cliques]
    for c, p in enumerate(parents):
        if p >= 0:
            below[p].append(c)
    queue = [c for c, p in enumerate(parents) if p < 0]
    laid_out: list[tuple[int, ...]] = []
    cells: list[int] = []
    new_parents: list[int] = []
    number: dict[int, int] = {}
    holding: list[list[int]] = [[] for _ in variables]
    for c in queue:
        parent = -1
        sepset: tuple[int, ...] = ()
        if parents[c] >= 0:
            shared = cliques[c].intersection(laid_out[number[parents[c]]])
            parent = number[parents[c]]
            if shared:
                # Any cluster so far with the shared variables will do; messages to a smaller one
                # touch fewer cells.
                rarest = min(shared, key=lambda v: len(holding[v]))
                holders = (h for h in holding[rarest] if shared.issubset(laid_out[h]))
                parent = min(holders, key=cells.__getitem__)
            sepset = tuple(v for v in laid_out[parent] if v in cliques[c])
        cluster = sepset + tuple(sorted(cliques[c].difference(sepset)))
        number[c] = len(laid_out)
        for v in cluster:
            holding[v].append(len(laid_out))
        laid_out.append(cluster)
        cells.append(math.prod(len(variables[v]) for v in cluster))
        new_parents.append(parent)
        queue.extend(below[c])
    return ClusterTree(tuple(variables), tuple(laid_out), tuple(new_parents))
