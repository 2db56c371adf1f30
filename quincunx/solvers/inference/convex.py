"""Inference by convex programs: every gamma of the convex regime, and the limit 0+."""

import math
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from quincunx._types import Status
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.limit import solve_limit
from quincunx.solvers.inference.objective import objective, require_proper
from quincunx.solvers.inference.point import Effort
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.stage import ConvexMethod, Run, solve_at

RESIDUAL = 1e-8  # largest violation of a hard arc that counts as none


def solve_convex(
    problem: Problem, gamma: float | None, run: Run, start: Floats | None = None
) -> Inference:
    """Solve a compiled problem by the method of the run.

    Arguments:
        problem: the compiled problem.
        gamma: the trade-off, in the convex regime; None: the limit 0+.
        run: method, tolerance and deadline.
        start: float64 [N], masses near the optimum to start from, where the method can; not in the
            limit.

    Raises:
        NotConvexError: gamma is outside the convex regime.
        ModelError: gamma is not a number in [0, inf).
    """
    started = time.perf_counter()
    if gamma is None:
        require_proper(problem)
    else:
        objective(problem, gamma)
    # Confidences and gamma matter by their ratios only; engines want numbers of size one.
    unit = largest_confidence(problem, gamma)
    scaled = replace(problem, beta=problem.beta / unit)
    wide = replace(run, budget=replace(run.budget, unit=max(1.0, unit)))
    stats: dict[str, object] = {}
    idef_lower, loose = -math.inf, False
    if gamma is None:
        limit = solve_limit(scaled, wide)
        stage, efforts, idef_lower, loose = (
            limit.stage,
            limit.efforts,
            limit.idef_lower,
            limit.loose,
        )
        stats["limit"] = limit.way
    else:
        stage = solve_at(scaled, objective(scaled, gamma / unit), wide, start)
        efforts = [stage.effort]
    value = stage.upper((gamma or 0.0) / unit) * unit
    # Hard arcs can put the bounds the other way round, as what they miss is priced to first order.
    low, value = sorted((stage.lower * unit, value))
    gap = value - low
    residual = problem.residual(stage.mu)
    status, message = _judge(efforts, gap, run.budget.tolerance * (1 + abs(value)), residual, loose)
    stats.update(_stats(problem, efforts, started))
    return Inference(
        status=status,
        message=message,
        stats=stats,
        gamma=gamma,
        method=method_name(run.solver),
        inconsistency=value,
        gap=gap,
        beliefs=stage.beliefs,
        idef=stage.idef,
        idef_lower=idef_lower,
        residual=residual,
        unique=None if gamma == 0 else True,
        multipliers=by_arc(problem, stage.multipliers * unit),
    )


def method_name(solver: ConvexMethod) -> str:
    """Name a method for people."""
    if isinstance(solver, InteriorPoint):
        return "interior point over the cluster tree"
    return f"cone programs ({solver.engine})"


def by_arc(problem: Problem, multipliers: Floats) -> dict[str, Floats]:
    """Spread the hard arcs' multipliers [E] over tables by the arcs' names, where these tell."""
    at = np.nonzero(problem.free_entries(problem.hard))[0]
    if len(multipliers) != len(at):
        return {}
    tables: dict[str, Floats] = {}
    names = Counter(arc.name for arc in problem.arcs if math.isinf(arc.beta))
    for entry, price in zip(at.tolist(), multipliers.tolist(), strict=True):
        row = int(problem.row[entry])
        arc = problem.arcs[int(problem.arc[row])]
        if names[arc.name] > 1:
            continue
        table = tables.setdefault(arc.name, np.zeros(arc.rows.shape))
        table[int(problem.source[row]), int(problem.target[entry])] = price
    return tables


def largest_confidence(problem: Problem, gamma: float | None) -> float:
    """Return the largest finite beta of a row with a choice, or gamma where that is larger."""
    counts = np.isfinite(problem.beta) & (problem.width > 1)
    largest = max(float(problem.beta[counts].max(initial=0.0)), float(gamma or 0.0))
    return largest if largest > sys.float_info.min else 1.0


def _judge(
    efforts: list[Effort], gap: float, wanted: float, residual: float, loose: bool
) -> tuple[Status, str]:
    """Say how a solve ended, and in a message what that means here."""
    says = []
    if gap > wanted:
        says.append(f"The certified gap is {gap:.2g} nats.")
    if residual > RESIDUAL:
        says.append(
            f"The hard arcs are missed by up to {residual:.2g}: they contradict each other, or "
            "agree only nearly."
        )
    if loose:
        says.append("IDef is not known to be near its least, so the beliefs may not be the limit.")
    if not says:
        return Status.OPTIMAL, ""
    message = " ".join(says)
    if any(e.interrupted for e in efforts):
        return Status.INTERRUPTED, message
    if any(e.timed_out for e in efforts):
        return Status.TIME_LIMIT, message
    poor = gap > 1e4 * wanted or residual > 100 * RESIDUAL
    return (Status.INACCURATE if poor else Status.NEARLY_OPTIMAL), message


def _stats(problem: Problem, efforts: list[Effort], started: float) -> dict[str, object]:
    return {
        "cells": problem.size,
        "table_entries": len(problem.table),
        "treewidth": problem.tree.treewidth,
        "clusters": len(problem.tree.clusters),
        "iterations": [e.iterations for e in efforts],
        "engine_status": [e.word for e in efforts],
        "engine_seconds": sum(e.seconds for e in efforts),
        "seconds": time.perf_counter() - started,
    }
