"""Hard arcs as independent equations, each in the cluster that decides it."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import Floats, Sparse
from quincunx.solvers.inference.problem import Problem

# Singular values below this share of the largest entry count as zero. What hard arcs agree on up to
# 1e-7 passes for agreed, as in ``hard``: kept as an equation, the difference of two tables in
# single precision would rule out every state that both speak of.
DEPENDENT = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """Equations with the same calibrated solutions as a problem's hard arcs.

    Attributes:
        matrix: sparse [F, N], with ``matrix @ mu = 0``; each row lies within one cluster.
        origin: sparse [F, E]: up to calibration, ``matrix`` is ``origin @ hard_equations``, so that
            multipliers p of these are the multipliers ``origin.T @ p`` of those.
    """

    matrix: Sparse
    origin: Sparse


def independent_equations(problem: Problem) -> Equations:
    """Rewrite the hard arcs' equations so that none follows from the others or from a sepset.

    From the leaves to the roots, the equations of a cluster are rotated so that the first have
    independent parts within the groups of cells that share a sepset state, and the others are
    constant on these groups. The first stay; the others speak of the sepset only and go to the
    parent. At a root what is left says that nothing equals nothing.
    """
    given = problem.hard_equations()
    if given.shape[0] == 0:
        return Equations(given, sp.csr_array((0, 0)))
    offsets = problem.offsets
    home = np.searchsorted(offsets, given.indices[given.indptr[:-1]], side="right") - 1
    every = sp.eye_array(given.shape[0], format="csr")
    waiting: dict[int, list[tuple[Floats, Sparse]]] = {}
    for c in np.unique(home):
        rows = np.nonzero(home == c)[0]
        part = given[rows][:, offsets[c] : offsets[c + 1]].toarray()
        waiting[int(c)] = [(part, every[rows])]
    kept: list[Sparse] = []
    origins: list[Sparse] = []
    for c in reversed(range(len(problem.masks))):
        if c not in waiting:
            continue
        parts, sources = zip(*waiting.pop(c), strict=True)
        matrix, origin = np.concatenate(parts), sp.vstack(sources).tocsr()
        own, above, own_origin, above_origin = _split(problem, c, matrix, origin)
        if len(own):
            width = sp.csr_array((len(own), offsets[c]))
            rest = sp.csr_array((len(own), problem.size - offsets[c + 1]))
            kept.append(sp.hstack([width, sp.csr_array(own), rest]).tocsr())
            origins.append(own_origin)
        parent = problem.tree.parents[c]
        if parent >= 0 and len(above):
            waiting.setdefault(parent, []).append((above, above_origin))
    if not kept:
        return Equations(sp.csr_array((0, problem.size)), sp.csr_array((0, given.shape[0])))
    return Equations(sp.vstack(kept).tocsr(), sp.vstack(origins).tocsr())


def _split(
    problem: Problem, c: int, matrix: Floats, origin: Sparse
) -> tuple[Floats, Floats, Sparse, Sparse]:
    """Separate what a cluster's equations say within its groups from what they say of the sepset.

    Returns:
        The equations that stay, those over the parent's cells, and both's origins.
    """
    cells = slice(problem.offsets[c], problem.offsets[c + 1])
    group = problem.sepset[cells] - problem.sepset[cells].min()
    count = np.bincount(group)
    scale = np.abs(matrix).max(axis=1, keepdims=True)
    matrix = matrix / scale
    sums = np.zeros((len(matrix), len(count)))
    for g in range(len(count)):
        sums[:, g] = matrix[:, group == g].sum(axis=1)
    means = sums / count
    rotation, size, _ = np.linalg.svd(matrix - means[:, group], full_matrices=True)
    rank = int((size > DEPENDENT).sum())
    turned = sp.csr_array(rotation.T / scale.T) @ origin
    own, own_origin = rotation[:, :rank].T @ matrix, turned[:rank]
    parent = problem.tree.parents[c]
    if parent < 0 or rank == len(matrix):
        return own, matrix[:0], own_origin, turned[:0]
    left = rotation[:, rank:].T
    first = int(problem.sepset[cells].min())
    above = slice(problem.offsets[parent], problem.offsets[parent + 1])
    below = -problem.calibration[first : first + len(count), above]  # 1 where a cell is in a group
    lifted = (left @ means) @ below.toarray()
    told = np.abs(lifted).max(axis=1) > DEPENDENT
    return own, lifted[told], own_origin, turned[rank:][told]
