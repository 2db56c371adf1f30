"""Interior-point steps for entropies over a cluster tree, compiled.

The problem: over calibrated masses ``mu >= 0``, minimise::

    linear @ mu + sum_r weight_r sum_t mu(s,t) log mu(t|s) + gamma sum_c mu(c) log mu(c|sepset)

Beside mu a point has a dual value for each logarithm: ``log_q`` for ``log mu(t|s)`` and
``potential`` for ``gamma log mu(c|sepset)``. Stationarity is linear in these, the prices and the
slacks; what is linearised are ``mu(s,t) = mu(s) q(t|s)`` and ``mu slack = target``.
"""

import math

import numpy as np

from quincunx.kernels.compiled import compiled, compiled_fast
from quincunx.kernels.primal_dual.layout import DualPoint, EntropyTerms, Work
from quincunx.kernels.tree_elimination._numba import (
    add_child,
    order_cells,
    reduce_block,
    solve,
)
from quincunx.kernels.tree_elimination.layout import Floats, TreeLayout

NEAR = 1e-5  # logarithms closer than this: the logarithmic mean by its series
FAR = 60.0  # logarithms are kept within this of each other, so that nothing overflows
LEAST = 1e-280  # smallest weight of a linearised relation
FRACTION = 0.95  # of the way to the boundary
CENTRING = 1e-3  # least share of the barrier kept in a step
NEGLIGIBLE = 0.1  # of the tolerance: a barrier this small is left alone
STIFFEST = 1e4  # curvature added across hard arcs; rounding in their prices grows with it
STUCK = 1e-8  # a shorter step is none
EXACT = 1e-13  # calibration and stationarity met as well as can be
PROGRESS = 0.9  # a gap that has not fallen to this share of the least so far
PATIENCE = 15  # for so many steps will not fall


@compiled
def mean_factor(ratio: float) -> float:
    """Return the logarithmic mean of 1 and ``exp(-ratio)``."""
    if abs(ratio) < NEAR:
        return 1.0 - ratio * (0.5 - ratio / 6.0)
    return -math.expm1(-max(ratio, -FAR)) / max(ratio, -FAR)


@compiled
def weigh(
    tree: TreeLayout, terms: EntropyTerms, gamma: float, point: DualPoint, work: Work
) -> tuple[float, float]:
    """Evaluate logarithms, and the weights with which their relations are linearised.

    The weight of ``mu(s,t) = mu(s) q(t|s)`` is the logarithmic mean of its two sides: the secant
    on which both agree, where a tangent would trust one side alone.

    Returns:
        The duality gap of the arcs' entropies, and of the tree's, in nats.
    """
    gap, tree_gap = 0.0, 0.0
    mass = point.mass
    logs, widths, row_widths = work.logs, work.widths, work.row_widths
    for c in range(len(tree.parent)):
        first, last = tree.cells[c], tree.cells[c + 1]
        for a in range(terms.arcs[c], terms.arcs[c + 1]):
            entries, end, rows = terms.entry_start[a], terms.entry_start[a + 1], terms.row_start[a]
            where = terms.cell_start[a]
            for k in range(entries, end):
                widths[k] = 0.0
            for r in range(rows, terms.row_start[a + 1]):
                row_widths[r] = 0.0
            for i in range(last - first):
                widths[entries + terms.entry[where + i]] += mass[first + i]
            for k in range(entries, end):
                row_widths[rows + terms.row[k]] += widths[k]
            for k in range(entries, end):
                logs[k] = math.log(widths[k] / row_widths[rows + terms.row[k]])
            for r in range(rows, terms.row_start[a + 1]):
                row_widths[r] = 0.0
            for k in range(entries, end):
                x, r = widths[k], rows + terms.row[k]
                ratio = logs[k] - point.log_q[k]
                widths[k] = max(x * mean_factor(ratio), LEAST)
                row_widths[r] += widths[k]
                gap += terms.weight[r] * ratio * (x - widths[k])
        if gamma > 0.0:
            base = tree.groups[c]
            for u in range(base, tree.groups[c + 1]):
                work.group_widths[u] = 0.0
            for i in range(first, last):
                work.group_widths[base + tree.group[i]] += mass[i]
            for i in range(first, last):
                work.cell_logs[i] = math.log(mass[i] / work.group_widths[base + tree.group[i]])
            for u in range(base, tree.groups[c + 1]):
                work.group_widths[u] = 0.0
            for i in range(first, last):
                ratio = work.cell_logs[i] - point.potential[i] / gamma
                work.cell_widths[i] = max(mass[i] * mean_factor(ratio), LEAST)
                work.group_widths[base + tree.group[i]] += work.cell_widths[i]
                tree_gap += gamma * ratio * (mass[i] - work.cell_widths[i])
    return gap, tree_gap


@compiled_fast
def assemble(
    tree: TreeLayout,
    terms: EntropyTerms,
    gamma: float,
    point: DualPoint,
    work: Work,
    c: int,
    dense: Floats,
) -> None:
    """Fill the matrix ``dense`` of cluster ``c``: curvature of its entropies and of the barrier."""
    first = tree.cells[c]
    n = tree.cells[c + 1] - first
    for i in range(n):
        for j in range(n):
            dense[i, j] = 0.0
    for a in range(terms.arcs[c], terms.arcs[c + 1]):
        entries, row_base = terms.entry_start[a], terms.row_start[a]
        entry = terms.entry[terms.cell_start[a] : terms.cell_start[a + 1]]
        rows = np.empty(n, dtype=np.int32)
        for i in range(n):
            rows[i] = terms.row[entries + entry[i]]
        for i in range(n):
            row, which = rows[i], entry[i]
            weight = terms.weight[row_base + row]
            if weight == 0.0:
                continue
            own = weight / work.widths[entries + which]
            shared = -weight / work.row_widths[row_base + row]
            for j in range(n):
                value = shared if rows[j] == row else 0.0
                dense[i, j] += value + (own if entry[j] == which else 0.0)
    if gamma > 0.0:
        group = tree.group[first : first + n]
        for i in range(n):
            own_group = group[i]
            shared = -gamma / work.group_widths[tree.groups[c] + own_group]
            for j in range(n):
                dense[i, j] += shared if group[j] == own_group else 0.0
            dense[i, i] += gamma / work.cell_widths[first + i]
    for i in range(n):
        dense[i, i] += point.slack[first + i] / point.mass[first + i]
    for e in range(tree.equations[c], tree.equations[c + 1]):
        start, end = tree.entry_start[e], tree.entry_start[e + 1]
        size = 0.0
        for k in range(start, end):
            size += tree.entry_value[k] ** 2 * point.mass[first + tree.entry_cell[k]]
        # Across an equation the entropies may be flat. A step's component there is known, so that
        # curvature added to it changes the equation's price only, by what `back` puts right.
        work.stiffness[e] = min(1.0 / size, STIFFEST)
        for k in range(start, end):
            for j in range(start, end):
                value = work.stiffness[e] * tree.entry_value[k] * tree.entry_value[j]
                dense[tree.entry_cell[k], tree.entry_cell[j]] += value


@compiled
def factor(
    tree: TreeLayout,
    terms: EntropyTerms,
    gamma: float,
    softness: float,
    point: DualPoint,
    work: Work,
) -> None:
    """Assemble and eliminate all clusters, children before parents."""
    count = len(tree.parent)
    order = 1
    head, following = np.full(count, -1), np.full(count, -1)  # children, as linked lists
    for c in range(count - 1, -1, -1):
        order = max(order, tree.cells[c + 1] - tree.cells[c])
        if tree.parent[c] >= 0:
            following[c] = head[tree.parent[c]]
            head[tree.parent[c]] = c
    matrix = np.empty((order, order))
    for c in range(count - 1, -1, -1):
        size = tree.cells[c + 1] - tree.cells[c]
        dense = matrix[:size, :size]
        assemble(tree, terms, gamma, point, work, c, dense)
        child = head[c]
        while child >= 0:
            add_child(tree, child, work.blocks, dense)
            child = following[child]
        order_cells(tree, c, point.mass, work.heaviest, work.place)
        reduce_block(tree, c, dense, work.heaviest, work.place, softness, work.blocks)


@compiled
def back(tree: TreeLayout, gradient: Floats, work: Work) -> None:
    """Solve for a step and prices with the blocks at hand."""
    solve(
        tree,
        work.blocks,
        work.heaviest,
        work.place,
        gradient,
        work.shift,
        work.equation_shift,
        work.step,
        work.price,
        work.equation_price,
    )
    for e in range(len(work.equation_price)):
        work.equation_price[e] += work.stiffness[e] * work.equation_shift[e]


@compiled
def miss(tree: TreeLayout, total: Floats, softness: float, point: DualPoint, work: Work) -> float:
    """Find what calibration and the further equations lack; return the largest miss."""
    worst = 0.0
    mass, shift = point.mass, work.shift
    for c in range(len(tree.parent)):
        first, last, base = tree.cells[c], tree.cells[c + 1], tree.groups[c]
        for u in range(base, tree.groups[c + 1]):
            shift[u] = total[u]
        for i in range(first, last):
            shift[base + tree.group[i]] -= mass[i]
        parent = tree.parent[c]
        if parent >= 0:
            start, above = tree.below_start[c], tree.cells[parent]
            for i in range(tree.cells[parent + 1] - above):
                shift[base + tree.below[start + i]] += mass[above + i]
        for u in range(base, tree.groups[c + 1]):
            worst = max(worst, abs(shift[u]))
        for e in range(tree.equations[c], tree.equations[c + 1]):
            value = 0.0
            for k in range(tree.entry_start[e], tree.entry_start[e + 1]):
                value += tree.entry_value[k] * mass[first + tree.entry_cell[k]]
            worst = max(worst, abs(value))
            work.equation_shift[e] = -value - softness * point.equation_price[e]
    return worst


@compiled
def slopes(
    tree: TreeLayout, terms: EntropyTerms, weight: Floats, logs: Floats, out: Floats
) -> None:
    """Add to ``out`` [N] the sum over arcs of ``weight`` [R] times ``logs`` [M] of each cell."""
    for c in range(len(tree.parent)):
        first, last = tree.cells[c], tree.cells[c + 1]
        for a in range(terms.arcs[c], terms.arcs[c + 1]):
            entries, rows, where = terms.entry_start[a], terms.row_start[a], terms.cell_start[a]
            for i in range(last - first):
                k = entries + terms.entry[where + i]
                out[first + i] += weight[rows + terms.row[k]] * logs[k]


@compiled
def log_steps(
    tree: TreeLayout, terms: EntropyTerms, work: Work, moved: Floats, cell_moved: Floats
) -> None:
    """Write how logarithms change with the step, to first order."""
    step = work.step
    for c in range(len(tree.parent)):
        first, last = tree.cells[c], tree.cells[c + 1]
        for a in range(terms.arcs[c], terms.arcs[c + 1]):
            entries, end, rows = terms.entry_start[a], terms.entry_start[a + 1], terms.row_start[a]
            where = terms.cell_start[a]
            sums = np.zeros(terms.row_start[a + 1] - rows)
            for k in range(entries, end):
                moved[k] = 0.0
            for i in range(last - first):
                moved[entries + terms.entry[where + i]] += step[first + i]
            for k in range(entries, end):
                sums[terms.row[k]] += moved[k]
            for k in range(entries, end):
                r = terms.row[k]
                moved[k] = moved[k] / work.widths[k] - sums[r] / work.row_widths[rows + r]
        base = tree.groups[c]
        totals = np.zeros(tree.groups[c + 1] - base)
        for i in range(first, last):
            totals[tree.group[i]] += step[i]
        for i in range(first, last):
            u = tree.group[i]
            cell_moved[i] = step[i] / work.cell_widths[i] - totals[u] / work.group_widths[base + u]


@compiled
def longest(value: Floats, step: Floats) -> float:
    """Return the longest step that keeps all values non-negative; 0 where a step is no number."""
    worst = 1e-16
    for i in range(len(value)):
        ratio = -step[i] / value[i]
        if ratio > worst:
            worst = ratio
        elif not ratio <= worst:
            return 0.0
    return 1.0 / worst


@compiled
def correct(tree: TreeLayout, point: DualPoint, work: Work, barrier: float) -> tuple[float, float]:
    """Add Mehrotra's centring and second-order correction to a step with no barrier.

    Returns:
        The lengths of the primal and of the dual step.
    """
    n = len(point.mass)
    mass, slack, step, slack_step = point.mass, point.slack, work.step, work.slack_step
    for i in range(n):
        slack_step[i] = -slack[i] * (1.0 + step[i] / mass[i])
    primal, dual = min(1.0, longest(mass, step)), min(1.0, longest(slack, slack_step))
    after = 0.0
    for i in range(n):
        after += (mass[i] + primal * step[i]) * (slack[i] + dual * slack_step[i])
    centre = min(1.0, max(CENTRING, (after / barrier) ** 3)) * barrier / n
    cost = np.empty(n)
    for i in range(n):
        work.target[i] = centre - step[i] * slack_step[i]
        cost[i] = work.gradient[i] - work.target[i] / mass[i]
    back(tree, cost, work)
    for i in range(n):
        slack_step[i] = (work.target[i] - slack[i] * step[i]) / mass[i] - slack[i]
    primal = min(1.0, FRACTION * longest(mass, step))
    return primal, min(1.0, FRACTION * longest(slack, slack_step))


@compiled
def move(
    tree: TreeLayout,
    terms: EntropyTerms,
    gamma: float,
    point: DualPoint,
    work: Work,
    primal: float,
    dual: float,
) -> None:
    """Take the step; slacks aside."""
    moved, cell_moved = np.empty(len(terms.row)), np.empty(len(point.mass))
    log_steps(tree, terms, work, moved, cell_moved)
    for k in range(len(moved)):
        point.log_q[k] += dual * (work.logs[k] + moved[k] - point.log_q[k])
    for i in range(len(cell_moved)):
        if gamma > 0.0:
            target = gamma * (work.cell_logs[i] + cell_moved[i])
            point.potential[i] += dual * (target - point.potential[i])
        point.mass[i] += primal * work.step[i]
    for u in range(len(work.price)):
        point.price[u] += dual * (work.price[u] - point.price[u])
    for e in range(len(work.equation_price)):
        point.equation_price[e] += dual * (work.equation_price[e] - point.equation_price[e])


@compiled
def advance(
    tree: TreeLayout,
    terms: EntropyTerms,
    linear: Floats,
    total: Floats,
    gamma: float,
    softness: float,
    point: DualPoint,
    work: Work,
    steps: int,
    tolerance: float,
    state: Floats,
) -> int:
    """Take up to ``steps`` predictor-corrector steps.

    Arguments:
        tree: the layout of the cluster tree.
        terms: the arcs' entropies.
        linear: float64 [N], linear costs, nats.
        total: float64 [K], 1 at roots, else 0.
        gamma: weight of the tree's negative entropy, >= 0.
        softness: regularisation of the further equations.
        point: updated in place.
        work: scratch; afterwards it holds the last point's weights.
        steps: how many.
        tolerance: on the gap, in nats, and on calibration and stationarity.
        state: float64 [8], read and written: the share of the first stationarity residual that is
            left; then of the last point the barrier's gap, the entropies' gap, the tree's gap and
            the largest miss; the last primal step's length; the least gap so far, and for how many
            steps it has hardly fallen.

    Returns:
        Steps taken; fewer than ``steps`` where the tolerance is met or nothing moves.
    """
    n = len(linear)
    for taken in range(steps + 1):
        gap, tree_gap = weigh(tree, terms, gamma, point, work)
        barrier = 0.0
        for i in range(n):
            barrier += point.mass[i] * point.slack[i]
        state[1], state[2], state[3] = barrier, gap, tree_gap
        state[4] = miss(tree, total, softness, point, work)
        total_gap = barrier + gap + tree_gap
        exact = max(state[4], state[0]) < max(tolerance, EXACT)
        state[7] = 0.0 if total_gap < PROGRESS * state[6] else state[7] + 1.0
        state[6] = min(state[6], total_gap)
        if (total_gap < tolerance and exact) or state[7] > PATIENCE or taken == steps:
            return taken
        factor(tree, terms, gamma, softness, point, work)
        for i in range(n):
            work.gradient[i] = linear[i] + gamma * work.cell_logs[i]
        slopes(tree, terms, terms.weight, work.logs, work.gradient)
        back(tree, work.gradient, work)
        primal, dual = min(1.0, FRACTION * longest(point.mass, work.step)), 1.0
        entropic = barrier < NEGLIGIBLE * tolerance
        if not entropic:
            primal, dual = correct(tree, point, work, barrier)
        state[5] = primal
        if not primal > STUCK:  # stuck, or no number
            return taken
        move(tree, terms, gamma, point, work, primal, dual)
        if not entropic:
            for i in range(n):
                point.slack[i] += dual * work.slack_step[i]
        state[0] *= 1.0 - dual
    return steps


@compiled
def tangent(
    tree: TreeLayout,
    terms: EntropyTerms,
    linear_slope: Floats,
    weight_slope: Floats,
    gamma: float,
    softness: float,
    point: DualPoint,
    work: Work,
    log_slope: Floats,
) -> None:
    """Differentiate the optimum by gamma, into ``work.step``, ``log_slope`` and the prices.

    Arguments:
        tree: the layout of the cluster tree.
        terms: the arcs' entropies.
        linear_slope: float64 [N], derivatives of the linear costs.
        weight_slope: float64 [R], derivatives of the rows' weights.
        gamma: weight of the tree's negative entropy, > 0.
        softness: regularisation of the further equations.
        point: the optimum.
        work: scratch.
        log_slope: float64 [M], written: derivatives of ``log_q``.
    """
    weigh(tree, terms, gamma, point, work)
    factor(tree, terms, gamma, softness, point, work)
    n = len(point.mass)
    for i in range(n):
        work.gradient[i] = linear_slope[i] + work.cell_logs[i]
    slopes(tree, terms, weight_slope, work.logs, work.gradient)
    for u in range(len(work.shift)):
        work.shift[u] = 0.0
    for e in range(len(work.equation_shift)):
        work.equation_shift[e] = 0.0
    back(tree, work.gradient, work)
    log_steps(tree, terms, work, log_slope, np.empty(n))
