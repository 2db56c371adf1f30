"""First-order descent on logits, by L-BFGS and Adam: what the convex programs are compared with."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Literal

import numpy as np

from quincunx._errors import ModelError, TooLargeError
from quincunx._types import Status
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.variable import Variable
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import conditional_logs, lower_bound, rounding
from quincunx.solvers.inference.difference import floored_logs, majorizer
from quincunx.solvers.inference.logits import LogitScore, logit_score
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import Problem

WORLDS = 2**20  # the largest joint distribution that is descended on
MEMORY = 10  # steps that L-BFGS remembers; 5 and 20 did no better on random graphs
DECAYS = (0.9, 0.999)  # of Adam's averages of the gradient and of its square, as published
FLOOR = 1e-8  # added to the root of the latter, for confidences of size one, as published
EVERY = 100  # evaluations from one line of progress to the next
POOR = 1e4  # times the gap asked for, above which an answer is called inaccurate


@dataclass(frozen=True, slots=True)
class Descent:
    """Descent on the logits of a distribution: a baseline, rarely the method to take.

    It takes gamma = 0 and every gamma > 0, also beyond the convex regime, where it finds a local
    optimum at best. It refuses the limit 0+, and hard arcs that zeros alone do not settle.

    Arguments:
        optimizer: "lbfgs" or "adam".
        over: "clusters": conditionals along the cluster tree; "joint": all joint states, at most
            2**20, less the impossible ones.
        iterations: at most so many, >= 1; Adam takes them all.
        learning_rate: Adam's first step in each logit, > 0; steps fall to zero as half a cosine.
            L-BFGS does not read it.
        seed: None: start where every conditional is uniform; an integer >= 0: at standard normal
            logits drawn with it.

    Raises:
        ModelError: an option is out of range.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 5, whose baselines these are; there
        calibration is a penalty, here it holds exactly. D. Liu, J. Nocedal, "On the limited memory
        BFGS method for large scale optimization", Mathematical Programming 45, 1989. D. Kingma,
        J. Ba, "Adam", ICLR 2015, arXiv:1412.6980.
    """

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    over: Literal["clusters", "joint"] = "clusters"
    iterations: int = 1500
    learning_rate: float = 0.3
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.optimizer not in ("lbfgs", "adam"):
            raise ModelError(f"optimizer must be 'lbfgs' or 'adam', not {self.optimizer!r}")
        if self.over not in ("clusters", "joint"):
            raise ModelError(f"over must be 'clusters' or 'joint', not {self.over!r}")
        if not (isinstance(self.iterations, Integral) and self.iterations >= 1):
            raise ModelError(f"iterations must be an integer >= 1, not {self.iterations!r}")
        if not (isinstance(self.learning_rate, Real) and 0 < self.learning_rate < math.inf):
            raise ModelError(f"learning_rate must be a number > 0, not {self.learning_rate!r}")
        if not (self.seed is None or (isinstance(self.seed, Integral) and self.seed >= 0)):
            raise ModelError(f"seed must be an integer >= 0 or None, not {self.seed!r}")


def solve_descent(problem: Problem, gamma: float, solver: Descent, budget: Budget) -> Inference:
    """Descend, and bound what was found.

    The bound from below takes the beliefs' own conditionals as dual tables. It is off by the first
    order of their errors where the score is off by the second, so for small gamma the certified
    gap is far wider than the distance to the optimum.

    Beyond the convex regime the gap is infinite. There ``stats["stationarity"]`` says how much, in
    nats, the score could still fall if its concave terms were replaced by their tangents at the
    beliefs, which is zero at stationary points only. ``stats["history"]`` has the seconds and the
    score in nats of each point that was the best until then, and ``stats["evaluations"]`` says how
    many points there were.

    Arguments:
        problem: the compiled problem.
        gamma: the trade-off, in [0, inf).
        solver: the options.
        budget: the deadline is kept to within one evaluation, and there is a line of progress
            every hundred evaluations.

    Raises:
        ModelError: there are hard arcs that zeros alone do not settle, or gamma is out of range.
    """
    score = logit_score(problem, gamma)
    trail = Trail(score, budget)
    stopped = _descend(trail, solver)
    masses = score.masses(np.exp(score.conditional_logs(trail.logits)))
    mu = problem.calibrated(masses)
    beliefs = problem.beliefs(mu)
    inc, idef = problem.measure(mu)
    error = rounding(problem, replace(score.terms.convex, slope=np.abs(score.slope)), mu)
    value = inc + gamma * idef + error
    missing = value - _tangent_bound(score, mu) + error
    convex = not score.terms.weight.any()
    status, message = _judge(missing, budget.tolerance * (1 + abs(value)), convex, stopped)
    return Inference(
        status=status,
        message=message,
        stats={
            "cells": problem.size,
            "treewidth": problem.tree.treewidth,
            "evaluations": trail.evaluations,
            "history": tuple(trail.history),
            "stationarity": missing,
            "seconds": time.perf_counter() - trail.begun,
        },
        gamma=gamma,
        method=f"descent over {solver.over} ({solver.optimizer})",
        inconsistency=value,
        gap=missing if convex else math.inf,
        beliefs=beliefs,
        idef=idef,
        unique=True if convex and gamma > 0 else None,
    )


def joint_tree(variables: Sequence[Variable]) -> ClusterTree:
    """Return the tree of one cluster, with all variables.

    Raises:
        TooLargeError: there are more than 2**20 joint states.
    """
    worlds = math.prod(len(v) for v in variables)
    if worlds > WORLDS:
        raise TooLargeError(
            f"the joint distribution has {worlds:,} states, and descent over it takes at most "
            f'{WORLDS:,}; use Descent(over="clusters")'
        )
    clusters = (tuple(range(len(variables))),) if variables else ()
    return ClusterTree(tuple(variables), clusters, (-1,) * len(clusters))


@dataclass(slots=True, eq=False)
class Trail:
    """A score that remembers the best point it was asked for, and stops when time is up.

    Attributes:
        score: the score.
        budget: deadline and progress.
        begun: when it began, on the clock of ``time.perf_counter``, in seconds.
        evaluations: how many points it was asked for.
        best: the least score so far, nats.
        logits: float64 [N], where that was.
        history: seconds since it began and score in nats, of each point that was the best so far.
    """

    score: LogitScore
    budget: Budget
    begun: float = field(default_factory=time.perf_counter)
    evaluations: int = 0
    best: float = math.inf
    logits: Floats = field(default_factory=lambda: np.zeros(0))
    history: list[tuple[float, float]] = field(default_factory=list)

    def visit(self, logits: Floats) -> tuple[float, Floats]:
        """Return score and gradient, as :meth:`LogitScore.evaluate` does.

        Raises:
            _TimeUp: the deadline has passed; the point counts.
        """
        value, gradient = self.score.evaluate(logits)
        self.evaluations += 1
        if value < self.best:
            self.best, self.logits = value, logits.copy()
            self.history.append((time.perf_counter() - self.begun, value))
        if self.budget.progress and self.evaluations % EVERY == 0:
            line = f"evaluation {self.evaluations}: best score {self.best:.9g} nats"
            self.budget.progress(line)
        if self.budget.spent:
            raise _TimeUp
        return value, gradient


class _TimeUp(Exception):
    pass


def _descend(trail: Trail, solver: Descent) -> Status | None:
    """Run the optimizer; return the status that it ends with where it was stopped."""
    logits = np.zeros(trail.score.problem.size)
    if solver.seed is not None:
        logits = np.random.default_rng(solver.seed).standard_normal(len(logits))
    try:
        if solver.optimizer == "lbfgs":
            _lbfgs(trail, logits, solver.iterations)
        else:
            gamma, slope = trail.score.terms.convex.gamma, trail.score.slope
            unit = max(gamma, float(np.abs(slope).max(initial=0.0))) or 1.0
            _adam(trail, logits, solver.iterations, solver.learning_rate, FLOOR * unit)
    except _TimeUp:
        return Status.TIME_LIMIT
    except KeyboardInterrupt:
        if not trail.history:
            raise
        return Status.INTERRUPTED
    return None


def _lbfgs(trail: Trail, logits: Floats, iterations: int) -> None:
    """Run L-BFGS until its line search finds nothing lower; a fresh start finds no more either."""
    from scipy.optimize import minimize

    options = {"maxcor": MEMORY, "maxiter": iterations, "maxfun": math.inf, "ftol": 0, "gtol": 0}
    minimize(trail.visit, logits, jac=True, method="L-BFGS-B", options=options)


def _adam(trail: Trail, logits: Floats, iterations: int, rate: float, floor: float) -> None:
    """Run Adam with steps that fall from ``rate`` to zero as half a cosine."""
    mean, square = np.zeros_like(logits), np.zeros_like(logits)
    first, second = DECAYS
    for t in range(1, iterations + 1):
        _, gradient = trail.visit(logits)
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient**2
        step = rate * 0.5 * (1 + math.cos(math.pi * (t - 1) / iterations))
        size = np.sqrt(square / (1 - second**t)) + floor
        logits = logits - step * (mean / (1 - first**t)) / size


def _tangent_bound(score: LogitScore, mu: Floats) -> float:
    """Bound from below the score with its concave terms replaced by their tangents at mu.

    Without concave terms this bounds the score itself.
    """
    tangent = majorizer(score.problem, score.terms, floored_logs(score.problem, mu))
    bound = lower_bound(score.problem, tangent, conditional_logs(score.problem, mu))
    return max(bound, 0.0) if tangent.gamma == 0 else bound  # Inc is a sum of divergences


def _judge(
    missing: float, wanted: float, convex: bool, stopped: Status | None
) -> tuple[Status, str]:
    """Say how descent ended, and in a message what that means here."""
    if convex and missing <= wanted:
        return Status.OPTIMAL, ""
    if convex:
        message = (
            f"The certified gap is {missing:.2g} nats, a bound of first order: the optimum can be "
            "much nearer. Try more iterations, or InteriorPoint()."
        )
    else:
        message = (
            "This is one descent, without a bound on the global optimum, for which there is "
            "ConvexConcave(). With its concave terms made linear, the score could still fall by "
            f"up to {missing:.2g} nats."
        )
    if stopped is not None:
        return stopped, message
    if missing > POOR * wanted:
        return Status.INACCURATE, message
    return (Status.NEARLY_OPTIMAL if convex else Status.LOCAL_OPTIMUM), message
