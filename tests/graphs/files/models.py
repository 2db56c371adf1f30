"""Random models for round trips, and a comparison that sees every bit."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from quincunx import PDG, Arc, BayesianNetwork, FactorGraph, Table, Variable

ODD = ["a b", 'say "x"', "naïve", "日本", "a;b", "x=y", "1|2", "(c)", "{d}", "#e", "//f", "g\nh"]
NAMES = st.sampled_from([*"ABCDE", "property", *ODD, "table", "variable: v", " pad ", "'", "a,b"])
PLAIN = st.sampled_from(["A", "B", "C d", "naïve", "日本", "Asy/Patch", "<5", "property", "(c)"])
TEXT = st.one_of(NAMES, st.text(min_size=1, max_size=4))
STATES = st.one_of(TEXT, st.integers(), st.booleans(), st.floats(allow_nan=False))


def variables(names: st.SearchStrategy[str], states: st.SearchStrategy, least: int = 1):
    def lists(known: list[str]):
        return st.tuples(
            *(
                st.builds(
                    Variable,
                    st.just(name),
                    st.lists(states, min_size=1, max_size=3, unique_by=(str, lambda state: state)),
                )
                for name in known
            )
        )

    return st.lists(names, min_size=least, max_size=4, unique=True).flatmap(lists)


def rows(draw: st.DrawFn, height: int, width: int, undefined: bool) -> np.ndarray:
    """Rows that sum to one, some of them undefined, some of them with zeros."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    table = generator.random((height, width)) * generator.integers(0, 2, (height, width))
    table[:, 0] += 0.1
    table /= table.sum(axis=1, keepdims=True)
    if undefined:
        table[generator.random(height) < 0.3] = np.nan
    return table


CONFIDENCE = st.sampled_from([0.0, 0.1, 1.0, 2.5, 1e-300, 1e300])


@st.composite
def pdgs(draw: st.DrawFn, names=TEXT, states=STATES) -> PDG:
    known = draw(variables(names, states))
    arcs = []
    for _ in range(draw(st.integers(0, 3))):
        scope = draw(st.permutations(known))[: draw(st.integers(1, len(known)))]
        cut = draw(st.integers(0, len(scope) - 1))
        shape = [len(v) for v in scope]
        table = None
        if draw(st.booleans()):
            height = int(np.prod(shape[:cut], dtype=int))
            width = int(np.prod(shape[cut:], dtype=int))
            table = rows(draw, height, width, True).reshape(shape)
        beta = draw(st.one_of(CONFIDENCE, st.just(float("inf"))))
        alpha = draw(st.one_of(CONFIDENCE, st.just(-0.25)))
        label = draw(st.one_of(st.none(), st.text(max_size=3), names))
        arcs.append(Arc(scope[:cut], scope[cut:], table, alpha, beta, label))
    return PDG(arcs, known)


@st.composite
def networks(draw: st.DrawFn, names=TEXT, states=TEXT) -> BayesianNetwork:
    known = draw(variables(names, states))
    arcs = []
    for place, child in enumerate(known):
        count = draw(st.integers(0, min(place, 2)))
        parents = draw(st.permutations(known[:place]))[:count]
        shape = [len(v) for v in (*parents, child)]
        height = int(np.prod(shape[:-1], dtype=int))
        arcs.append(Arc(parents, child, rows(draw, height, len(child), False).reshape(shape)))
    return BayesianNetwork(draw(st.permutations(arcs)), known)


@st.composite
def factor_graphs(draw: st.DrawFn, names=TEXT, states=STATES) -> FactorGraph:
    known = draw(variables(names, states))
    tables = []
    for _ in range(draw(st.integers(0, 3))):
        scope = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
        shape = [len(v) for v in scope]
        size = int(np.prod(shape, dtype=int))
        values = st.lists(st.floats(0, 1e9), min_size=size, max_size=size)
        tables.append(Table(scope, 1e-3 + np.array(draw(values)).reshape(shape)))
    weights = draw(st.lists(CONFIDENCE, min_size=len(tables), max_size=len(tables)))
    return FactorGraph(tables, weights, known)


def same(one: object, other: object) -> bool:
    """Whether two models are equal to the last bit, the kinds of states included."""
    if type(one) is not type(other) or not isinstance(one, PDG | BayesianNetwork | FactorGraph):
        return False
    kinds = [[[type(s) for s in v.states] for v in m.variables] for m in (one, other)]
    if one.variables != other.variables or kinds[0] != kinds[1]:
        return False
    if isinstance(one, FactorGraph):
        return one.weights == other.weights and all(
            a.variables == b.variables and a.values.tobytes() == b.values.tobytes()
            for a, b in zip(one.factors, other.factors, strict=True)
        )
    return one.arcs == other.arcs
