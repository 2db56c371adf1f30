"""The verb ``path``: how the answer moves as gamma falls from structure to tables."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Solution, Status
from quincunx.graphs.memory import require_memory
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats, Names
from quincunx.graphs.variable import State
from quincunx.solvers.infer import check_limits, raise_if_stopped
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.convex_concave import ConvexConcave, solve_convex_concave
from quincunx.solvers.inference.objective import largest_gamma
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import Problem, compile_problem
from quincunx.solvers.plan import Plan, convex_method, plan

DECADES, EACH = 6, 4  # how far the gammas go down when none are given, in how many steps a decade


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Path(Solution):
    """What :func:`path` returns: one answer a gamma. The status is the least favourable of them.

    Attributes:
        gammas: the gammas answered, falling; None is the limit 0+.
        answers: the answers, one a gamma.
    """

    gammas: tuple[float | None, ...]
    answers: tuple[Inference, ...]

    @property
    def inconsistency(self) -> Floats:
        """The least score at each gamma, in nats: float64 [gammas]."""
        return np.array([answer.inconsistency for answer in self.answers])

    @property
    def gap(self) -> Floats:
        """How far below, in nats, the optimum can lie at each gamma: float64 [gammas]."""
        return np.array([answer.gap for answer in self.answers])

    def query(self, targets: Names, given: Mapping[str, State] | None = None) -> Floats:
        """Return ``p(targets | given)`` at each gamma: float64 [gammas, states of targets...].

        Raises:
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        return np.stack([answer.query(targets, given).values for answer in self.answers])

    def __repr__(self) -> str:
        """Write the path in a few lines."""
        ends = " to ".join(_write(g) for g in (self.gammas[0], self.gammas[-1]))
        first, last = self.answers[0].inconsistency, self.answers[-1].inconsistency
        lines = [
            f"Path of {len(self.gammas)} answers at gamma = {ends}: {self.status.name}",
            f"  inconsistency {first:.10g} to {last:.10g} nats, gaps up to {self.gap.max():.2g}",
        ]
        return "\n".join([*lines, f"  {self.message}"] if self.message else lines)


def path(
    pdg: PDG,
    gammas: Iterable[float | None] | None = None,
    *,
    solver: ConvexConcave | None = None,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    throw: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Follow the optimum along falling gammas, from much structure to tables alone.

    The graph is compiled once, and each answer starts from the one before. Outside the convex
    regime the answers are local optima and say so.

    Arguments:
        pdg: the graph.
        gammas: numbers >= 0, falling; None, for the limit 0+, stands after the positive ones. Left
            out: from the end of the convex regime, or 1 where that is less, down to a millionth of
            it, four a decade, and the limit.
        solver: how to descend outside the convex regime, and the method for convex programs; None:
            as :func:`infer` would choose.
        tolerance: certified gap asked for, in nats, relative to ``1 + |inconsistency|``; in
            (0, 1).
        time_limit: seconds for all of it; None: no limit.
        throw: raise when an answer is inaccurate or the time is up; False: return the answers that
            there are.
        progress: called with a line about the work now and then.

    Returns:
        The answers: see :class:`Path`.

    Raises:
        ModelError: an argument is out of range; or ``gammas`` is left out, and no positive gamma
            is in the convex regime.
        NotConvexError: the limit is asked for and not convex.
        ContradictionError: certainties clash, the inconsistency is infinite; arcs are named.
        TooLargeError: the clusters do not fit into memory.
        SolveError: an answer is inaccurate, or the time was up; ``error.solution`` is the path.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> pdg = PDG([Arc([], rain, [0.7, 0.3]), Arc([], rain, [0.4, 0.6])])
        >>> along = path(pdg, [1.0, 0.1, 0.01, None])
        >>> along.inconsistency.round(4)
        array([0.7765, 0.1641, 0.1023, 0.0954])
        >>> along.query("rain")[:, 1].round(4)
        array([0.3913, 0.4421, 0.4447, 0.445 ])

    Reference:
        O. E. Richardson, J. Y. Halpern, C. De Sa, "Inference for Probabilistic Dependency Graphs",
        UAI 2023, Section 2: the limit, and that optima at small gammas lead to it.
    """
    check_limits(tolerance, time_limit)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    work = _plan(pdg, solver)
    require_memory(work.memory, f"a cluster tree with {sum(work.core.sizes):,} cells")
    problem = compile_problem(work.pdg, work.core)
    asked = _default_gammas(problem) if gammas is None else _checked(gammas)
    answers: list[Inference] = []
    for gamma in asked:
        budget = Budget(tolerance, deadline, _telling(progress, gamma, len(answers), len(asked)))
        answers.append(_follow(work, problem, gamma, budget, answers))
        if answers[-1].status in (Status.TIME_LIMIT, Status.INTERRUPTED):
            break
    worst = max(answers, key=lambda answer: list(Status).index(answer.status))
    message = f"At gamma = {_write(worst.gamma)}: {worst.message}" if worst.message else ""
    found = Path(
        status=worst.status,
        message=message,
        stats={"seconds": sum(answer.stats["seconds"] for answer in answers)},
        gammas=asked[: len(answers)],
        answers=tuple(answers),
    )
    if throw:
        raise_if_stopped(found)
    return found


def _plan(pdg: PDG, solver: ConvexConcave | None) -> Plan:
    if not isinstance(pdg, PDG):
        raise ModelError(
            f"a path is that of a PDG, not of {pdg!r}; a network or factor graph has its own "
            "distribution at every gamma, and its to_pdg() gives a graph"
        )
    if not (solver is None or isinstance(solver, ConvexConcave)):
        raise ModelError(f"solver must be ConvexConcave() or None, not {solver!r}")
    work = plan(pdg, gamma=0.0, solver=solver or ConvexConcave())
    if solver is None:
        solver = ConvexConcave(convex=convex_method(work.core, work.reduced.pdg))
        work = plan(pdg, gamma=0.0, solver=solver)
    return work


def _checked(gammas: Iterable[float | None]) -> tuple[float | None, ...]:
    found: list[float | None] = []
    for gamma in gammas:
        if not (gamma is None or (isinstance(gamma, Real) and 0 <= gamma < math.inf)):
            raise ModelError(f"gammas must be numbers in [0, inf), or None, not {gamma!r}")
        if found and _rank(gamma) >= _rank(found[-1]):
            raise ModelError(
                f"gammas must fall, with None, the limit 0+, after the positive ones; "
                f"{_write(gamma)} comes after {_write(found[-1])}"
            )
        found.append(None if gamma is None else float(gamma))
    if not found:
        raise ModelError("gammas must name at least one gamma; leave them out for a usual grid")
    return tuple(found)


def _rank(gamma: float | None) -> tuple[float, bool]:
    """Order gammas, the limit between 0 and the positive ones."""
    return (gamma or 0.0, gamma is None)


def _default_gammas(problem: Problem) -> tuple[float | None, ...]:
    end = min(1.0, largest_gamma(problem))
    if end == 0:
        raise ModelError(
            "no gamma > 0 is in the convex regime of this graph, as an arc with alpha > 0 has "
            "beta = 0 or says nothing; give gammas, such as [1, 0.1, 0.01], or lower its alpha to 0"
        )
    steps = np.arange(DECADES * EACH + 1) / EACH
    return (*(float(g) for g in end * 10.0**-steps), None)


def _follow(
    work: Plan, problem: Problem, gamma: float | None, budget: Budget, before: list[Inference]
) -> Inference:
    """Answer at one gamma, starting from the last answer before."""
    assert isinstance(work.solver, ConvexConcave)
    start = None
    if before and before[-1].beliefs is not None:
        start = problem.gather(before[-1].beliefs.clusters)
    answer = solve_convex_concave(problem, gamma, work.solver, budget, start)
    return replace(answer, pdg=work.pdg)


def _telling(
    progress: Callable[[str], None] | None, gamma: float | None, done: int, of: int
) -> Callable[[str], None] | None:
    """Put before each line of progress at which gamma it is."""
    if progress is None:
        return None
    tell = progress
    tell(f"gamma = {_write(gamma)}, {done + 1} of {of}")
    return lambda line: tell(f"gamma = {_write(gamma)}, {done + 1} of {of}: {line}")


def _write(gamma: float | None) -> str:
    return "0+" if gamma is None else f"{gamma:.6g}"
