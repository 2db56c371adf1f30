"""Beyond the convex regime: local optima by the convex-concave procedure, from several starts."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from numbers import Integral

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Status
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats, safe_log
from quincunx.solvers.inference.certificate import normalize_rows, rounding
from quincunx.solvers.inference.convex import (
    RESIDUAL,
    by_arc,
    largest_confidence,
    method_name,
    solve_convex,
)
from quincunx.solvers.inference.difference import Difference, difference, floored_logs, majorizer
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.objective import largest_gamma, objective
from quincunx.solvers.inference.point import Budget, Progress
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.relaxation import global_lower_bound
from quincunx.solvers.inference.stage import ConvexMethod, Run, Stage, solve_at

GROWTH = 1.5  # of a step that succeeded; 2 does as well, 3 falls into worse optima


@dataclass(frozen=True, slots=True)
class ConvexConcave:
    """The convex-concave procedure over the cluster tree, for gammas beyond the convex regime.

    It finds local optima and returns the best, with a certified bound on how much lower the global
    optimum can lie. Within the convex regime it is one convex program.

    Arguments:
        starts: how many descents, >= 1. The first starts where all conditionals are uniform, the
            second from the optimum at the end of the convex regime, the third from the tables, and
            the others at random. An earlier answer given to ``infer`` as ``start`` comes on top.
        seed: of the random starts, an integer >= 0.
        iterations: at most so many convex programs a descent, >= 1.
        convex: the method for these.

    Raises:
        ModelError: an option is out of range.

    Reference:
        A. Yuille, A. Rangarajan, "The concave-convex procedure", Neural Computation 15, 2003;
        Richardson, Halpern, De Sa (UAI 2023), Section 4, for its use here. R. Salakhutdinov,
        S. Roweis, "Adaptive overrelaxed bound optimization methods", ICML 2003, for longer steps.
    """

    starts: int = 8
    seed: int = 0
    iterations: int = 300
    convex: ConvexMethod = field(default_factory=InteriorPoint)

    def __post_init__(self) -> None:
        """Check the options."""
        for name, least in (("starts", 1), ("seed", 0), ("iterations", 1)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= least):
                raise ModelError(f"{name} must be an integer >= {least}, not {value!r}")
        if not isinstance(self.convex, ConvexMethod):
            raise ModelError(f"convex must be InteriorPoint() or Conic(), not {self.convex!r}")


@dataclass(frozen=True, slots=True, eq=False)
class _Descent:
    """A sequence of convex programs, whose scores fall.

    Attributes:
        best: the last of them that lowered the score.
        last: the last of all: about the tangents at ``best``, unless the descent was stopped.
        scores: the scores of those that lowered it, nats.
        stationarity: how much lower, in nats, the convex score that touches the score at ``best``
            can at most be anywhere; inf where that was not found out.
        programs: how many were solved.
        iterations: the iterations of all.
    """

    best: Stage
    last: Stage
    scores: tuple[float, ...]
    stationarity: float
    programs: int
    iterations: int


def solve_convex_concave(
    problem: Problem,
    gamma: float | None,
    solver: ConvexConcave,
    budget: Budget,
    start: Floats | None = None,
) -> Inference:
    """Find a local optimum of the score at any gamma, the best of several.

    The entropies of rows with ``beta < gamma alpha`` are concave. Replaced by their tangents at
    a distribution, they leave a convex score that touches the true one there and is nowhere below
    it, so its minimum has a lower true score. Solving such programs one after the other, the score
    falls to a stationary point: one at which the tangents' program gains nothing.

    ``stats["stationarity"]`` says how much it still gains at most, in nats; ``stats["scores"]``
    has the scores on the way to the answer, ``stats["starts"]`` where each descent ended, and
    ``stats["programs"]`` how many convex programs were solved. The gap is global:
    :func:`~quincunx.solvers.inference.relaxation.global_lower_bound` bounds the optimum over all
    distributions.

    Arguments:
        problem: the compiled problem.
        gamma: the trade-off; None: the limit 0+.
        solver: the options.
        budget: tolerance, deadline, progress.
        start: float64 [N], masses from which one descent more starts, before the others.

    Raises:
        NotConvexError: the limit is asked for where it is not convex.
        ModelError: gamma is not a number in [0, inf).
    """
    began = time.perf_counter()
    unit = largest_confidence(problem, gamma)
    scaled = replace(problem, beta=problem.beta / unit)
    if not gamma or not (score := difference(scaled, gamma / unit)).weight.any():
        return solve_convex(problem, gamma, Run(solver.convex, budget), start)
    run = Run(solver.convex, replace(budget, progress=None, unit=max(1.0, unit)))
    tell: Progress = budget.progress or (lambda _: None)
    tell("bounding the score from below")
    lower = global_lower_bound(scaled, score, run)
    found: list[_Descent] = []
    uppers: list[float] = []
    spent = False
    for tables in _first_tables(scaled, solver, run, start):
        what = f"descent {len(found) + 1} of {solver.starts + (start is not None)}"
        tell(what)
        found.append(_descend(scaled, score, tables, _telling(run, tell, what), solver.iterations))
        uppers.append(_upper(scaled, score, found[-1]))
        # Programs that end within one look at the clock are never stopped by it themselves.
        spent = run.budget.spent
        enough = uppers[-1] - lower <= run.budget.wanted(uppers[-1])
        if spent or enough or _stopped(found[-1].last):
            break
    best = found[int(np.argmin(uppers))]
    value = min(uppers) * unit
    gap = abs(value - lower * unit)
    wanted = budget.tolerance * (1 + abs(value))
    residual = problem.residual(best.best.mu)
    status, message = _judge(found[-1], best.stationarity * unit, gap, wanted, residual, spent)
    return Inference(
        status=status,
        message=message,
        stats=_stats(problem, best, found, unit, began),
        gamma=gamma,
        method=f"convex-concave procedure ({method_name(solver.convex)})",
        inconsistency=value,
        gap=gap,
        beliefs=best.best.beliefs,
        idef=best.best.idef,
        residual=residual,
        unique=None,
        multipliers=by_arc(problem, best.last.multipliers * unit),
    )


def _first_tables(
    problem: Problem, solver: ConvexConcave, run: Run, start: Floats | None
) -> Iterator[Floats]:
    """Yield conditional tables, as logarithms [M], to begin the descents with."""
    if start is not None:
        yield floored_logs(problem, start)
    yield from islice(_usual_tables(problem, solver, run), solver.starts)


def _usual_tables(problem: Problem, solver: ConvexConcave, run: Run) -> Iterator[Floats]:
    yield normalize_rows(problem, np.zeros(len(problem.row)))
    end = solve_at(problem, objective(problem, largest_gamma(problem)), run)
    if end.effort.interrupted:
        raise KeyboardInterrupt
    yield floored_logs(problem, end.mu)
    yield normalize_rows(problem, safe_log(problem.table))
    rng = np.random.default_rng(solver.seed)
    while True:  # rows drawn evenly from all distributions
        yield normalize_rows(problem, np.log(rng.standard_exponential(len(problem.row))))


def _descend(problem: Problem, score: Difference, tables: Floats, run: Run, most: int) -> _Descent:
    """Solve convex programs as long as the score falls.

    Tangents at the best distribution so far make sure that it does. In between, the way of the
    tables from one distribution to the next is taken further, as long as that pays: convergence is
    linear, and at deterministic optima masses have many orders of magnitude to fall.

    Arguments:
        problem: the compiled problem.
        score: its score.
        tables: float64 [M], logarithms of the tables that the first program takes.
        run: method and budget.
        most: how many programs at most.
    """
    gamma = score.convex.gamma
    best = last = solve_at(problem, majorizer(problem, score, tables), run)
    scores = [_score(best, gamma)]
    before = tables = floored_logs(problem, best.mu)
    programs, iterations, step, stationarity = 1, best.effort.iterations, 1.0, np.inf
    while programs < most and not (_stopped(last) or run.budget.spent):
        ahead = normalize_rows(problem, tables + (step - 1) * (tables - before))
        last = solve_at(problem, majorizer(problem, score, ahead), run, best.mu)
        programs, iterations = programs + 1, iterations + last.effort.iterations
        if _stopped(last):  # it may miss hard arcs
            break
        gain = scores[-1] - _score(last, gamma)
        wanted = run.budget.wanted(scores[-1])
        if step == 1:
            stationarity = max(scores[-1] - last.lower, 0.0)
            if stationarity <= wanted or gain <= 0:
                break
        if gain > 0:
            best, before, tables = last, tables, floored_logs(problem, last.mu)
            scores.append(_score(last, gamma))
            stationarity = np.inf
        step = step * GROWTH if gain > wanted else 1.0
    return _Descent(best, last, tuple(scores), float(stationarity), programs, iterations)


def _stats(
    problem: Problem, best: _Descent, found: list[_Descent], unit: float, began: float
) -> dict[str, object]:
    return {
        "cells": problem.size,
        "table_entries": len(problem.table),
        "treewidth": problem.tree.treewidth,
        "clusters": len(problem.tree.clusters),
        "stationarity": best.stationarity * unit,
        "scores": tuple(s * unit for s in best.scores),
        "starts": tuple(d.scores[-1] * unit for d in found),
        "programs": sum(d.programs for d in found),
        "iterations": sum(d.iterations for d in found),
        "seconds": time.perf_counter() - began,
    }


def _telling(run: Run, tell: Progress, what: str) -> Run:
    """Let the methods tell what they do, which is also where Ctrl-C can reach them."""
    budget = replace(run.budget, progress=lambda line: tell(f"{what}, {line}"))
    return replace(run, budget=budget)


def _stopped(stage: Stage) -> bool:
    return stage.effort.stopped


def _score(stage: Stage, gamma: float) -> float:
    return stage.inc + gamma * stage.idef


def _upper(problem: Problem, score: Difference, found: _Descent) -> float:
    """Return the score at the end of a descent, with allowances that make it an upper bound.

    What hard arcs are missed by is priced with the multipliers of the program that touches there.
    """
    mu = found.best.mu
    touching = majorizer(problem, score, floored_logs(problem, mu))
    missed = np.abs(found.last.multipliers) @ np.abs(problem.hard_equations() @ mu)
    return found.scores[-1] + rounding(problem, touching, mu) + float(missed)


def _judge(
    last: _Descent,
    stationarity: float,
    gap: float,
    wanted: float,
    residual: float,
    spent: bool,
) -> tuple[Status, str]:
    """Say how the descents ended, and in a message what that means here."""
    says = []
    if gap > wanted:
        says.append(f"The global optimum is lower by at most {gap:.3g} nats.")
        if stationarity > wanted:
            says.append("The descent has not come to rest; more iterations may help.")
    if residual > RESIDUAL:
        says.append(f"The hard arcs are missed by up to {residual:.2g}.")
    if not says:
        return Status.OPTIMAL, ""
    message = " ".join(says)
    if last.last.effort.interrupted:
        return Status.INTERRUPTED, message
    if spent or last.last.effort.timed_out:
        return Status.TIME_LIMIT, message
    return (Status.INACCURATE if residual > 100 * RESIDUAL else Status.LOCAL_OPTIMUM), message
