"""Inference by exponential-cone programs: every gamma of the convex regime, and the limit 0+."""

import math
import sys
import time

from quincunx._types import Status
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.cone_program import ConePoint
from quincunx.solvers.inference.limit import solve_limit
from quincunx.solvers.inference.objective import objective, require_proper
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.stage import Run, solve_at
from quincunx.solvers.inference.uniqueness import is_unique


def solve_conic(problem: Problem, gamma: float | None, run: Run) -> Inference:
    """Solve a compiled problem by cone programs.

    Arguments:
        problem: the compiled problem.
        gamma: the trade-off, in the convex regime; None: the limit 0+.
        run: engine, tolerance and deadline.

    Raises:
        NotConvexError: gamma is outside the convex regime.
        ModelError: gamma is not a number in [0, inf).
    """
    started = time.perf_counter()
    idef_lower = -math.inf
    unique: bool | None = True
    stats: dict[str, object] = {}
    if gamma is None:
        require_proper(problem)
        limit = solve_limit(problem, run)
        stage, points, idef_lower = limit.stage, limit.points, limit.idef_lower
        stats["limit"] = limit.way
        value = stage.inc
    else:
        target = objective(problem, gamma)
        stage = solve_at(problem, target, run)
        points = [stage.point]
        value = stage.inc + target.gamma * stage.idef
        unique = is_unique(problem, stage.mu) if gamma == 0 else True
    # Both bounds are sums of so many terms of this size, evaluated in double precision.
    rounding = sys.float_info.epsilon * (problem.size + len(problem.table)) * (1 + abs(value))
    gap = max(value - stage.lower, 0.0) + rounding
    status = _status(points, gap, run.tolerance * (1 + abs(value)))
    stats.update(_stats(problem, points, started))
    return Inference(
        status=status,
        message="" if status is Status.OPTIMAL else f"The certified gap is {gap:.2g} nats.",
        stats=stats,
        gamma=gamma,
        method=f"cone programs ({run.solver.engine})",
        inconsistency=value,
        gap=gap,
        beliefs=stage.beliefs,
        idef=stage.idef,
        idef_lower=idef_lower,
        residual=problem.residual(stage.mu),
        unique=unique,
    )


def _status(points: list[ConePoint], gap: float, wanted: float) -> Status:
    if gap <= wanted:
        return Status.OPTIMAL
    if any(p.timed_out for p in points):
        return Status.TIME_LIMIT
    return Status.NEARLY_OPTIMAL if gap <= 1e4 * wanted else Status.INACCURATE


def _stats(problem: Problem, points: list[ConePoint], started: float) -> dict[str, object]:
    return {
        "cells": problem.size,
        "table_entries": len(problem.table),
        "treewidth": problem.tree.treewidth,
        "clusters": len(problem.tree.clusters),
        "iterations": [p.iterations for p in points],
        "engine_status": [p.word for p in points],
        "engine_seconds": sum(p.seconds for p in points),
        "seconds": time.perf_counter() - started,
    }
