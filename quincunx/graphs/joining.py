"""Joint tables across clusters: messages along the tree that keep the variables asked for."""

from collections.abc import Iterable, Sequence

import numpy as np

from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.table import Floats, Table


def joint_across(tree: ClusterTree, clusters: Sequence[Floats], wanted: Iterable[int]) -> Table:
    """Return the joint table of variables that no cluster holds together.

    Tables on the way are no larger than the sepsets and the variables asked for together.

    Arguments:
        tree: the cluster tree.
        clusters: each cluster's marginal, of shape ``tree.shapes[c]``; neighbours agree.
        wanted: variables, as positions in ``tree.variables``.

    Returns:
        The table, its axes in no particular order.
    """
    joint = Table((), 1.0)
    for part in _by_root(tree, wanted):
        joint = joint * _join(tree, clusters, part)
    return joint


def conditional_rows(tree: ClusterTree, c: int, table: Floats) -> Floats:
    """Return cluster ``c`` given its sepset, float64 [sepset states, other states].

    Rows of sepset states without mass are zero.
    """
    rows = table.reshape(tree.sepset_size(c), -1)
    mass = rows.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(rows, mass, out=np.zeros_like(rows), where=mass > 0))


def _by_root(tree: ClusterTree, wanted: Iterable[int]) -> Iterable[set[int]]:
    """Group variables by the root of their component."""
    groups: dict[int, set[int]] = {}
    for v in wanted:
        c = tree.containing[v][0]
        while tree.parents[c] >= 0:
            c = tree.parents[c]
        groups.setdefault(c, set()).add(v)
    return groups.values()


def _join(tree: ClusterTree, clusters: Sequence[Floats], wanted: set[int]) -> Table:
    """Return the joint table of variables of one component."""
    count: dict[int, int] = {}
    for v in wanted:
        c = tree.containing[v][0]
        while c >= 0:
            count[c] = count.get(c, 0) + 1
            c = tree.parents[c]
    top = max(c for c in count if count[c] == len(wanted))
    used = sorted((c for c in count if c > top and count[c] < len(wanted)), reverse=True)
    asked = {tree.variables[v].name for v in wanted}
    messages: dict[int, list[Table]] = {}
    for c in used:
        keep = asked.union(tree.names(c)[: len(tree.parent_axes[c])])
        rows = conditional_rows(tree, c, clusters[c])
        message = _absorb(_labelled(tree, c, rows), messages.pop(c, []), keep)
        messages.setdefault(tree.parents[c], []).append(message)
    return _absorb(_labelled(tree, top, clusters[top]), messages.pop(top, []), asked)


def _labelled(tree: ClusterTree, c: int, values: Floats) -> Table:
    return Table((tree.variables[v] for v in tree.clusters[c]), values.reshape(tree.shapes[c]))


def _absorb(table: Table, messages: list[Table], keep: set[str]) -> Table:
    """Multiply a cluster's table by messages and sum out what nobody above needs."""
    needed = {n for m in messages for n in m.names} | keep
    table = table.marginal([n for n in table.names if n in needed])
    for message in messages:
        table = table * message
    return table.marginal([n for n in table.names if n in keep])
