"""One interior-point step written with dense matrices: slow, and plain to see."""

from dataclasses import dataclass

import numpy as np

from quincunx.kernels.primal_dual.layout import DualPoint, EntropyTerms
from quincunx.kernels.tree_elimination.layout import Floats, Indices, TreeLayout
from quincunx.kernels.tree_elimination.reference import constraints, solve_dense


@dataclass(frozen=True, slots=True, eq=False)
class _Entropy:
    """``sum_k weight_k x_k log(x_k / y_k)`` with ``x = pick @ mu`` and ``y = given @ mu``.

    Entries of one ``row`` share their y.
    """

    pick: Floats
    given: Floats
    weight: Floats
    row: Indices

    def logs(self, mass: Floats) -> Floats:
        return np.asarray(np.log(self.pick @ mass) - np.log(self.given @ mass))

    def linearised(self, mass: Floats, log_q: Floats) -> Floats:
        """Return the matrix of ``d log(x / y)``, with logarithmic means in the place of x and y."""
        x = self.pick @ mass
        side = (self.given @ mass) * np.exp(log_q)
        ratio = np.log(x) - np.log(side)
        apart = np.abs(ratio) > 1e-9
        width = np.where(apart, (x - side) / np.where(apart, ratio, 1.0), x)
        total = (self.row[:, None] == self.row[None, :]) @ width
        return np.asarray(self.pick / width[:, None] - self.given / total[:, None])


def entropies(tree: TreeLayout, terms: EntropyTerms, gamma: float) -> tuple[_Entropy, _Entropy]:
    """Write the arcs' entropies and the tree's with dense matrices."""
    n = int(tree.cells[-1])
    pick = np.zeros((len(terms.row), n))
    given = np.zeros((len(terms.row), n))
    weight = np.zeros(len(terms.row))
    row_of = np.zeros(len(terms.row), dtype=np.int64)
    for c in range(len(tree.parent)):
        size = int(tree.cells[c + 1] - tree.cells[c])
        for a in range(terms.arcs[c], terms.arcs[c + 1]):
            entry = terms.entry[terms.cell_start[a] : terms.cell_start[a] + size]
            for k in range(terms.entry_start[a], terms.entry_start[a + 1]):
                own, row = k - terms.entry_start[a], terms.row[k]
                pick[k, tree.cells[c] : tree.cells[c + 1]] = entry == own
                rows = terms.row[terms.entry_start[a] + entry]
                given[k, tree.cells[c] : tree.cells[c + 1]] = rows == row
                weight[k] = terms.weight[terms.row_start[a] + row]
                row_of[k] = terms.row_start[a] + row
    sums, _ = constraints(tree)
    owner = np.searchsorted(tree.cells, np.arange(n), side="right") - 1
    group = tree.groups[owner] + tree.group
    return (
        _Entropy(pick, given, weight, row_of),
        _Entropy(np.eye(n), np.maximum(sums, 0.0)[group], np.full(n, gamma), group),
    )


def step(
    tree: TreeLayout,
    terms: EntropyTerms,
    linear: Floats,
    total: Floats,
    gamma: float,
    softness: float,
    point: DualPoint,
) -> DualPoint:
    """Take one predictor-corrector step from a point; see ``_numba.advance``.

    Returns:
        The next point; the one given is left as it is.
    """
    arcs, whole = entropies(tree, terms, gamma)
    sums, extra = constraints(tree)
    mass, slack, n = point.mass, point.slack, len(linear)
    arc_log, arc_matrix = arcs.logs(mass), arcs.linearised(mass, point.log_q)
    hessian = arcs.pick.T @ (arcs.weight[:, None] * arc_matrix) + np.diag(slack / mass)
    gradient = linear + arcs.pick.T @ (arcs.weight * arc_log)
    if gamma > 0:
        cell_log = whole.logs(mass)
        cell_matrix = whole.linearised(mass, point.potential / gamma)
        hessian += gamma * cell_matrix
        gradient += gamma * cell_log
    missed = total - sums @ mass
    equation_missed = -extra @ mass - softness * point.equation_price

    def newton(target: Floats) -> tuple[Floats, Floats, Floats]:
        return solve_dense(
            tree, hessian, softness, gradient - target / mass, missed, equation_missed
        )

    def longest(value: Floats, change: Floats) -> float:
        return float(1 / max(1e-16, (-change / value).max()))

    moved, _, _ = newton(np.zeros(n))
    slack_moved = -slack * (1 + moved / mass)
    primal, dual = min(1.0, longest(mass, moved)), min(1.0, longest(slack, slack_moved))
    now = float(mass @ slack)
    after = float((mass + primal * moved) @ (slack + dual * slack_moved))
    target = min(1.0, max(1e-3, (after / now) ** 3)) * now / n - moved * slack_moved
    moved, price, equation_price = newton(target)
    slack_moved = (target - slack * moved) / mass - slack
    primal = min(1.0, 0.95 * longest(mass, moved))
    dual = min(1.0, 0.95 * longest(slack, slack_moved))
    potential = point.potential
    if gamma > 0:
        potential = (1 - dual) * potential + dual * gamma * (cell_log + cell_matrix @ moved)
    return DualPoint(
        mass=mass + primal * moved,
        log_q=(1 - dual) * point.log_q + dual * (arc_log + arc_matrix @ moved),
        potential=potential,
        slack=slack + dual * slack_moved,
        price=(1 - dual) * point.price + dual * price,
        equation_price=(1 - dual) * point.equation_price + dual * equation_price,
    )
