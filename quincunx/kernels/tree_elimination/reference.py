"""The same systems solved by one dense factorisation: slow, and plain to see."""

import numpy as np

from quincunx.kernels.tree_elimination.layout import Floats, TreeLayout


def constraints(tree: TreeLayout) -> tuple[Floats, Floats]:
    """Return the matrices of calibration [groups, cells] and of further equations [E, cells]."""
    sums = np.zeros((int(tree.groups[-1]), int(tree.cells[-1])))
    extra = np.zeros((len(tree.equation_order), int(tree.cells[-1])))
    for c, parent in enumerate(tree.parent):
        cells = np.arange(tree.cells[c], tree.cells[c + 1])
        sums[tree.groups[c] + tree.group[cells], cells] = 1.0
        if parent >= 0:
            above = np.arange(tree.cells[parent], tree.cells[parent + 1])
            below = tree.below[tree.below_start[c] : tree.below_start[c + 1]]
            sums[tree.groups[c] + below, above] = -1.0
        for e in range(tree.equations[c], tree.equations[c + 1]):
            terms = slice(tree.entry_start[e], tree.entry_start[e + 1])
            extra[e, tree.cells[c] + tree.entry_cell[terms]] = tree.entry_value[terms]
    return sums, extra


def solve_dense(
    tree: TreeLayout,
    matrix: Floats,
    softness: float,
    gradient: Floats,
    shift: Floats,
    equation_shift: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Minimise ``1/2 d' matrix d + gradient' d`` under the tree's constraints.

    Arguments:
        tree: the layout.
        matrix: float64 [N, N], block-diagonal by clusters.
        softness: how much the further equations give: ``A d - softness p = equation_shift``.
        gradient: float64 [N].
        shift: float64 [groups].
        equation_shift: float64 [E].

    Returns:
        The step d [N], the prices of calibration [groups] and of the further equations [E].
    """
    sums, extra = constraints(tree)
    n, k, e = len(gradient), len(shift), len(equation_shift)
    kkt = np.zeros((n + k + e, n + k + e))
    kkt[:n, :n] = matrix
    kkt[n : n + k, :n], kkt[:n, n : n + k] = sums, sums.T
    kkt[n + k :, :n], kkt[:n, n + k :] = extra, extra.T
    kkt[n + k :, n + k :] = -softness * np.eye(e)
    solved = np.linalg.solve(kkt, np.concatenate([-gradient, shift, equation_shift]))
    return solved[:n], solved[n : n + k], solved[n + k :]
