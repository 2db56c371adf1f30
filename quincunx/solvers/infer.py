"""The verb ``infer``: a model and a trade-off in, a distribution with its certificate out."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TypeAlias

import numpy as np

from quincunx._errors import (
    ContradictionError,
    EngineError,
    ModelError,
    NotConvexError,
    SolveError,
    SolveInterrupted,
    TooLargeError,
)
from quincunx._types import Status
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.cluster_tree import ClusterTree, cluster_tree
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names
from quincunx.graphs.variable import State, find_variable
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import conditional_logs, lower_bound, rounding
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.convex import solve_convex
from quincunx.solvers.inference.convex_concave import ConvexConcave, solve_convex_concave
from quincunx.solvers.inference.descent import Descent, joint_tree, solve_descent
from quincunx.solvers.inference.difference import concave_arcs
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import Problem, compile_problem
from quincunx.solvers.inference.products import Product, as_product, solve_product
from quincunx.solvers.inference.stage import Run
from quincunx.solvers.inference.support import home_of
from quincunx.solvers.inference.uniqueness import is_unique

Model: TypeAlias = PDG | BayesianNetwork | FactorGraph

# A cell in a cone program: measured 8.4 to 9.4 kB at treewidth 2 to 6; large clusters take more.
CELL_BYTES = 10_000
LARGEST_BLOCK = 1500  # cells of a cluster up to which dense elimination is the faster
BLOCK_BYTES = 8  # a pair of cells of one cluster, in elimination
STATE_BYTES = 1500  # and each cell, its arcs and certificates included
TABLE_BYTES = 24  # a cell's energy, its belief and one temporary
LOGIT_BYTES = 500  # a cell in descent, with the steps that L-BFGS remembers; measured 440
ENTRY_BYTES = 60  # and for each arc over it; measured 55
UNIQUE_CELLS = 100_000  # above this, uniqueness at gamma = 0 is left unknown for networks


@dataclass(frozen=True, slots=True)
class SumProduct:
    """Exact message passing on the cluster tree, where the optimum is a product of tables.

    That is so when ``beta = gamma alpha`` on every row, as for Bayesian networks and factor
    graphs, and at every gamma for a PDG whose arcs form a Bayesian network with alpha = 1.
    """


Solver: TypeAlias = SumProduct | InteriorPoint | Conic | ConvexConcave | Descent


@dataclass(frozen=True, slots=True)
class Plan:
    """What :func:`infer` would do, before any of it is done.

    Attributes:
        pdg: the model as a PDG, with what is assumed.
        gamma: the trade-off; None: the limit 0+.
        tree: the cluster tree.
        solver: the method.
        product: how the optimum is a product of tables, where the solver is :class:`SumProduct`.
        reason: why this method.
        memory: bytes that the solve takes, roughly.
    """

    pdg: PDG
    gamma: float | None
    tree: ClusterTree
    solver: Solver
    product: Product | None
    reason: str
    memory: int


def infer(
    model: Model,
    *,
    gamma: float | None = None,
    solver: Solver | None = None,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    start: Inference | None = None,
    throw: bool = True,
    assume: Mapping[str, State] | None = None,
    order: Names | None = None,
    progress: Callable[[str], None] | None = None,
) -> Inference:
    """Find the distribution that a model specifies, and how inconsistent the model is.

    For a PDG, minimise ``Inc(mu) + gamma IDef(mu)`` over joint distributions mu, represented by
    the clusters of a tree decomposition.

    Arguments:
        model: a :class:`PDG`, :class:`BayesianNetwork` or :class:`FactorGraph`.
        gamma: how much the structure counts against the tables. None: the model's own meaning,
            the distribution of a network (a factor graph has its own at every gamma), the limit
            gamma -> 0+ of a PDG: among the distributions that fit the tables best, the one with
            the least information deficiency. 0: any distribution that fits the tables best. Up to
            ``min beta/alpha``: the convex regime; above it a local optimum is found, with the
            status ``LOCAL_OPTIMUM`` unless its certificate proves it global.
        solver: :class:`SumProduct`, :class:`InteriorPoint`, :class:`Conic`,
            :class:`ConvexConcave` or :class:`Descent`; None: chosen as :func:`plan` tells.
        tolerance: certified gap asked for, in nats, relative to ``1 + |inconsistency|``; in
            (0, 1).
        time_limit: seconds for compiling and solving a convex program, kept to within one iteration
            of the engine; None: no limit.
        start: an earlier answer to the same model: if gamma > 0 and its beliefs are certified to be
            within the tolerance for this problem, they are returned without solving. Elsewhere it
            is not used.
        throw: raise when there is no answer; False: return it with a status that says why.
            Arguments that make no sense raise :class:`ModelError` either way.
        assume: states of variables held certain before solving (hard arcs): what follows if this
            is so, instead of what the model says given that it happened.
        order: an elimination order for the cluster tree, every variable once; None: the better
            of weighted min-fill and min-degree.
        progress: called with a line about the work now and then.

    Returns:
        The answer with its certificate: see :class:`Inference`.

    Raises:
        ModelError: an argument is out of range, or a name in ``assume`` or ``order`` is unknown.
        NotConvexError: gamma is outside the convex regime, and ``solver`` is one that needs it, or
            the limit is asked for and not convex; the message names rows and the bound.
        ContradictionError: certainties clash, the inconsistency is infinite; arcs are named.
        TooLargeError: the clusters do not fit into memory; said before they are allocated.
        SolveError: the solver stopped without a useful answer; ``error.solution`` has what it got.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> pdg = PDG([Arc([], rain, [0.7, 0.3]), Arc([], rain, [0.4, 0.6])])
        >>> answer = infer(pdg)
        >>> round(answer.inconsistency, 6), round(float(answer.query("rain").values[1]), 4)
        (0.095411, 0.445)

    Reference:
        O. E. Richardson, J. Y. Halpern, C. De Sa, "Inference for Probabilistic Dependency Graphs",
        UAI 2023.
    """
    _check_arguments(tolerance, time_limit)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    try:
        work = plan(model, gamma=gamma, solver=solver, assume=assume, order=order)
        answer = replace(_solve(work, tolerance, deadline, start, progress), pdg=work.pdg)
    except SolveError as error:
        failure = _failure(error, gamma)
        error.solution = failure
        if throw:
            raise
        return failure
    if throw and answer.status is Status.INTERRUPTED:
        interrupted = SolveInterrupted(answer.status.value)
        interrupted.solution = answer
        raise interrupted
    if throw and answer.status in (Status.TIME_LIMIT, Status.INACCURATE):
        stopped = SolveError(f"{answer.status.value} {answer.message}")
        stopped.solution = answer
        raise stopped
    return answer


def plan(
    model: Model,
    *,
    gamma: float | None = None,
    solver: Solver | None = None,
    assume: Mapping[str, State] | None = None,
    order: Names | None = None,
) -> Plan:
    """Say what :func:`infer` would do with these arguments: tree, method, memory; solve nothing.

    Raises:
        ModelError: an argument is out of range, a name is unknown, or :class:`SumProduct` was
            asked for where the optimum is no product of the tables.
        TooLargeError: a cluster of more than 64 variables is needed.
    """
    if gamma is None and not isinstance(model, PDG):
        gamma = 1.0  # at which a network or factor graph is its own optimum
    if gamma is not None and not (isinstance(gamma, Real) and 0 <= gamma < math.inf):
        raise ModelError(f"gamma must be a number in [0, inf), or None, not {gamma!r}")
    if not isinstance(model, PDG | BayesianNetwork | FactorGraph):
        raise ModelError(f"a model is a PDG, BayesianNetwork or FactorGraph, not {model!r}")
    if isinstance(model, FactorGraph):
        pdg = model.to_pdg(gamma or 1.0)
    else:
        pdg = model if isinstance(model, PDG) else model.to_pdg()
    if not (assume is None or isinstance(assume, Mapping)):
        raise ModelError(f"assume must be a mapping of names to states, not {assume!r}")
    for name, state in (assume or {}).items():
        variable = find_variable(pdg.variables, name)
        one_hot = np.zeros(len(variable))
        one_hot[variable.index(state)] = 1.0
        pdg += Arc((), variable, one_hot, 0.0, math.inf, f"assume {name}={state}")
    tree = cluster_tree(pdg.variables, (a.scope for a in pdg.arcs), order=order)
    product = as_product(pdg, gamma)
    if not (solver is None or isinstance(solver, Solver)):
        raise ModelError(
            "solver must be SumProduct(), InteriorPoint(), Conic(), ConvexConcave(), Descent() or "
            f"None, not {solver!r}"
        )
    if isinstance(solver, SumProduct) and product is None:
        raise ModelError(
            "SumProduct() needs beta = gamma * alpha on every arc, or arcs that form a Bayesian "
            "network with alpha = 1; use InteriorPoint(), or solver=None to have it chosen"
        )
    concave = concave_arcs(pdg, gamma) if gamma else ()
    if solver is None:
        convex = _convex_method(tree)
        solver = SumProduct() if product else ConvexConcave(convex=convex) if concave else convex
    if not isinstance(solver, SumProduct):
        product = None
    if isinstance(solver, Descent):
        return _plan_descent(pdg, gamma, tree, solver)
    return Plan(
        pdg=pdg,
        gamma=gamma,
        tree=tree,
        solver=solver,
        product=product,
        reason=product.reason if product else _reason(solver, concave),
        memory=_memory(tree, solver),
    )


def _convex_method(tree: ClusterTree) -> InteriorPoint | Conic:
    """Choose between elimination, cubic in a cluster's cells, and Clarabel's sparse algebra."""
    return InteriorPoint() if max(tree.sizes, default=1) <= LARGEST_BLOCK else Conic()


def _reason(solver: Solver, concave: Sequence[Arc]) -> str:
    if not (concave and isinstance(solver, ConvexConcave)):
        return "a convex program over the cluster tree"
    names = ", ".join(arc.name for arc in concave[:3]) + (", ..." if len(concave) > 3 else "")
    return (
        f"gamma exceeds beta/alpha on {names}; that is outside the convex regime, where a local "
        "optimum is sought and called one"
    )


def _memory(tree: ClusterTree, solver: Solver) -> int:
    if isinstance(solver, ConvexConcave):
        solver = solver.convex
    cells = sum(tree.sizes)
    if isinstance(solver, SumProduct):
        return TABLE_BYTES * cells
    if isinstance(solver, InteriorPoint):
        return BLOCK_BYTES * sum(size * size for size in tree.sizes) + STATE_BYTES * cells
    return CELL_BYTES * cells


def _plan_descent(pdg: PDG, gamma: float | None, tree: ClusterTree, solver: Descent) -> Plan:
    if gamma is None:
        raise ModelError(
            "Descent() needs a gamma, as the limit 0+ is no minimum of one function; give a small "
            "one, such as 1e-8, or use InteriorPoint() for the limit"
        )
    if solver.over == "joint":
        tree = joint_tree(pdg.variables)
    entries = sum(tree.sizes[home_of(tree, arc)] for arc in pdg.arcs)
    return Plan(
        pdg=pdg,
        gamma=gamma,
        tree=tree,
        solver=solver,
        product=None,
        reason=f"descent on logits over {solver.over}, as asked",
        memory=LOGIT_BYTES * sum(tree.sizes) + ENTRY_BYTES * entries,
    )


def _solve(
    work: Plan,
    tolerance: float,
    deadline: float,
    start: Inference | None,
    progress: Callable[[str], None] | None,
) -> Inference:
    require_memory(
        work.memory,
        f"a cluster tree of width {work.tree.treewidth} with {sum(work.tree.sizes):,} cells",
    )
    if work.product is not None:
        answer = solve_product(work.pdg, work.tree, work.product, work.gamma)
        if work.gamma == 0 and sum(work.tree.sizes) <= UNIQUE_CELLS and answer.beliefs:
            problem = compile_problem(work.pdg, work.tree)
            cells = problem.gather(answer.beliefs.clusters)
            answer = replace(answer, unique=is_unique(problem, cells))
        return answer
    if progress:
        progress("compiling the cluster tree")
    problem = compile_problem(work.pdg, work.tree)
    if isinstance(work.solver, Descent):
        assert work.gamma is not None
        budget = Budget(tolerance, deadline, progress)
        return solve_descent(problem, work.gamma, work.solver, budget)
    assert isinstance(work.solver, Conic | InteriorPoint | ConvexConcave)
    cells: Floats | None = None
    if start is not None:
        if not isinstance(start, Inference):
            raise ModelError(f"start must be an earlier answer of infer, not {start!r}")
        cells = _cells_of(problem, start)
    if isinstance(work.solver, ConvexConcave):
        budget = Budget(tolerance, deadline, progress)
        return solve_convex_concave(problem, work.gamma, work.solver, budget, cells)
    if cells is not None:
        earlier = _recheck(problem, work.gamma, cells, tolerance)
        if earlier is not None:
            return earlier
    run = Run(work.solver, Budget(tolerance, deadline, progress))
    return solve_convex(problem, work.gamma, run, cells)


def _cells_of(problem: Problem, start: Inference) -> Floats | None:
    """Return an earlier answer's masses [N] for this problem's cells; None where it has none."""
    if start.beliefs is None:
        return None
    if start.beliefs.tree.variables != problem.tree.variables:
        raise ModelError("start is the answer to a model with other variables")
    clusters = range(len(problem.tree.clusters))
    return problem.gather([start.beliefs.marginal(problem.tree.names(c)).values for c in clusters])


def _recheck(
    problem: Problem, gamma: float | None, cells: Floats | None, tolerance: float
) -> Inference | None:
    """Return an earlier answer if it is certified to answer this problem too."""
    if cells is None or not gamma:
        return None
    beliefs = problem.calibrate(cells)
    mu = problem.gather(beliefs.clusters)
    target = objective(problem, gamma)
    inc, idef = problem.measure(mu)
    error = rounding(problem, target, mu)
    value = inc + gamma * idef + error
    gap = value - lower_bound(problem, target, conditional_logs(problem, mu)) + error
    residual = problem.residual(mu)
    if gap > tolerance * (1 + abs(value)) or residual > tolerance:
        return None
    return Inference(
        status=Status.OPTIMAL,
        gamma=gamma,
        method="the earlier answer, certified anew",
        inconsistency=value,
        gap=gap,
        beliefs=beliefs,
        idef=idef,
        residual=residual,
        unique=True,
    )


def _check_arguments(tolerance: float, time_limit: float | None) -> None:
    if not (isinstance(tolerance, Real) and 0 < tolerance < 1):
        raise ModelError(f"tolerance must be in (0, 1) nats, not {tolerance!r}")
    if time_limit is not None and not (isinstance(time_limit, Real) and time_limit > 0):
        raise ModelError(f"time_limit must be a positive number of seconds, not {time_limit!r}")


def _failure(error: SolveError, gamma: float | None) -> Inference:
    """Say in an answer's form why there is none."""
    if isinstance(error, ContradictionError):
        return Inference(
            status=Status.CONTRADICTION,
            message=str(error),
            gamma=gamma,
            inconsistency=math.inf,
            gap=0.0,
        )
    kinds: dict[type[SolveError], Status] = {
        NotConvexError: Status.NOT_CONVEX,
        TooLargeError: Status.TOO_LARGE,
        EngineError: Status.ENGINE_FAILED,
    }
    status = next((s for kind, s in kinds.items() if isinstance(error, kind)), Status.INACCURATE)
    return Inference(status=status, message=str(error), gamma=gamma)
