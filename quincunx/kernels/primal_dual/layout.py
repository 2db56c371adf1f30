"""What the compiled interior-point steps read and write."""

from typing import NamedTuple

import numpy as np

from quincunx.kernels.tree_elimination.layout import Floats, Indices, Narrow, TreeLayout


class EntropyTerms(NamedTuple):
    """Conditional entropies of arcs, each over the cells of one cluster.

    Attributes:
        arcs: int64 [clusters + 1], where each cluster's arcs begin.
        entry_start: int64 [arcs + 1], where each arc's (source, target) entries begin.
        row_start: int64 [arcs + 1], where each arc's rows (source states) begin.
        row: int32 [M], each entry's row within its arc.
        cell_start: int64 [arcs + 1], where each arc's part of ``entry`` begins.
        entry: int32; for each arc, for each cell of its cluster, its entry within the arc.
        weight: float64 [R], the weight of each row's negative conditional entropy, >= 0.
    """

    arcs: Indices
    entry_start: Indices
    row_start: Indices
    row: Narrow
    cell_start: Indices
    entry: Narrow
    weight: Floats


class DualPoint(NamedTuple):
    """A primal-dual point; all arrays are updated in place.

    Attributes:
        mass: float64 [N], mu > 0.
        log_q: float64 [M], dual tables of the arcs, in logarithms.
        potential: float64 [N], the dual of the tree's entropy: ``gamma log mu(c | sepset)``.
        slack: float64 [N], multipliers of ``mu >= 0``, > 0.
        price: float64 [K], multipliers of calibration.
        equation_price: float64 [E], multipliers of further equations.
    """

    mass: Floats
    log_q: Floats
    potential: Floats
    slack: Floats
    price: Floats
    equation_price: Floats


class Work(NamedTuple):
    """Room for one step.

    Attributes:
        logs: float64 [M], ``log mu(t|s)``.
        widths: float64 [M], the weights of the linearised ``mu(s,t) = mu(s) q(t|s)``.
        row_widths: float64 [R], their sums by row.
        cell_logs: float64 [N], ``log mu(c | sepset)``.
        cell_widths: float64 [N], the same weights for the tree's entropy.
        group_widths: float64 [K], their sums by group.
        shift: float64 [K], by how much a step should change the groups' sums.
        equation_shift: float64 [E], and the further equations.
        stiffness: float64 [E], curvature added across the further equations.
        gradient: float64 [N].
        target: float64 [N], what ``mass * slack`` should become, with second-order terms.
        step: float64 [N], the change of masses.
        slack_step: float64 [N], and of multipliers.
        price: float64 [K], the new prices.
        equation_price: float64 [E], likewise.
        heaviest: int32 [K], each group's heaviest cell.
        place: int32 [N], where cells are in their blocks.
        blocks: float64 [tree.block[-1]], reduced blocks.
    """

    logs: Floats
    widths: Floats
    row_widths: Floats
    cell_logs: Floats
    cell_widths: Floats
    group_widths: Floats
    shift: Floats
    equation_shift: Floats
    stiffness: Floats
    gradient: Floats
    target: Floats
    step: Floats
    slack_step: Floats
    price: Floats
    equation_price: Floats
    heaviest: Narrow
    place: Narrow
    blocks: Floats


def room_for(tree: TreeLayout, terms: EntropyTerms) -> Work:
    """Allocate what the steps need."""
    n, k, e = len(tree.group), int(tree.groups[-1]), len(tree.equation_order)
    return Work(
        logs=np.zeros(len(terms.row)),
        widths=np.ones(len(terms.row)),
        row_widths=np.ones(len(terms.weight)),
        cell_logs=np.zeros(n),
        cell_widths=np.ones(n),
        group_widths=np.ones(k),
        shift=np.zeros(k),
        equation_shift=np.zeros(e),
        stiffness=np.zeros(e),
        gradient=np.zeros(n),
        target=np.zeros(n),
        step=np.zeros(n),
        slack_step=np.zeros(n),
        price=np.zeros(k),
        equation_price=np.zeros(e),
        heaviest=np.zeros(k, dtype=np.int32),
        place=np.zeros(n, dtype=np.int32),
        blocks=np.zeros(int(tree.block[-1])),
    )
