"""What the tables alone settle: the range of a probability over all that fit them best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import scipy.sparse as sp

from quincunx._errors import EngineError, ImpossibleEventError, ModelError
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree, cluster_tree
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats, Names, Table, distinct_names, members_of, require_table
from quincunx.graphs.variable import State
from quincunx.solvers.inference.arrays import Sparse
from quincunx.solvers.inference.optimal_face import FEASIBILITY, OptimalFace, optimal_face
from quincunx.solvers.inference.problem import Problem, compile_problem
from quincunx.solvers.inference.support import joint_index

CELL_BYTES = 10_000  # a cell in a cone program, which takes more than the linear ones
IMPOSSIBLE = 1e-9  # an event that cannot have more than this has probability zero, by rounding


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bounds:
    """The least and the largest probability of each joint state, over all optimal distributions.

    Attributes:
        lower: the least, each entry on its own, so that they need not add up to one; a table over
            the targets.
        upper: the largest, likewise.
        slack: how far off the bounds can be, as a probability: ``lower`` may be too low and
            ``upper`` too high, each by about that, divided by the probability of the evidence where
            there is some. 0 where the tables are consistent. Where they conflict, their compromise
            is known numerically only, and the equations that every optimal distribution meets are
            relaxed by the slack; where many follow from each other, errors can add up to more.
    """

    lower: Table
    upper: Table
    slack: float

    @property
    def width(self) -> float:
        """The largest distance between the two; about the slack where all is determined."""
        return float((self.upper.values - self.lower.values).max())

    def __repr__(self) -> str:
        """Write one line a joint state, at most twelve."""
        states = product(*(v.states for v in self.lower.variables))
        entries = zip(states, self.lower.values.flat, self.upper.values.flat, strict=True)
        lines = [f"Bounds({', '.join(self.lower.names)})"]
        for key, low, high in islice(entries, 12):
            lines.append(f"  {', '.join(map(str, key))}: {low:.6g} to {high:.6g}")
        if self.lower.values.size > 12:
            lines.append(f"  ... {self.lower.values.size} entries")
        return "\n".join(lines)


def optimal_bounds(
    pdg: PDG, beliefs: Beliefs, targets: Names, given: Mapping[str, State] | None = None
) -> Bounds:
    """Bound ``p(targets | given)`` over all distributions that minimise Inc.

    Two linear programs an entry, over a cluster tree that holds targets and evidence in one
    cluster, on the set of :func:`optimal_face`. Given evidence they are linear-fractional, and made
    linear by scaling each distribution to mass 1 on the evidence (A. Charnes, W. Cooper, 1962);
    distributions that give it no mass do not count.

    Arguments:
        pdg: the graph.
        beliefs: an optimal distribution, from a solve at gamma = 0 or in the limit.
        targets: the variables asked about.
        given: an event.

    Raises:
        ModelError: there is no target, or one is named twice.
        UnknownNameError: a variable or state does not exist.
        ImpossibleEventError: every optimal distribution gives the event probability zero.
        TooLargeError: targets and evidence need a cluster that does not fit into memory.
        EngineError: the linear program solver failed.
    """
    given = dict(given or {})
    variables = beliefs.tree.variables
    members = members_of(targets)
    wanted = [beliefs.tree.find(member) for member in members]
    distinct_names(members, ())
    event = {beliefs.tree.find(name): state for name, state in given.items()}
    if not wanted:
        raise ModelError("bounds need at least one target variable")
    together = [variables[v] for v in sorted({*wanted, *event})]
    require_table(together)
    tree = cluster_tree(variables, [*(arc.scope for arc in pdg.arcs), together])
    names = ", ".join(v.name for v in together)
    cells = sum(tree.sizes)
    require_memory(CELL_BYTES * cells, f"bounds over {names}, with {cells:,} cells of clusters,")
    problem = compile_problem(pdg, tree)
    face = optimal_face(problem, beliefs)
    indicators = _indicators(problem, wanted, event)
    if given and _largest_mass(problem, face, indicators) <= IMPOSSIBLE:
        shown = ", ".join(f"{name}={state}" for name, state in given.items())
        raise ImpossibleEventError(
            f"the event {shown} has probability zero in every distribution that fits the tables "
            "best, so nothing can be said given it; to ask what would follow if it were certain, "
            "solve again with assume="
        )
    asked = [variables[v] for v in wanted]
    lower, upper = _ranges(problem, face, indicators)
    shape = [len(v) for v in asked]
    return Bounds(
        Table(asked, lower.reshape(shape)), Table(asked, upper.reshape(shape)), face.slack
    )


def _indicators(problem: Problem, wanted: list[int], event: Mapping[int, State]) -> Sparse:
    """Return sparse [target states, N]: the cells of one cluster with that state and the event."""
    tree: ClusterTree = problem.tree
    home = tree.home([*wanted, *event])
    mask = problem.masks[home]
    inside = np.ones(int(mask.sum()), dtype=np.bool_)
    for v, state in event.items():
        inside &= joint_index(tree, home, [v])[mask] == tree.variables[v].index(state)
    states = joint_index(tree, home, wanted)[mask][inside]
    columns = np.arange(problem.offsets[home], problem.offsets[home + 1])[inside]
    size = math.prod(len(tree.variables[v]) for v in wanted)
    return sp.csr_array((np.ones(len(states)), (states, columns)), shape=(size, problem.size))


def _largest_mass(problem: Problem, face: OptimalFace, indicators: Sparse) -> float:
    """Return the largest probability of the event that a distribution of the face gives it."""
    equations = sp.vstack([problem.calibration, face.equations])
    right = np.concatenate([problem.mass, np.zeros(face.equations.shape[0])])
    kept = np.nonzero(face.kept)[0]
    event = indicators.sum(axis=0)[kept]
    return -_minimum(-event, face.inequalities.tocsc()[:, kept], equations.tocsc()[:, kept], right)


def _ranges(problem: Problem, face: OptimalFace, indicators: Sparse) -> tuple[Floats, Floats]:
    """Minimise and maximise each indicator over the face, given the event that they add up to.

    The unknowns are the cells scaled to mass 1 on the event, ``y = k mu``, and the scale k.
    """
    kept = np.nonzero(face.kept)[0]
    event = sp.csr_array(indicators.sum(axis=0).reshape(1, -1))
    equations = sp.vstack([problem.calibration, face.equations, event]).tocsc()[:, kept]
    scale = np.zeros((equations.shape[0], 1))
    scale[: len(problem.mass), 0] = -problem.mass
    right = np.zeros(equations.shape[0])
    right[-1] = 1.0
    less = sp.hstack(
        [face.inequalities.tocsc()[:, kept], np.zeros((face.inequalities.shape[0], 1))]
    )
    equal = sp.hstack([equations, scale])
    limits = np.zeros((2, indicators.shape[0]))
    for k in range(indicators.shape[0]):
        cost = np.append(indicators[[k]].toarray().ravel()[kept], 0.0)
        if cost.any():
            limits[0, k] = _minimum(cost, less, equal, right)
            limits[1, k] = -_minimum(-cost, less, equal, right)
    lower, upper = np.clip(limits, 0.0, 1.0)
    return lower, upper


def _minimum(cost: Floats, less: Sparse, equal: Sparse, right: Floats) -> float:
    """Return the least ``cost @ y`` with ``less @ y <= 0``, ``equal @ y = right``, ``y >= 0``."""
    from scipy.optimize import linprog

    result = linprog(
        cost,
        A_ub=less.tocsc(),
        b_ub=np.zeros(less.shape[0]),
        A_eq=equal.tocsc(),
        b_eq=right,
        options={
            "primal_feasibility_tolerance": FEASIBILITY,
            "dual_feasibility_tolerance": FEASIBILITY,
        },
    )
    if result.status != 0:
        raise EngineError(
            f"a linear program for the bounds failed: {result.message} Likely causes: entries many "
            "orders of magnitude apart, or evidence that is nearly impossible"
        )
    return float(result.fun)
