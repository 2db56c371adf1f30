"""Our own interior point: elimination over the cluster tree, at every convex gamma."""

import time
from dataclasses import dataclass, replace

import numpy as np

from quincunx.kernels.primal_dual.layout import DualPoint, Work, room_for
from quincunx.solvers.inference.arrays import Floats, Ints, safe_log
from quincunx.solvers.inference.objective import Objective, gamma_slopes
from quincunx.solvers.inference.point import Budget, Effort, Point
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.tree_program import TreeProgram, tree_program

# The gap aimed at, as a share of the one asked for, by attempt. Where masses vanish quickly, the
# first aim lets them fall below 1e-12, where steps are rounding and with them the conditionals of
# rows without mass, which the lower bound needs; the others stop short of that.
SHARES = (1e-3, 1e-1, 1e-2)
MOST = 200  # iterations; what converges does so in 7 to 40
BARRIER = 0.1  # first multipliers of mu >= 0, as a share of the largest confidence
ENTROPIC = 0.2  # from this gamma on the tree's entropy keeps masses positive by itself
NEAR_START = 1e-3  # how far from a given start, which saves a third of the iterations
SOFTNESS = 1e-13  # regularisation of hard arcs, which repeated steps undo
SLICE = 0.05  # seconds between looks at the clock


@dataclass(frozen=True, slots=True)
class InteriorPoint:
    """A primal-dual interior point whose linear algebra is elimination over the cluster tree.

    One iteration costs a dense elimination a cluster: linear in the number of clusters, cubic in
    their cells. Unknowns are the masses of cells, and dual values for the logarithms of
    conditional probabilities: see ``docs/systems/pdg.md``.

    Reference:
        S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim.
        2, 1992, for predictor and corrector; the scaling of the entropies by logarithmic means is
        our own, in the place of the conic one of J. Dahl, E. Andersen, "A primal-dual
        interior-point algorithm for nonsymmetric exponential-cone optimization", Math. Program.
        194, 2022.
    """


def solve_tree(
    problem: Problem,
    target: Objective,
    budget: Budget,
    start: Floats | None = None,
    attempt: int = 0,
    to_limit: bool = False,
) -> Point:
    """Minimise the score at one gamma.

    Arguments:
        problem: the compiled problem; confidences should be scaled so that the largest is about 1.
        target: the score.
        budget: tolerance, deadline, progress.
        start: float64 [N], positive cells to start from; None: uniform clusters.
        attempt: 0; or which further attempt this is: those stop short of where masses are too small
            to be told from rounding, and keep the barrier.
        to_limit: at a small gamma > 0, also follow the optimum along its tangent to gamma = 0.

    Returns:
        The point reached; where it stopped early, ``effort.word`` says why.
    """
    began = time.perf_counter()
    program = tree_program(problem, target.slope)
    aim = budget.tolerance * SHARES[attempt] / budget.unit
    point = first_point(problem, target, program, start, None if attempt else aim)
    work = room_for(program.tree, program.terms)
    effort = _iterate(problem, target, program, point, work, budget, aim)
    effort = replace(effort, seconds=time.perf_counter() - began)
    found = _as_point(problem, program, effort, point.mass, point.log_q, point.equation_price)
    if to_limit and effort.word == "solved":
        return replace(found, limit=_follow_tangent(problem, target, program, point, work, effort))
    return found


def _iterate(
    problem: Problem,
    target: Objective,
    program: TreeProgram,
    point: DualPoint,
    work: Work,
    budget: Budget,
    aim: float,
) -> Effort:
    """Take steps until the aim is met, nothing moves, or somebody stops it."""
    from quincunx.kernels.primal_dual._numba import advance

    state = np.array([1.0, np.inf, np.inf, np.inf, np.inf, 1.0, np.inf, 0.0])
    done, steps = 0, _steps_at_first(program.tree.stride)
    try:
        while done < MOST:
            asked = min(steps, MOST - done)
            before = time.perf_counter()
            taken = advance(
                program.tree,
                program.terms,
                target.linear,
                problem.mass,
                target.gamma,
                SOFTNESS,
                point,
                work,
                asked,
                aim,
                state,
            )
            done += taken
            if budget.progress:
                budget.progress(f"iteration {done}, gap about {state[1:4].sum():.1e}")
            if taken < asked:
                met = state[1:4].sum() < aim
                return Effort(done, 0.0, "solved" if met else "stalled")
            if budget.spent:
                return Effort(done, 0.0, "time limit", timed_out=True)
            each = (time.perf_counter() - before) / max(taken, 1)
            steps = int(np.clip(SLICE / max(each, 1e-9), 1, MOST))
    except KeyboardInterrupt:
        return Effort(done, 0.0, "interrupted", interrupted=True)
    return Effort(done, 0.0, "iterations ran out")


def _follow_tangent(
    problem: Problem,
    target: Objective,
    program: TreeProgram,
    point: DualPoint,
    work: Work,
    effort: Effort,
) -> Point:
    from quincunx.kernels.primal_dual._numba import tangent

    linear_slope, slope = gamma_slopes(problem)
    weight_slope = np.where(program.terms.weight > 0, slope[program.rows], 0.0)
    log_slope = np.empty(len(point.log_q))
    tangent(
        program.tree,
        program.terms,
        linear_slope,
        weight_slope,
        target.gamma,
        SOFTNESS,
        point,
        work,
        log_slope,
    )
    mass = np.maximum(point.mass - target.gamma * work.step, 0.0)
    log_q = point.log_q - target.gamma * log_slope
    prices = point.equation_price - target.gamma * work.equation_price
    return _as_point(problem, program, effort, mass, log_q, prices)


def _as_point(
    problem: Problem,
    program: TreeProgram,
    effort: Effort,
    mass: Floats,
    log_q: Floats,
    prices: Floats,
) -> Point:
    tables = np.zeros(len(problem.row))
    tables[program.entries] = log_q
    return Point(mass, (tables,), program.multipliers(prices), effort)


def _steps_at_first(strides: Ints) -> int:
    """Guess how many iterations fit between two looks at the clock."""
    work = float((strides.astype(np.float64) ** 3).sum()) / 1e9  # about seconds an iteration
    return int(np.clip(SLICE / max(work, 1e-9), 1, MOST))


def first_point(
    problem: Problem,
    target: Objective,
    program: TreeProgram,
    start: Floats | None = None,
    aim: float | None = None,
) -> DualPoint:
    """Choose where to start: masses, and dual logarithms that agree with them.

    Arguments:
        problem: the compiled problem.
        target: the score.
        program: its layout.
        start: float64 [N], masses near the optimum; None: uniform clusters.
        aim: the gap wanted, where the barrier may be negligible from the start; None: a barrier.
    """
    sizes = np.diff(problem.offsets)
    uniform = np.repeat(1.0 / sizes, sizes)
    entropic = target.gamma >= ENTROPIC and aim is not None
    barrier = 1e-3 * aim / len(sizes) if entropic and aim is not None else BARRIER
    mass, slack = uniform, np.full(problem.size, barrier)
    if start is not None:
        mass = (1 - NEAR_START) * start + NEAR_START * uniform
        if not entropic:  # centred: every mass times its multiplier is the same share of uniform
            slack = NEAR_START * uniform / mass
    x = problem.joint @ mass
    log_q = safe_log(x) - safe_log((problem.rows @ mass)[problem.row])
    return DualPoint(
        mass=mass.copy(),
        log_q=log_q[program.entries],
        potential=target.gamma * np.log(mass / problem.sepset_mass(mass)),
        slack=slack,
        price=np.zeros(len(problem.mass)),
        equation_price=np.zeros(len(program.tree.equation_order)),
    )
