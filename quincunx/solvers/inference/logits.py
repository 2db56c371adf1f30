"""The score as a smooth function of unconstrained logits, and its gradient by the adjoint.

A distribution over a cluster tree is a conditional for each state of each sepset. As the softmax of
logits, multiplied from the roots down, it is calibrated whatever the logits are.
"""

from dataclasses import dataclass

import numpy as np

from quincunx._errors import ModelError
from quincunx.solvers.inference.arrays import Floats, Ints, Sparse, sum_by
from quincunx.solvers.inference.difference import Difference, difference
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.problem import Problem

LEAST = np.finfo(np.float64).tiny  # stands for masses that underflow, whose logarithms are read


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The clusters at one depth of the tree.

    Attributes:
        cells: int64 [n], their cells.
        row: int64 [n], each cell's sepset row, numbered within the level.
        size: number of sepset rows; a root has one.
        above: int64 [P], cells of the level above, by their places in it: one entry for each cell
            and sepset row to which it adds its mass.
        below: int64 [P], that row.
    """

    cells: Ints
    row: Ints
    size: int
    above: Ints
    below: Ints


@dataclass(frozen=True, slots=True, eq=False)
class LogitScore:
    """A score as a function of logits, one a cell.

    Attributes:
        problem: the compiled problem, without hard rows.
        terms: the score's convex and concave terms.
        slope: float64 [R], of any sign: the score has ``-sum_r slope_r H_mu(T|s_r)``.
        levels: the tree from the roots down.
        starts: int64 [K], the first cell of each sepset row; the cells of a row are neighbours.
        to_cells: sparse [N, M], the transpose of ``problem.joint``.
    """

    problem: Problem
    terms: Difference
    slope: Floats
    levels: tuple[Level, ...]
    starts: Ints
    to_cells: Sparse

    def conditional_logs(self, logits: Floats) -> Floats:
        """Return float64 [N]: log-probabilities of the cells given their sepset rows."""
        row = self.problem.sepset
        logs = logits - np.maximum.reduceat(logits, self.starts)[row]
        logs -= np.log(np.add.reduceat(np.exp(logs), self.starts))[row]
        return logs

    def masses(self, conditionals: Floats) -> Floats:
        """Return float64 [N]: the cells' masses, by one pass from the roots to the leaves."""
        mu = conditionals.copy()
        for depth, level in enumerate(self.levels[1:]):
            parents = self.levels[depth].cells
            inherited = sum_by(level.below, mu[parents[level.above]], level.size)
            mu[level.cells] *= inherited[level.row]
        return mu

    def evaluate(self, logits: Floats) -> tuple[float, Floats]:
        """Return the score in nats, and its gradient in the logits, float64 [N]."""
        logs = self.conditional_logs(logits)
        conditionals = np.exp(logs)
        mu = self.masses(conditionals)
        row, linear, gamma = self.problem.row, self.terms.convex.linear, self.terms.convex.gamma
        joint = self.problem.joint @ mu
        sources = sum_by(row, joint, len(self.problem.alpha))
        given = np.log(np.maximum(joint, LEAST)) - np.log(np.maximum(sources, LEAST))[row]
        given *= self.slope[row]
        score = float(linear @ mu + joint @ given + gamma * (mu @ logs))
        # Each entropy is homogeneous in the masses, so its derivative is the logarithm alone.
        derivative = linear + gamma * logs + self.to_cells @ given
        return score, self._pull_back(derivative, conditionals, mu)

    def _pull_back(self, derivative: Floats, conditionals: Floats, mu: Floats) -> Floats:
        """Turn derivatives in masses into derivatives in logits, from the leaves to the roots.

        A cell's mass counts for itself and for what hangs below it: the mean derivative of each
        sepset row to which it adds. ``derivative`` is overwritten.
        """
        gradient = np.empty_like(mu)
        for depth in reversed(range(len(self.levels))):
            level = self.levels[depth]
            own = derivative[level.cells]
            mean = sum_by(level.row, conditionals[level.cells] * own, level.size)
            gradient[level.cells] = mu[level.cells] * (own - mean[level.row])
            if depth > 0:
                parents = self.levels[depth - 1].cells
                derivative[parents] += sum_by(level.above, mean[level.below], len(parents))
        return gradient


def logit_score(problem: Problem, gamma: float) -> LogitScore:
    """Write the score at ``gamma``, in the convex regime or beyond, as a function of logits.

    Raises:
        ModelError: there are hard arcs that zeros alone do not settle, or gamma is not a number
            in [0, inf).
    """
    if problem.hard.any():
        names = dict.fromkeys(problem.arcs[int(a)].name for a in problem.arc[problem.hard])
        raise ModelError(
            f"Descent() takes no hard arcs, as logits have no constraints; these are hard: "
            f"{', '.join(names)}. Give them a finite beta, or use InteriorPoint()"
        )
    if gamma == 0:
        terms = Difference(objective(problem, 0.0), np.zeros(len(problem.alpha)))
    else:
        terms = difference(problem, gamma)
    return LogitScore(
        problem=problem,
        terms=terms,
        slope=terms.convex.slope - terms.weight,
        levels=_levels(problem),
        starts=np.flatnonzero(np.diff(problem.sepset, prepend=-1)),
        to_cells=problem.joint.T.tocsr(),
    )


def _levels(problem: Problem) -> tuple[Level, ...]:
    depth: list[int] = []
    for parent in problem.tree.parents:
        depth.append(depth[parent] + 1 if parent >= 0 else 0)
    of_cell = np.repeat(np.array(depth, dtype=np.int64), np.diff(problem.offsets))
    of_row = np.zeros(len(problem.mass), dtype=np.int64)
    of_row[problem.sepset] = of_cell
    place_of_cell, place_of_row = _places(of_cell), _places(of_row)
    entries = problem.calibration.tocoo()
    inherits = entries.data < 0
    rows = entries.row[inherits].astype(np.int64)
    parents = entries.col[inherits].astype(np.int64)
    levels = []
    for d in range(max(depth, default=-1) + 1):
        cells = np.flatnonzero(of_cell == d)
        mine = of_row[rows] == d
        levels.append(
            Level(
                cells=cells,
                row=place_of_row[problem.sepset[cells]],
                size=int((of_row == d).sum()),
                above=place_of_cell[parents[mine]],
                below=place_of_row[rows[mine]],
            )
        )
    return tuple(levels)


def _places(group: Ints) -> Ints:
    """Number the members of each group in order, from zero."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    places = np.empty_like(group)
    places[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places
