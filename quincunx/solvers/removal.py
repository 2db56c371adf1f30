"""The smallest set of arcs whose removal makes the rest of a graph consistent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real

from quincunx._errors import ContradictionError, ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG
from quincunx.solvers.infer import infer
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
            interval of a conflict reaches across the tolerance.
        inconsistency: of the rest, at gamma = 0, in nats: at most the tolerance.
        conflicts: arcs that contradict each other, found on the way.
        solves: how many times :func:`quincunx.infer` was called.
    """

    arcs: tuple[Arc, ...]
    rest: PDG
    exact: bool
    inconsistency: float
    conflicts: tuple[tuple[Arc, ...], ...]
    solves: int

    def __repr__(self) -> str:
        """Write the arcs in two lines."""
        names = ", ".join(a.name for a in self.arcs) or "nothing"
        kind = "no smaller set does" if self.exact else "a smaller set may do"
        return (
            f"Remove {names}: {kind} ({self.solves} solves)\n"
            f"  inconsistency of the rest {self.inconsistency:.3g} nats"
        )


def smallest_removal(pdg: PDG, *, tolerance: float = 1e-6, most: int = 4) -> Removal:
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
    _check_arguments(pdg, tolerance, most)
    oracle = _Oracle(pdg, tolerance)
    everything = frozenset(range(len(pdg.arcs)))
    order = _by_blame(oracle, everything)
    conflicts: list[frozenset[int]] = []
    for size in range(most + 1):
        while (removed := _hitting_set(conflicts, size, order)) is not None:
            if oracle.consistent(everything - removed):
                proved = all(oracle.surely_inconsistent(c) for c in conflicts)
                return _removal(oracle, removed, conflicts, proved)
            conflicts.append(_conflict(oracle, everything - removed))
    return _removal(oracle, _greedy(oracle, everything), conflicts, False)


@dataclass(frozen=True, slots=True, eq=False)
class _Oracle:
    """Says which arcs are consistent, by their places in the graph; remembers what it said."""

    pdg: PDG
    tolerance: float
    answers: dict[frozenset[int], Inference] = field(default_factory=dict)

    def solve(self, kept: frozenset[int]) -> Inference:
        if kept not in self.answers:
            rest = PDG([self.pdg.arcs[i] for i in sorted(kept)], self.pdg.variables)
            gap = min(1e-8, SHARPER * self.tolerance)
            try:
                self.answers[kept] = infer(rest, gamma=0.0, tolerance=gap)
            except ContradictionError as error:
                assert isinstance(error.solution, Inference)
                self.answers[kept] = error.solution  # of infinite inconsistency, without beliefs
        return self.answers[kept]

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
    oracle: _Oracle, removed: frozenset[int], conflicts: list[frozenset[int]], exact: bool
) -> Removal:
    arcs = oracle.pdg.arcs
    kept = frozenset(range(len(arcs))) - removed
    return Removal(
        arcs=tuple(arcs[i] for i in sorted(removed)),
        rest=PDG([arcs[i] for i in sorted(kept)], oracle.pdg.variables),
        exact=exact,
        inconsistency=oracle.solve(kept).inconsistency,
        conflicts=tuple(tuple(arcs[i] for i in sorted(c)) for c in conflicts),
        solves=len(oracle.answers),
    )


def _check_arguments(pdg: PDG, tolerance: float, most: int) -> None:
    if not isinstance(pdg, PDG):
        raise ModelError(
            f"smallest_removal takes a PDG, not {type(pdg).__name__}; a Bayesian network or factor "
            "graph alone is consistent"
        )
    if not (isinstance(tolerance, Real) and 0 < tolerance < 1):
        raise ModelError(f"tolerance must be in (0, 1) nats, not {tolerance!r}")
    if not (isinstance(most, int) and most >= 0):
        raise ModelError(f"most must be a whole number >= 0, not {most!r}")
