"""Index arrays that describe a cluster tree to compiled loops."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]
Narrow: TypeAlias = NDArray[np.int32]

LANES = 8  # float64 in a vector register of the widest machines: rows of blocks are padded to this


class TreeLayout(NamedTuple):
    """Clusters of cells, what joins them, and where their blocks lie.

    Clusters come parents first. Each cluster's cells are grouped by the state of its sepset; a
    root has one group. Neighbours agree on the sums of these groups, a root's sum is fixed.

    Attributes:
        cells: int64 [clusters + 1], where each cluster's cells begin.
        groups: int64 [clusters + 1], where each cluster's groups begin.
        equations: int64 [clusters + 1], where each cluster's further equations begin.
        parent: int64 [clusters], -1 for a root.
        group: int32 [cells], each cell's group within its cluster.
        below_start: int64 [clusters + 1], where each child's part of ``below`` begins.
        below: int32; for each child, for each cell of its parent, the child's group that it is in.
        entry_start: int64 [equations + 1], where each equation's terms begin.
        entry_cell: int32, the cells of the terms, within their cluster.
        entry_value: float64, their coefficients.
        block: int64 [clusters + 1], where each cluster's block begins in the storage.
        stride: int64 [clusters], length of a block's rows, a multiple of :data:`LANES`.
        equation_order: int64 [equations], which of the equations given is the k-th here.
    """

    cells: Indices
    groups: Indices
    equations: Indices
    parent: Indices
    group: Narrow
    below_start: Indices
    below: Narrow
    entry_start: Indices
    entry_cell: Narrow
    entry_value: Floats
    block: Indices
    stride: Indices
    equation_order: Indices

    @property
    def order(self) -> int:
        """Size of the largest block: cells and further equations of one cluster."""
        return int((np.diff(self.cells) + np.diff(self.equations)).max(initial=1))


def tree_layout(cells: Indices, sepset: Indices, parent: Indices, calibration: Any) -> TreeLayout:
    """Lay a cluster tree out for elimination, without further equations.

    Arguments:
        cells: int64 [clusters + 1], where each cluster's cells begin.
        sepset: int64 [N], each cell's calibration row; rows of one cluster are consecutive.
        parent: int64 [clusters].
        calibration: sparse CSR [K, N] with +1 at a cluster's cells and -1 at its parent's.
    """
    first = np.minimum.reduceat(sepset, cells[:-1]) if len(parent) else np.zeros(0, dtype=np.int64)
    groups = np.append(first, calibration.shape[0]).astype(np.int64)
    below_start, below = _below(cells, parent, groups, calibration)
    none = np.zeros(0, dtype=np.int64)
    sizes = np.diff(cells)
    stride = -(-sizes // LANES) * LANES
    return TreeLayout(
        cells=cells,
        groups=groups,
        equations=np.zeros(len(cells), dtype=np.int64),
        parent=parent,
        group=(sepset - np.repeat(first, sizes)).astype(np.int32),
        below_start=below_start,
        below=below,
        entry_start=np.zeros(1, dtype=np.int64),
        entry_cell=none.astype(np.int32),
        entry_value=none.astype(np.float64),
        block=np.concatenate([[0], np.cumsum(sizes * stride)]).astype(np.int64),
        stride=stride.astype(np.int64),
        equation_order=none,
    )


def with_equations(tree: TreeLayout, equations: Any) -> TreeLayout:
    """Add further equations to a layout that has none.

    Arguments:
        tree: the layout.
        equations: sparse CSR [E, N], each row within one cluster and not empty.
    """
    if equations.shape[0] == 0:
        return tree
    count = len(tree.parent)
    home = np.searchsorted(tree.cells, equations.indices[equations.indptr[:-1]], side="right") - 1
    order = np.argsort(home, kind="stable")
    ordered = equations[order]
    owner = np.repeat(home[order], np.diff(ordered.indptr))
    number = np.bincount(home, minlength=count)
    sizes = np.diff(tree.cells) + number
    stride = -(-sizes // LANES) * LANES
    return tree._replace(
        equations=np.concatenate([[0], np.cumsum(number)]).astype(np.int64),
        entry_start=ordered.indptr.astype(np.int64),
        entry_cell=(ordered.indices - tree.cells[owner]).astype(np.int32),
        entry_value=ordered.data.astype(np.float64),
        block=np.concatenate([[0], np.cumsum(sizes * stride)]).astype(np.int64),
        stride=stride.astype(np.int64),
        equation_order=order.astype(np.int64),
    )


def _below(
    cells: Indices, parent: Indices, groups: Indices, calibration: Any
) -> tuple[Indices, Narrow]:
    """For each child, find the group that each cell of its parent belongs to."""
    above = np.where(parent >= 0, np.diff(cells)[parent], 0)
    start = np.concatenate([[0], np.cumsum(above)]).astype(np.int64)
    row = np.repeat(np.arange(calibration.shape[0]), np.diff(calibration.indptr))
    from_parent = calibration.data < 0
    row, column = row[from_parent], calibration.indices[from_parent]
    child = np.searchsorted(groups, row, side="right") - 1
    below = np.zeros(int(start[-1]), dtype=np.int32)
    below[start[child] + column - cells[parent[child]]] = row - groups[child]
    return start, below
