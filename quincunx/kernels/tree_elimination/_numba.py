"""Elimination over a cluster tree, compiled.

The system is ``min 1/2 d'Wd + g'd`` with W block-diagonal, subject to: the sums of a cluster's
cells over its groups equal the sums of its parent's cells over the same states plus ``shift``; the
further equations of a cluster equal their own shift.

In each group one cell, the heaviest, is replaced by the group's sum. The other cells and the
multipliers of the further equations are then eliminated without pivoting, and what is left is a
quadratic function of the sums: a small block for the parent. No block is inverted and nothing is
singular, although W itself has no curvature along the cells' own masses.
"""

import numpy as np

from quincunx.kernels.compiled import compiled, compiled_fast
from quincunx.kernels.tree_elimination.layout import LANES, Floats, Narrow, TreeLayout


@compiled_fast
def eliminate(block: Floats, stride: int, size: int, pivots: int) -> None:
    """Eliminate the first ``pivots`` unknowns of a symmetric block, in place.

    The block is read and written above its diagonal: row k, from the diagonal on, becomes the row
    of U in ``L D U`` with ``U = D L'``; the rest becomes the Schur complement. Two rows at a time
    take all their updates, eight columns of each in registers, so that a pivot's row is read once
    for both; compilers vectorise the eight lanes, written out. Rows are worked on from the last
    multiple of :data:`LANES` before the diagonal, so that loops have no remainder.

    Arguments:
        block: float64 [size * stride], rows padded with finite numbers.
        stride: length of a row, a multiple of LANES.
        size: order of the block.
        pivots: how many unknowns to eliminate.
    """
    upper, lower = np.empty(size), np.empty(size)
    for i in range(0, size, 2):
        # An odd last row goes with itself: both copies compute, and write, the same.
        other = min(i + 1, size - 1)
        before = min(i, pivots)
        for k in range(before):
            inverse = 1.0 / block[k * stride + k]
            upper[k] = block[k * stride + i] * inverse
            lower[k] = block[k * stride + other] * inverse
        a, b = i * stride, other * stride
        for j in range(i & -LANES, stride, LANES):
            a0 = block[a + j + 0]
            a1 = block[a + j + 1]
            a2 = block[a + j + 2]
            a3 = block[a + j + 3]
            a4 = block[a + j + 4]
            a5 = block[a + j + 5]
            a6 = block[a + j + 6]
            a7 = block[a + j + 7]
            b0 = block[b + j + 0]
            b1 = block[b + j + 1]
            b2 = block[b + j + 2]
            b3 = block[b + j + 3]
            b4 = block[b + j + 4]
            b5 = block[b + j + 5]
            b6 = block[b + j + 6]
            b7 = block[b + j + 7]
            for k in range(before):
                r = k * stride + j
                f, g = upper[k], lower[k]
                v0 = block[r + 0]
                v1 = block[r + 1]
                v2 = block[r + 2]
                v3 = block[r + 3]
                v4 = block[r + 4]
                v5 = block[r + 5]
                v6 = block[r + 6]
                v7 = block[r + 7]
                a0 -= f * v0
                a1 -= f * v1
                a2 -= f * v2
                a3 -= f * v3
                a4 -= f * v4
                a5 -= f * v5
                a6 -= f * v6
                a7 -= f * v7
                b0 -= g * v0
                b1 -= g * v1
                b2 -= g * v2
                b3 -= g * v3
                b4 -= g * v4
                b5 -= g * v5
                b6 -= g * v6
                b7 -= g * v7
            block[b + j + 0] = b0
            block[b + j + 1] = b1
            block[b + j + 2] = b2
            block[b + j + 3] = b3
            block[b + j + 4] = b4
            block[b + j + 5] = b5
            block[b + j + 6] = b6
            block[b + j + 7] = b7
            block[a + j + 0] = a0
            block[a + j + 1] = a1
            block[a + j + 2] = a2
            block[a + j + 3] = a3
            block[a + j + 4] = a4
            block[a + j + 5] = a5
            block[a + j + 6] = a6
            block[a + j + 7] = a7
        if other > i and i < pivots:
            factor = block[a + other] / block[a + i]
            for j in range(other & -LANES, stride):
                block[b + j] -= factor * block[a + j]


@compiled
def order_cells(tree: TreeLayout, c: int, mass: Floats, heaviest: Narrow, place: Narrow) -> None:
    """Choose each group's heaviest cell, and number the others.

    Arguments:
        tree: the layout.
        c: the cluster.
        mass: float64 [cells], > 0.
        heaviest: int32 [groups]; this cluster's part is written: cells within the cluster.
        place: int32 [cells]; this cluster's part is written: the number of a cell among those that
            are eliminated, or its group's number behind these and the further equations.
    """
    first, last = tree.cells[c], tree.cells[c + 1]
    group = tree.groups[c]
    for u in range(group, tree.groups[c + 1]):
        heaviest[u] = -1
    for i in range(first, last):
        u = group + tree.group[i]
        if heaviest[u] < 0 or mass[i] > mass[first + heaviest[u]]:
            heaviest[u] = i - first
    number = 0
    behind = last - first - (tree.groups[c + 1] - group)
    behind += tree.equations[c + 1] - tree.equations[c]
    for i in range(first, last):
        if heaviest[group + tree.group[i]] == i - first:
            place[i] = behind + tree.group[i]
        else:
            place[i] = number
            number += 1


@compiled_fast
def reduce_block(
    tree: TreeLayout,
    c: int,
    dense: Floats,
    heaviest: Narrow,
    place: Narrow,
    softness: float,
    blocks: Floats,
) -> None:
    """Change a cluster's block to group sums, eliminate the rest, and add the Schur complement.

    Arguments:
        tree: the layout.
        c: the cluster.
        dense: float64 [n, n], the cluster's symmetric matrix with its children's part; spoilt.
        heaviest: int32 [groups].
        place: int32 [cells].
        softness: regularisation of the further equations, > 0.
        blocks: float64, the storage; this cluster's part is written.
    """
    first = tree.cells[c]
    n = tree.cells[c + 1] - first
    group = tree.groups[c]
    m = tree.groups[c + 1] - group
    extra = tree.equations[c + 1] - tree.equations[c]
    size, stride, base = n + extra, tree.stride[c], tree.block[c]
    pivots = size - m
    block = blocks[base : base + size * stride]
    cell_at, twin_at = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    for i in range(n):
        twin = heaviest[group + tree.group[first + i]]
        cell_at[place[first + i]], twin_at[place[first + i]] = i, twin
        if twin != i:
            for j in range(n):
                dense[i, j] -= dense[twin, j]
    for i in range(n):
        at = place[first + i]
        row = at * stride
        for p in range(at, n - m):
            block[row + p] = dense[i, cell_at[p]] - dense[i, twin_at[p]]
        for p in range(pivots, size):
            block[row + p] = dense[i, cell_at[p]]
        for p in range(size, stride):
            block[row + p] = 0.0
    for e in range(extra):
        row = (n - m + e) * stride
        for j in range(stride):
            block[row + j] = 0.0
        block[row + n - m + e] = -softness
        equation = tree.equations[c] + e
        for k in range(tree.entry_start[equation], tree.entry_start[equation + 1]):
            j = tree.entry_cell[k]
            h = heaviest[group + tree.group[first + j]]
            block[row + place[first + j]] += tree.entry_value[k]
            if h == j:  # a group's sum changes its heaviest cell only
                for i in range(n):
                    if tree.group[first + i] == tree.group[first + j] and i != j:
                        block[row + place[first + i]] -= tree.entry_value[k]
        for j in range(size):
            if j < n - m or j >= pivots:
                block[j * stride + n - m + e] = block[row + j]
    eliminate(block, stride, size, pivots)


@compiled_fast
def add_child(tree: TreeLayout, child: int, blocks: Floats, dense: Floats) -> None:
    """Add a child's Schur complement to its parent's matrix."""
    parent = tree.parent[child]
    n = tree.cells[parent + 1] - tree.cells[parent]
    m = tree.groups[child + 1] - tree.groups[child]
    size = tree.cells[child + 1] - tree.cells[child]
    size += tree.equations[child + 1] - tree.equations[child]
    stride, base = tree.stride[child], tree.block[child]
    corner = base + (size - m) * (stride + 1)
    below = tree.below[tree.below_start[child] :]
    schur = np.empty((m, m))
    for u in range(m):
        for v in range(u, m):
            schur[u, v] = blocks[corner + u * stride + v]
            schur[v, u] = schur[u, v]
    for i in range(n):
        row = schur[below[i]]
        for j in range(n):
            dense[i, j] += row[below[j]]


@compiled_fast
def solve(
    tree: TreeLayout,
    blocks: Floats,
    heaviest: Narrow,
    place: Narrow,
    gradient: Floats,
    shift: Floats,
    equation_shift: Floats,
    step: Floats,
    price: Floats,
    equation_price: Floats,
) -> None:
    """Solve for one gradient, leaves to roots and back.

    Arguments:
        tree: the layout.
        blocks: float64, reduced blocks.
        heaviest: int32 [groups].
        place: int32 [cells].
        gradient: float64 [cells].
        shift: float64 [groups]: what a group's sum must exceed its parent's by; at a root, its sum.
        equation_shift: float64 [equations]: what the further equations must equal.
        step: float64 [cells], written: d.
        price: float64 [groups], written: multipliers y with ``W d + gradient + B'y + A'p = 0``.
        equation_price: float64 [equations], written: p.
    """
    count = len(tree.parent)
    g = gradient.copy()
    total = tree.cells[count] + tree.equations[count]
    kept = np.empty(total)  # each block's vector after its forward elimination
    for c in range(count - 1, -1, -1):
        first, last = tree.cells[c], tree.cells[c + 1]
        n, group = last - first, tree.groups[c]
        m = tree.groups[c + 1] - group
        extra = tree.equations[c + 1] - tree.equations[c]
        size, stride = n + extra, tree.stride[c]
        pivots = size - m
        block = blocks[tree.block[c] :]
        y = kept[first + tree.equations[c] :]
        for i in range(n):
            h = heaviest[group + tree.group[first + i]]
            y[place[first + i]] = g[first + i] - (g[first + h] if h != i else 0.0)
        for e in range(extra):
            y[n - m + e] = -equation_shift[tree.equations[c] + e]
        for k in range(pivots):
            row = k * stride
            factor = y[k] / block[row + k]
            for j in range(k + 1, size):
                y[j] -= factor * block[row + j]
        parent = tree.parent[c]
        if parent >= 0:
            message = np.empty(m)
            corner = pivots * (stride + 1)
            for u in range(m):
                value = y[pivots + u]
                for v in range(m):
                    at = corner + (u * stride + v if v >= u else v * stride + u)
                    value += block[at] * shift[group + v]
                message[u] = value
            above = tree.cells[parent]
            below = tree.below[tree.below_start[c] :]
            for i in range(tree.cells[parent + 1] - above):
                g[above + i] += message[below[i]]
    for c in range(count):
        _back(tree, c, blocks, heaviest, place, shift, kept, step, price, equation_price)


@compiled_fast
def _back(
    tree: TreeLayout,
    c: int,
    blocks: Floats,
    heaviest: Narrow,
    place: Narrow,
    shift: Floats,
    kept: Floats,
    step: Floats,
    price: Floats,
    equation_price: Floats,
) -> None:
    """Substitute back within one cluster, its parent's step being known."""
    first, last = tree.cells[c], tree.cells[c + 1]
    n, group = last - first, tree.groups[c]
    m = tree.groups[c + 1] - group
    extra = tree.equations[c + 1] - tree.equations[c]
    size, stride = n + extra, tree.stride[c]
    pivots = size - m
    block = blocks[tree.block[c] :]
    y = kept[first + tree.equations[c] :]
    x = np.empty(size)
    for u in range(m):
        x[pivots + u] = shift[group + u]
    parent = tree.parent[c]
    if parent >= 0:
        above = tree.cells[parent]
        below = tree.below[tree.below_start[c] :]
        for i in range(tree.cells[parent + 1] - above):
            x[pivots + below[i]] += step[above + i]
    corner = pivots * (stride + 1)
    for u in range(m):
        value = y[pivots + u]
        for v in range(m):
            at = corner + (u * stride + v if v >= u else v * stride + u)
            value += block[at] * x[pivots + v]
        price[group + u] = -value
    for k in range(pivots - 1, -1, -1):
        row = k * stride
        value = y[k]
        for j in range(k + 1, size):
            value += block[row + j] * x[j]
        x[k] = -value / block[row + k]
    for e in range(extra):
        equation_price[tree.equations[c] + e] = x[n - m + e]
    for i in range(first, last):
        step[i] = x[place[i]]
    for i in range(first, last):
        h = first + heaviest[group + tree.group[i]]
        if h != i:
            step[h] -= step[i]
