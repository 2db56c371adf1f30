"""The smallest set of arcs whose removal makes the rest of a graph consistent."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from quincunx._errors import ContradictionError, ModelError, SolveError
from quincunx._types import Status
from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG
from quincunx.solvers.infer import check_limits, infer
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arc_terms import arc_terms
from quincunx.solvers.inference.support import clashing, excludes

SHARPER = 0.01  # the certified gap that solves ask for, as a part of the tolerance


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Removal:
    """Arcs whose removal makes the rest consistent, and why fewer do not.

    Attributes:
        arcs: the arcs to remove, in the graph's order; none where the graph is consistent.
        rest: the graph without them; its variables are all still there.
        exact: whether no smaller set does. It is proved by ``conflicts``: each is a set of arcs
            whose inconsistency is certified to be above the tolerance, so one arc of each has to
            go, and no smaller set has an arc of each. If False, more arcs than the search goes to
            had to be removed, of which none can be put back alone, but fewer others might do; or an
            interval of a conflict reaches across the tolerance; or the time was up.
        inconsistency: of the rest, at gamma = 0, in nats: at most the tolerance.
        conflicts: arcs that contradict each other, found on the way.
        solves: how many times :func:`quincunx.infer` was called.
        timed_out: whether the time was up before the search was done. The arcs are the fewest whose
            removal had been found to work by then, and some may not be needed; all of the graph's
            if none had.
    """

    arcs: tuple[Arc, ...]
    rest: PDG
    exact: bool
    inconsistency: float
    conflicts: tuple[tuple[Arc, ...], ...]
    solves: int
    timed_out: bool = False

    def __repr__(self) -> str:
        """Write the arcs in two lines."""
        names = ", ".join(a.name for a in self.arcs) or "nothing"
        kind = "no smaller set does" if self.exact else "a smaller set may do"
        kind += ", the time was up" if self.timed_out else ""
        return (
            f"Remove {names}: {kind} ({self.solves} solves)\n"
            f"  inconsistency of the rest {self.inconsistency:.3g} nats"
        )


def smallest_removal(
    pdg: PDG,
    *,
    tolerance: float = 1e-6,
    most: int = 4,
    time_limit: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Removal:
    """Find the smallest set of arcs without which the others are consistent.

    Consistent means that the inconsistency at gamma = 0 is at most ``tolerance``: one distribution
    fits every table. Every arc counts as one, whatever its confidence. Sets of arcs that contradict
    each other are collected: of each, at least one arc has to go. A smallest set of arcs that has
    one of each is tried; if the rest still contradicts itself, that yields one more such set, and
    if not, no smaller removal exists. Of several smallest sets, those of arcs with much blame are
    tried first.

    Beyond ``most`` arcs the search is greedy: the arc with the largest blame goes until the rest is
    consistent, and what turns out not to have been needed is put back. ``exact`` says which it was.

    Arguments:
        pdg: the graph. It may be a contradiction, of infinite inconsistency.
        tolerance: the largest inconsistency that counts as none, in nats, in (0, 1).
        most: the largest size for which the smallest set is found for certain, >= 0. Every further
            arc can multiply the number of solves.
        time_limit: seconds after which the best removal so far is returned, with ``timed_out``; to
            have one early, the greedy search then comes first. None: no limit.
        progress: called with a line about the work before each solve.

    Raises:
        ModelError: an argument is out of range or not a PDG.
        SolveError: a part of the graph could not be solved: see :func:`infer`.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> reports = {"radio": 0.3, "sky": 0.3, "uncle": 0.9}
        >>> pdg = PDG([Arc([], rain, [1 - p, p], label=name) for name, p in reports.items()])
        >>> removal = smallest_removal(pdg)
        >>> [arc.name for arc in removal.arcs], removal.exact
        (['uncle'], True)

    Reference:
        R. Reiter, "A theory of diagnosis from first principles", Artificial Intelligence 32, 1987
        (diagnoses are the hitting sets of conflicts); A. Ignatiev, A. Previti, M. Liffiton,
        J. Marques-Silva, "Smallest MUS extraction with minimal hitting set dualization", CP 2015
        (the implicit form of the search).
    """
    _check_arguments(pdg, tolerance, most, time_limit)
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    oracle = _Oracle(pdg, tolerance, deadline, progress)
    conflicts: list[frozenset[int]] = []
    try:
        removed, exact = _search(oracle, most, conflicts)
    except _TimeUpError:
        return _removal(oracle, oracle.fewest_removed(), conflicts, exact=False, timed_out=True)
    return _removal(oracle, removed, conflicts, exact)


def _search(
    oracle: "_Oracle", most: int, conflicts: list[frozenset[int]]
) -> tuple[frozenset[int], bool]:
    """Return arcs to remove, and whether that is proved the smallest set; collect conflicts."""
    everything = oracle.everything
    if math.isfinite(oracle.deadline):
        _greedy(oracle, everything)
    order = _by_blame(oracle, everything)
    for size in range(most + 1):
        while (removed := _hitting_set(conflicts, size, order)) is not None:
            if oracle.consistent(everything - removed):
                return removed, all(oracle.surely_inconsistent(c) for c in conflicts)
            conflicts.append(_conflict(oracle, everything - removed))
    return _greedy(oracle, everything), False


class _TimeUpError(Exception):
    """The deadline has passed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Oracle:
    """Says which arcs are consistent, by their places in the graph; remembers what it said."""

    pdg: PDG
    tolerance: float
    deadline: float
    progress: Callable[[str], None] | None
    answers: dict[frozenset[int], Inference] = field(default_factory=dict)

    @property
    def everything(self) -> frozenset[int]:
        return frozenset(range(len(self.pdg.arcs)))

    def solve(self, kept: frozenset[int]) -> Inference:
        if kept not in self.answers:
            self.answers[kept] = self._solved(kept)
        return self.answers[kept]

    def _solved(self, kept: frozenset[int]) -> Inference:
        left = self.deadline - time.perf_counter()
        if left <= 0:
            raise _TimeUpError
        if self.progress:
            done, arcs = len(self.answers), len(self.pdg.arcs)
            self.progress(f"solve {done + 1}, with {len(kept)} of {arcs} arcs")
        rest = PDG([self.pdg.arcs[i] for i in sorted(kept)], self.pdg.variables)
        gap = min(1e-8, SHARPER * self.tolerance)
        limit = left if math.isfinite(left) else None
        try:
            return infer(rest, gamma=0.0, tolerance=gap, time_limit=limit)
        except SolveError as error:
            found = error.solution
            if isinstance(found, Inference) and found.status is Status.TIME_LIMIT:
                raise _TimeUpError from None
            if not isinstance(error, ContradictionError):
                raise
            assert isinstance(found, Inference)
            return found  # of infinite inconsistency, without beliefs

    def fewest_removed(self) -> frozenset[int]:
        """Return the smallest set whose removal was found to work; no arcs at all surely do."""
        kept = (k for k, a in self.answers.items() if a.inconsistency <= self.tolerance)
        return self.everything - max(kept, key=len, default=frozenset())

    def consistent(self, kept: Iterable[int]) -> bool:
        return self.solve(frozenset(kept)).inconsistency <= self.tolerance

    def surely_inconsistent(self, kept: frozenset[int]) -> bool:
        answer = self.solve(kept)
        return answer.inconsistency - answer.gap > self.tolerance


def _hitting_set(
    conflicts: list[frozenset[int]], size: int, order: list[int]
) -> frozenset[int] | None:
    """Return at most ``size`` arcs with one of each conflict, those early in the order first."""
    if not conflicts:
        return frozenset()
    if size == 0:
        return None
    for arc in order:
        if arc in conflicts[0]:
            left = [c for c in conflicts if arc not in c]
            found = _hitting_set(left, size - 1, order)
            if found is not None:
                return found | {arc}
    return None


def _conflict(oracle: _Oracle, kept: frozenset[int]) -> frozenset[int]:
    """Find arcs among an inconsistent set that are inconsistent, and are not without any of them.

    An arc that the optimum fits exactly pulls at nothing, so mostly those with blame contradict
    each other by themselves; one solve says whether they do.
    """
    order = _by_blame(oracle, kept)
    suspects = [i for i in order if _is_suspect(oracle, kept, i)]
    if len(suspects) == len(order) or oracle.consistent(suspects):
        suspects = order
    return frozenset(clashing(suspects, oracle.consistent))


def _is_suspect(oracle: _Oracle, kept: frozenset[int], i: int) -> bool:
    arc = oracle.pdg.arcs[i]
    if math.isinf(arc.beta) or excludes(arc):
        return True
    return _blame(oracle, kept).get(i, 0.0) > oracle.tolerance / (1 + len(kept))


def _by_blame(oracle: _Oracle, kept: frozenset[int]) -> list[int]:
    """Order arcs by blame; where all is a contradiction, by confidence, the least first."""
    blame = _blame(oracle, kept)
    return sorted(kept, key=lambda i: (-blame.get(i, 0.0), oracle.pdg.arcs[i].beta, i))


def _blame(oracle: _Oracle, kept: frozenset[int]) -> dict[int, float]:
    """Return each arc's share of the inconsistency in nats; nothing for a contradiction."""
    answer = oracle.solve(kept)
    if answer.pdg is None or answer.beliefs is None:
        return {}
    terms = zip(sorted(kept), arc_terms(answer.pdg, answer.beliefs), strict=True)
    return {i: t.arc.beta * t.divergence if t.divergence > 0 else 0.0 for i, t in terms}


def _greedy(oracle: _Oracle, everything: frozenset[int]) -> frozenset[int]:
    """Remove the most blamed arcs until the rest is consistent, then put back what can be."""
    removed: list[int] = []
    while not oracle.consistent(everything - set(removed)):
        kept = everything - set(removed)
        suspects = kept if _blame(oracle, kept) else _conflict(oracle, kept)
        removed.append(next(i for i in _by_blame(oracle, kept) if i in suspects))
    for i in tuple(removed):
        if oracle.consistent(everything - set(removed) | {i}):
            removed.remove(i)
    return frozenset(removed)


def _removal(
    oracle: _Oracle,
    removed: frozenset[int],
    conflicts: list[frozenset[int]],
    exact: bool,
    timed_out: bool = False,
) -> Removal:
    arcs = oracle.pdg.arcs
    kept = oracle.everything - removed
    return Removal(
        arcs=tuple(arcs[i] for i in sorted(removed)),
        rest=PDG([arcs[i] for i in sorted(kept)], oracle.pdg.variables),
        exact=exact,
        inconsistency=oracle.solve(kept).inconsistency if kept else 0.0,
        conflicts=tuple(tuple(arcs[i] for i in sorted(c)) for c in conflicts),
        solves=len(oracle.answers),
        timed_out=timed_out,
    )


def _check_arguments(pdg: PDG, tolerance: float, most: int, time_limit: float | None) -> None:
    if not isinstance(pdg, PDG):
        raise ModelError(
            f"smallest_removal takes a PDG, not {type(pdg).__name__}; a Bayesian network or factor "
            "graph alone is consistent"
        )
    check_limits(tolerance, time_limit)
    if not (isinstance(most, int) and most >= 0):
        raise ModelError(f"most must be a whole number >= 0, not {most!r}")
