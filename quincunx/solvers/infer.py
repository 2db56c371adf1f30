"""The verb ``infer``: a model and a trade-off in, a distribution with its certificate out."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real

from quincunx._errors import (
    ContradictionError,
    EngineError,
    ModelError,
    NotConvexError,
    SolveError,
    SolveInterrupted,
    TooLargeError,
)
from quincunx._types import Solution, Status
from quincunx.graphs.memory import require_memory
from quincunx.graphs.table import Names
from quincunx.graphs.variable import State
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import conditional_logs, lower_bound, rounding
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.convex import RESIDUAL, solve_convex
from quincunx.solvers.inference.convex_concave import ConvexConcave, solve_convex_concave
from quincunx.solvers.inference.descent import Descent, solve_descent
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import Problem, compile_problem
from quincunx.solvers.inference.products import solve_product
from quincunx.solvers.inference.stage import Run
from quincunx.solvers.inference.uniqueness import is_unique
from quincunx.solvers.plan import Model, Plan, Solver, SumProduct, plan

UNIQUE_CELLS = 100_000  # above this, uniqueness at gamma = 0 is left unknown


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
            within the tolerance for this problem, they are returned without solving; else methods
            that can start from them. Outside the convex regime one descent more does.
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
    check_limits(tolerance, time_limit)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    budget = Budget(tolerance, deadline, progress)
    try:
        work = plan(model, gamma=gamma, solver=solver, assume=assume, order=order)
        answer = _solve(work, budget, start)
    except SolveError as error:
        failure = _failure(error, gamma)
        error.solution = failure
        if throw:
            raise
        return failure
    if throw:
        raise_if_stopped(answer)
    return answer


def raise_if_stopped(answer: Solution) -> None:
    """Raise, with the answer, where the user or the deadline ended the work, or it is useless."""
    if answer.status is Status.INTERRUPTED:
        interrupted = SolveInterrupted(answer.status.value)
        interrupted.solution = answer
        raise interrupted
    if answer.status in (Status.TIME_LIMIT, Status.INACCURATE):
        stopped = SolveError(f"{answer.status.value} {answer.message}")
        stopped.solution = answer
        raise stopped


def _solve(work: Plan, budget: Budget, start: Inference | None) -> Inference:
    require_memory(
        work.memory,
        f"a cluster tree of width {work.tree.treewidth} with {sum(work.tree.sizes):,} cells",
    )
    if start is not None and not isinstance(start, Inference):
        raise ModelError(f"start must be an earlier answer of infer, not {start!r}")
    answer = _solve_core(work, budget, start)
    if work.reduced.changed:
        answer = work.reduced.restore(answer, work.tree)
    solved = answer.status in (Status.OPTIMAL, Status.NEARLY_OPTIMAL)
    unsettled = work.gamma == 0 and answer.unique is None and solved
    if unsettled and answer.beliefs and sum(work.tree.sizes) <= UNIQUE_CELLS:
        problem = compile_problem(work.pdg, work.tree)
        unique = is_unique(problem, problem.gather(answer.beliefs.clusters))
        answer = replace(answer, unique=unique)
    return replace(answer, pdg=work.pdg)


def _solve_core(work: Plan, budget: Budget, start: Inference | None) -> Inference:
    """Solve what presolve left."""
    if work.product is not None:
        return solve_product(work.reduced.pdg, work.core, work.product, work.gamma)
    if budget.progress:
        budget.progress("compiling the cluster tree")
    problem = compile_problem(work.reduced.pdg, work.core, work.reduced.potentials)
    if isinstance(work.solver, Descent):
        assert work.gamma is not None
        return solve_descent(problem, work.gamma, work.solver, budget)
    assert not isinstance(work.solver, SumProduct)
    cells = None if start is None else _cells_of(work, problem, start)
    if isinstance(work.solver, ConvexConcave):
        return solve_convex_concave(problem, work.gamma, work.solver, budget, cells)
    if cells is not None:
        earlier = _recheck(problem, work.gamma, cells, budget.tolerance)
        if earlier is not None:
            return earlier
    answer = solve_convex(problem, work.gamma, Run(work.solver, budget), cells)
    if answer.status is Status.INACCURATE and work.automatic and work.solver == InteriorPoint():
        other = solve_convex(problem, work.gamma, Run(Conic(), budget))
        if other.gap < answer.gap:
            method = f"{other.method}, as the {answer.method} ended inaccurate"
            return replace(other, method=method)
    return answer


def _cells_of(work: Plan, problem: Problem, start: Inference) -> Floats | None:
    """Return an earlier answer's masses [N] for this problem's cells; None where it has none."""
    if start.beliefs is None:
        return None
    if start.beliefs.tree.variables != work.tree.variables:
        raise ModelError("start is the answer to a model with other variables")
    clusters = range(len(problem.tree.clusters))
    return problem.gather([start.beliefs.marginal(problem.tree.names(c)).values for c in clusters])


def _recheck(
    problem: Problem, gamma: float | None, cells: Floats | None, tolerance: float
) -> Inference | None:
    """Return an earlier answer if it is certified to answer this problem too."""
    if cells is None or not gamma:
        return None
    mu = problem.calibrated(cells)
    beliefs = problem.beliefs(mu)
    target = objective(problem, gamma)
    inc, idef = problem.measure(mu)
    error = rounding(problem, target, mu)
    value = inc + gamma * idef + error
    gap = value - lower_bound(problem, target, conditional_logs(problem, mu)) + error
    residual = problem.residual(mu)
    if gap > tolerance * (1 + abs(value)) or residual > RESIDUAL:
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


def check_limits(tolerance: float, time_limit: float | None) -> None:
    """Raise :class:`ModelError` where a tolerance or a time limit is out of range."""
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
