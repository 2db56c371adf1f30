"""The smallest removal: against all subsets, and for errors that were planted."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ModelError
from quincunx.graphs.examples import chest_clinic, weather, weather_clash
from quincunx.solvers import removal as module
from tests.oracles import joint_optimum
from tests.problems import random_pdg

A = q.Variable("A", ["a0", "a1"])
CERTAIN = math.inf
TOLERANCE = 1e-6


def names(removal):
    return [arc.name for arc in removal.arcs]


def smallest_by_trying(pdg):
    """Return the size of the smallest removal, by trying all sets in the order of their size."""
    for size in range(len(pdg.arcs) + 1):
        for gone in itertools.combinations(range(len(pdg.arcs)), size):
            rest = [a for i, a in enumerate(pdg.arcs) if i not in gone]
            answer = q.infer(q.PDG(rest, pdg.variables), gamma=0, throw=False)
            if answer.inconsistency <= TOLERANCE:
                return size
    raise AssertionError("no arcs at all are consistent")


def assert_proved(pdg, removal):
    """Check the conflicts with the joint program, and that nothing smaller has an arc of each."""
    assert joint_optimum(removal.rest, 0.0)[0] < TOLERANCE
    for conflict in removal.conflicts:
        try:
            assert joint_optimum(q.PDG(conflict, pdg.variables), 0.0)[0] > TOLERANCE
        except RuntimeError:  # infeasible: infinite
            pass
    places = [{id(arc) for arc in conflict} for conflict in removal.conflicts]
    arcs = [id(arc) for arc in pdg.arcs]
    for size in range(len(removal.arcs)):
        for few in itertools.combinations(arcs, size):
            assert not all(place.intersection(few) for place in places)


SEEDS = [s for s in range(60) if len(random_pdg(s, most_worlds=40).arcs) <= 7]


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_no_smaller_set_does(seed):
    pdg = random_pdg(seed, most_worlds=40)
    removal = q.smallest_removal(pdg, most=7)
    assert removal.exact
    assert len(removal.arcs) == smallest_by_trying(pdg)
    assert removal.inconsistency <= TOLERANCE
    assert removal.rest.variables == pdg.variables
    assert sorted(map(id, (*removal.arcs, *removal.rest.arcs))) == sorted(map(id, pdg.arcs))
    assert_proved(pdg, removal)


def planted(seed, size, wrong):
    """Draw a tree of variables, state each cpd and each marginal, and some marginals wrongly.

    A wrong marginal contradicts the right one, and alone the cpds above it too, so that removing
    the wrong ones is the only smallest way out.
    """
    rng = np.random.default_rng(seed)
    variables = [q.Variable(f"X{i}", range(int(rng.integers(2, 4)))) for i in range(size)]
    cpds = []
    for i, v in enumerate(variables):
        parents = [variables[int(rng.integers(i))]] if i else []
        shape = [len(p) for p in parents]
        cpds.append(q.Arc(parents, v, rng.dirichlet(np.full(len(v), 2.0), size=shape or None)))
    truth = q.infer(q.BayesianNetwork(cpds))
    right = [q.Arc([], v, truth.query(v).values, label=f"right {v.name}") for v in variables]
    chosen = sorted(rng.choice(size, wrong, replace=False).tolist())
    false = [
        q.Arc([], variables[i], rng.dirichlet(np.ones(len(variables[i]))), label=f"wrong X{i}")
        for i in chosen
    ]
    return q.PDG([*cpds, *right, *false])


@pytest.mark.parametrize("wrong", range(5))
def test_planted_errors_are_found(wrong):
    pdg = planted(wrong, 10, wrong)
    removal = q.smallest_removal(pdg)
    assert removal.exact
    assert names(removal) == [a.name for a in pdg.arcs[20:]]
    # measured 1, 8, 14, 20, 31: two for each conflict of two arcs, and what led to it
    assert removal.solves <= 1 + 10 * wrong


def test_beyond_the_search_it_is_greedy_and_says_so():
    pdg = planted(6, 12, 6)
    removal = q.smallest_removal(pdg, most=2)
    assert not removal.exact
    assert names(removal) == [a.name for a in pdg.arcs[24:]]
    assert "a smaller set may do" in repr(removal)
    for i in range(6):
        back = q.PDG([*removal.rest.arcs, removal.arcs[i]], pdg.variables)
        assert q.infer(back, gamma=0).inconsistency > TOLERANCE


def test_what_greed_took_in_vain_is_put_back():
    """One arc about six bits agrees with one marginal of each, and not with another.

    The arc has the most blame, six times a little, and goes first; once the others are
    gone too, it may come back.
    """
    bits = [q.Variable(f"X{i}", [0, 1]) for i in range(6)]
    wide = q.Arc([], bits, np.full((2,) * 6, 1 / 64), label="wide")
    good = [q.Arc([], v, [0.5, 0.5], label="good") for v in bits]
    bad = [q.Arc([], v, [0.4, 0.6], beta=0.9, label="bad") for v in bits]
    pdg = q.PDG([wide, *good, *bad])
    assert q.infer(pdg, gamma=0).blame().shares[0].arc.name == "wide"
    removal = q.smallest_removal(pdg, most=0)
    assert names(removal) == ["bad"] * 6 and not removal.exact


def test_arcs_without_blame_can_be_part_of_a_conflict():
    """Two firm rows contradict each other so badly that their source state is all but ruled out."""
    rows = [[0.5, 0.5], [0.2, 0.8]], [[0.5, 0.5], [0.8, 0.2]]
    firm = [
        q.Arc(A, q.Variable("B", ["b0", "b1"]), table, beta=1e3, label=name)
        for table, name in zip(rows, ("one", "other"), strict=True)
    ]
    pdg = q.PDG([*firm, q.Arc([], A, [0.5, 0.5], label="prior")])
    blame = q.infer(pdg, gamma=0).blame().by_name
    # measured 7e-9, what the certified gap allows
    assert blame["one"] < 1e-7 and blame["other"] < 1e-7 and blame["prior"] > 0.5
    removal = q.smallest_removal(pdg)
    assert names(removal) == ["prior"] and len(removal.conflicts[0]) == 3
    assert_proved(pdg, removal)


def test_a_contradiction_is_resolved():
    """Three certainties clash, and the forecast stands against what any two of them leave."""
    removal = q.smallest_removal(weather_clash())
    assert removal.exact and len(removal.arcs) == smallest_by_trying(weather_clash()) == 2
    greedy = q.smallest_removal(weather_clash(), most=0)
    assert not greedy.exact and greedy.inconsistency <= TOLERANCE


def test_one_arc_given_twice_is_two_arcs():
    even, odd = q.Arc([], A, [0.5, 0.5], label="even"), q.Arc([], A, [0.1, 0.9], label="odd")
    assert names(q.smallest_removal(q.PDG([odd, even, odd]))) == ["even"]
    assert names(q.smallest_removal(q.PDG([even, odd, even]))) == ["odd"]


def test_what_is_consistent_loses_nothing():
    for pdg in (chest_clinic().to_pdg(), q.PDG([], [A]), q.PDG([q.Arc([], A, None, alpha=0)])):
        removal = q.smallest_removal(pdg)
        assert removal.arcs == () and removal.exact and removal.conflicts == ()
        assert removal.solves == 1 and removal.rest.arcs == pdg.arcs
        assert q.smallest_removal(pdg, most=0).exact
    assert repr(removal).startswith("Remove nothing: no smaller set does")


def removed_in(solves, pdg, monkeypatch):
    """Search on a clock that goes on by a second whenever the search looks at it."""
    clock = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    return q.smallest_removal(pdg, time_limit=solves + 0.5)


def test_when_the_time_is_up_the_best_so_far_is_returned(monkeypatch):
    """Greed finds a way within few solves, and the search then proves it or finds a better one."""
    pdg = planted(3, 10, 3)
    found = [removed_in(solves, pdg, monkeypatch) for solves in (0, 1, 2, 4, 8, 16, 99)]
    assert [r.solves for r in found[:4]] == [0, 1, 2, 4]
    assert names(found[0]) == [a.name for a in pdg.arcs] and found[0].inconsistency == 0
    sizes = [len(r.arcs) for r in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[4] == sizes[-1] == 3
    assert not any(r.exact for r in found[:-1]) and all(r.timed_out for r in found[:-1])
    assert "a smaller set may do, the time was up" in repr(found[4])
    assert found[5].conflicts and not found[0].conflicts
    assert found[-1].exact and not found[-1].timed_out and "time" not in repr(found[-1])
    assert names(found[-1]) == [a.name for a in pdg.arcs[20:]]
    for removal in found:
        assert q.infer(removal.rest, gamma=0).inconsistency <= TOLERANCE
        assert removal.rest.variables == pdg.variables


def test_a_solve_that_the_time_ends_is_no_error(monkeypatch):
    solve, limits = module.infer, []

    def hurried(pdg, **options):
        limits.append(options.pop("time_limit"))
        return solve(pdg, **options, time_limit=1e-3)  # which takes some ten times as long

    monkeypatch.setattr(module, "infer", hurried)
    pdg = random_pdg(15)
    removal = q.smallest_removal(pdg, time_limit=60)
    assert removal.timed_out and removal.solves == 0 and removal.arcs == pdg.arcs
    assert len(limits) == 1 and 0 < limits[0] < 60


def test_progress_tells_each_solve():
    lines = []
    removal = q.smallest_removal(weather(), progress=lines.append)
    assert len(lines) == removal.solves
    assert lines[0] == "solve 1, with 4 of 4 arcs" and lines[1].startswith("solve 2, with ")


def test_the_tolerance_says_what_counts_as_consistent():
    assert len(q.smallest_removal(weather()).arcs) == 1
    assert q.smallest_removal(weather(), tolerance=0.1).arcs == ()  # 0.0954 nats


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"pdg": chest_clinic()}, "takes a PDG, not BayesianNetwork"),
        ({"tolerance": 0}, "tolerance must be"),
        ({"tolerance": math.nan}, "tolerance must be"),
        ({"time_limit": 0}, "time_limit must be"),
        ({"most": -1}, "most must be"),
        ({"most": 1.5}, "most must be"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(arguments, text):
    with pytest.raises(ModelError, match=text):
        q.smallest_removal(**{"pdg": weather(), **arguments})
