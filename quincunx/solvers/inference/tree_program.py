"""A problem laid out for elimination over its cluster tree."""

from dataclasses import dataclass

import numpy as np

from quincunx.kernels.primal_dual.layout import EntropyTerms
from quincunx.kernels.tree_elimination.layout import TreeLayout, with_equations
from quincunx.solvers.inference.arrays import Floats, Ints, Sparse
from quincunx.solvers.inference.equations import independent_equations
from quincunx.solvers.inference.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class TreeProgram:
    """What compiled loops read of a problem.

    Attributes:
        tree: the clusters.
        terms: the arcs' entropies, those of weight 0 throughout left out.
        entries: int64, which of the problem's M entries each of the terms' is.
        rows: int64, which of its R rows.
        origin: sparse [F, E], the program's equations in terms of the problem's.
    """

    tree: TreeLayout
    terms: EntropyTerms
    entries: Ints
    rows: Ints
    origin: Sparse

    def multipliers(self, prices: Floats) -> Floats:
        """Turn prices of the program's equations into multipliers [E] of the problem's."""
        ordered = np.zeros(len(prices))
        ordered[self.tree.equation_order] = prices
        return np.asarray(self.origin.T @ ordered)


def tree_program(problem: Problem, slope: Floats) -> TreeProgram:
    """Lay a problem out, with weights ``slope`` [R] on its rows' entropies."""
    equations = independent_equations(problem)
    tree = with_equations(problem.layout, equations.matrix)
    terms, entries, rows = entropy_terms(problem, slope)
    return TreeProgram(tree, terms, entries, rows, equations.origin)


def entropy_terms(problem: Problem, slope: Floats) -> tuple[EntropyTerms, Ints, Ints]:
    """Lay out the arcs' entropies cluster by cluster.

    Arguments:
        problem: the compiled problem.
        slope: float64 [R], the weights; arcs whose rows all have weight 0 are left out.

    Returns:
        The terms, and which of the problem's M entries and R rows each of theirs is.
    """
    count, clusters = len(problem.arcs), len(problem.masks)
    arc_of_entry = problem.arc[problem.row]
    entry_start = np.searchsorted(arc_of_entry, np.arange(count + 1))
    row_start = np.searchsorted(problem.arc, np.arange(count + 1))
    joint = problem.joint
    first_cell = joint.indices[joint.indptr[entry_start[:-1]]]
    home = np.searchsorted(problem.offsets, first_cell, side="right") - 1
    order = np.argsort(home, kind="stable")
    used = np.bincount(problem.arc, weights=slope > 0, minlength=count) > 0
    order = order[used[order]]
    sizes = np.diff(problem.offsets)
    cell_start = np.concatenate([[0], np.cumsum(sizes[home])]).astype(np.int64)
    entry_of = np.zeros(int(cell_start[-1]), dtype=np.int32)
    number = np.repeat(np.arange(len(problem.table)), np.diff(joint.indptr))
    arc = arc_of_entry[number]
    entry_of[cell_start[arc] + joint.indices - problem.offsets[home[arc]]] = (
        number - entry_start[arc]
    )
    entries, entry_index = _pick(entry_start, order)
    rows, row_index = _pick(row_start, order)
    cells, cell_index = _pick(cell_start, order)
    first_row = np.repeat(row_start[:-1][order], np.diff(entries))
    arcs = np.concatenate([[0], np.cumsum(np.bincount(home[order], minlength=clusters))])
    terms = EntropyTerms(
        arcs=arcs.astype(np.int64),
        entry_start=entries,
        row_start=rows,
        row=(problem.row[entry_index] - first_row).astype(np.int32),
        cell_start=cells,
        entry=entry_of[cell_index],
        weight=slope[row_index],
    )
    return terms, entry_index, row_index


def _pick(start: Ints, order: Ints) -> tuple[Ints, Ints]:
    """Gather ranges in another order: where each begins now, and the indices gathered."""
    lengths = np.diff(start)[order]
    begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.repeat(start[:-1][order] - begins[:-1], lengths) + np.arange(begins[-1])
    return begins, index.astype(np.int64)
