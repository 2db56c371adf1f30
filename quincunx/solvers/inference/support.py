"""Which joint states can have mass: the zeros that certainties force, found before solving.

A cell that no feasible distribution can use must leave the problem: an interior-point method needs
a point where every remaining cell is positive, and an impossible event must read exactly zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.solvers.inference.arrays import Bools, Ints

Item = TypeVar("Item")


def home_of(tree: ClusterTree, arc: Arc) -> int:
    """Return the smallest cluster that holds an arc's variables."""
    return tree.home(tree.position[v.name] for v in arc.scope)


def joint_index(tree: ClusterTree, c: int, members: Sequence[int]) -> Ints:
    """Number the cells of cluster ``c`` by the joint state of some of its variables.

    Arguments:
        tree: the cluster tree.
        c: the cluster.
        members: variables of the cluster, most significant first.

    Returns:
        int64 of shape ``tree.shapes[c]``, row-major over the states of ``members``.
    """
    shape = tree.shapes[c]
    index = np.zeros(shape, dtype=np.int64)
    stride = 1
    for v in reversed(members):
        axis = tree.clusters[c].index(v)
        steps = np.arange(shape[axis], dtype=np.int64) * stride
        index += steps.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        stride *= shape[axis]
    return index


def excludes(arc: Arc) -> bool:
    """Say whether an arc forces zeros: a table with zeros and a positive confidence."""
    return arc.table is not None and arc.beta > 0 and bool((arc.table == 0).any())


def possible_cells(
    tree: ClusterTree, arcs: Sequence[Arc], among: Sequence[Bools] | None = None
) -> list[Bools]:
    """Find the cells that tables' zeros leave possible, carried through the tree to a fixpoint.

    A table entry of zero with ``beta > 0`` costs infinitely much, so its cells go. What one
    cluster excludes on a sepset goes from its neighbours. A row of a hard arc with a positive
    entry whose cells are all gone cannot have mass at all.

    Arguments:
        tree: a cluster tree that holds every arc's variables in one cluster.
        arcs: the arcs.
        among: one mask a cluster, the cells that can be possible; None: all.

    Returns:
        One mask a cluster, of shape ``tree.shapes[c]``; all False where certainties contradict.
    """
    masks = [np.ones(shape, dtype=np.bool_) for shape in tree.shapes]
    if among is not None:
        masks = [np.array(mask) for mask in among]
    concerned = [a for a in arcs if excludes(a) or math.isinf(a.beta)]
    where: dict[int, tuple[int, Ints]] = {}
    for i, arc in enumerate(concerned):
        c = home_of(tree, arc)
        where[i] = (c, joint_index(tree, c, [tree.position[v.name] for v in arc.scope]))
        if excludes(arc):
            masks[c] &= ~(arc.rows.ravel() == 0)[where[i][1]]
    if not concerned:
        return masks
    while True:
        _spread(tree, masks)
        changed = False
        for i, arc in enumerate(concerned):
            if math.isinf(arc.beta):
                changed |= _drop_unreachable_rows(arc, masks, *where[i])
        if not changed:
            return masks


def _spread(tree: ClusterTree, masks: list[Bools]) -> None:
    """Make neighbours agree on what their sepset can be: leaves to root, and back."""
    for c in reversed(range(len(masks))):
        if tree.parents[c] >= 0:
            up = masks[c].reshape(tree.sepset_size(c), -1).any(axis=1)
            masks[tree.parents[c]] &= up.reshape(tree.message_shape(c))
    for c, parent in enumerate(tree.parents):
        if parent >= 0:
            down = tree.sepset_marginal(c, masks[parent].astype(np.float64)).reshape(-1, 1) > 0
            masks[c].reshape(tree.sepset_size(c), -1)[...] &= down


def _drop_unreachable_rows(arc: Arc, masks: list[Bools], c: int, index: Ints) -> bool:
    table = arc.rows
    alive = np.zeros(table.size, dtype=np.bool_)
    alive[index[masks[c]]] = True
    dead_rows = ((table > 0) & ~alive.reshape(table.shape)).any(axis=1)
    gone = np.repeat(dead_rows, table.shape[1])[index] & masks[c]
    masks[c] &= ~gone
    return bool(gone.any())


def clashing(arcs: Sequence[Item], possible: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """Find a smallest-by-inclusion set of arcs that cannot all hold, by divide and conquer.

    Arguments:
        arcs: arcs, or what stands for them, that together are not possible.
        possible: says whether some arcs can hold together.

    Returns:
        Arcs that clash, such that leaving out any one of them resolves the clash.

    Reference:
        U. Junker, "QuickXplain: preferred explanations and relaxations for over-constrained
        problems", AAAI 2004.
    """

    def explain(background: list[Item], added: bool, candidates: list[Item]) -> list[Item]:
        if added and not possible(background):
            return []
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        first, second = candidates[:half], candidates[half:]
        right = explain(background + first, bool(first), second)
        left = explain(background + right, bool(right), first)
        return left + right

    return explain([], False, list(arcs)) if arcs else []
