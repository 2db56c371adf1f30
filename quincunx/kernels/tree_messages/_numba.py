"""Passes over a cluster tree, compiled: calibration, log-partition function, least energy."""

import math

import numpy as np

from quincunx.kernels.compiled import compiled
from quincunx.kernels.tree_elimination.layout import Floats, TreeLayout


@compiled
def calibrate(tree: TreeLayout, mass: Floats) -> Floats:
    """Make masses a calibrated distribution, roots first.

    Each cluster keeps its cells' shares of their group and takes the groups' totals from its
    parent. A group without mass shares evenly.

    Arguments:
        tree: the layout.
        mass: float64 [cells], >= 0.

    Returns:
        float64 [cells].
    """
    out = np.empty(len(mass))
    for c in range(len(tree.parent)):
        first, last, base = tree.cells[c], tree.cells[c + 1], tree.groups[c]
        count = tree.groups[c + 1] - base
        total, size, above = np.zeros(count), np.zeros(count), np.zeros(count)
        for i in range(first, last):
            total[tree.group[i]] += mass[i]
            size[tree.group[i]] += 1.0
        parent = tree.parent[c]
        if parent < 0:
            above[:] = 1.0
        else:
            start, up = tree.below_start[c], tree.cells[parent]
            for i in range(tree.cells[parent + 1] - up):
                above[tree.below[start + i]] += out[up + i]
        for i in range(first, last):
            u = tree.group[i]
            share = mass[i] / total[u] if total[u] > 0.0 else 1.0 / size[u]
            out[i] = share * above[u]
    return out


@compiled
def log_partition(tree: TreeLayout, energy: Floats) -> float:
    """Return ``log sum_w exp(-energy(w))``, where a joint state's energy is its cells' sum.

    Arguments:
        tree: the layout.
        energy: float64 [cells], finite.
    """
    left = energy.copy()
    log_z = 0.0
    for c in range(len(tree.parent) - 1, -1, -1):
        first, last, base = tree.cells[c], tree.cells[c + 1], tree.groups[c]
        count = tree.groups[c + 1] - base
        least, total = np.full(count, np.inf), np.zeros(count)
        for i in range(first, last):
            least[tree.group[i]] = min(least[tree.group[i]], left[i])
        for i in range(first, last):
            total[tree.group[i]] += math.exp(least[tree.group[i]] - left[i])
        parent = tree.parent[c]
        for u in range(count):
            total[u] = math.log(total[u]) - least[u]
        if parent < 0:
            log_z += total[0]
            continue
        start, up = tree.below_start[c], tree.cells[parent]
        for i in range(tree.cells[parent + 1] - up):
            left[up + i] -= total[tree.below[start + i]]
    return log_z


@compiled
def least_energy(tree: TreeLayout, energy: Floats) -> float:
    """Return the least energy of a joint state; arguments as for :func:`log_partition`."""
    left = energy.copy()
    sum_of_roots = 0.0
    for c in range(len(tree.parent) - 1, -1, -1):
        first, last, base = tree.cells[c], tree.cells[c + 1], tree.groups[c]
        least = np.full(tree.groups[c + 1] - base, np.inf)
        for i in range(first, last):
            least[tree.group[i]] = min(least[tree.group[i]], left[i])
        parent = tree.parent[c]
        if parent < 0:
            sum_of_roots += least[0]
            continue
        start, up = tree.below_start[c], tree.cells[parent]
        for i in range(tree.cells[parent + 1] - up):
            left[up + i] += least[tree.below[start + i]]
    return sum_of_roots
