"""Random dependency graphs of every kind that is allowed, and calls of every kind that is not.

Nothing here uses the library's solvers. A case is drawn from its number alone, so that a failure in
one run is one in every other.
"""

import math
from dataclasses import dataclass

import numpy as np

import quincunx as q

MOST_WORLDS = 300
GAMMAS = (0.0, None, 1e-8, 1e-3, 0.1, 1.0, 5.0)
ALPHAS = (0.0, 0.5, 1.0, 2.0, 50.0, -0.5)
TINY = 1e-12


@dataclass(frozen=True)
class Case:
    """A graph and how it is to be solved."""

    pdg: q.PDG
    gamma: float | None
    solver: object


def draw_case(seed):
    """Draw a valid case: 1 to 9 variables of 1 to 5 states, at most 300 joint states."""
    rng = np.random.default_rng([seed, 1])
    variables = _variables(rng)
    arcs = [_arc(rng, variables) for _ in range(int(rng.integers(0, 2 * len(variables) + 1)))]
    if arcs and rng.random() < 0.2:
        arcs.append(arcs[int(rng.integers(len(arcs)))])
    if arcs and rng.random() < 0.3:
        arcs.append(_beside(rng, arcs[int(rng.integers(len(arcs)))]))
    if rng.random() < 0.25:
        arcs += _certainties(rng, variables)
    arcs = [arcs[int(i)] for i in rng.permutation(len(arcs))]
    gamma = GAMMAS[int(rng.choice(len(GAMMAS), p=[0.2, 0.2, 0.08, 0.14, 0.18, 0.14, 0.06]))]
    return Case(q.PDG(arcs, variables), gamma, _solver(rng, gamma))


def _variables(rng):
    n = int(rng.integers(1, 10))
    while True:
        sizes = [int(k) for k in rng.choice([1, 2, 3, 4, 5], n, p=[0.15, 0.4, 0.25, 0.1, 0.1])]
        if math.prod(sizes) <= MOST_WORLDS:
            return [q.Variable(f"X{i}", range(k)) for i, k in enumerate(sizes)]


def _solver(rng, gamma):
    others = [q.InteriorPoint(), q.Conic(), q.SumProduct()]
    others.append(q.ConvexConcave(starts=1, iterations=20, seed=int(rng.integers(5))))
    if gamma is not None:
        others += [q.Descent(iterations=60), q.Descent("adam", over="joint", iterations=60)]
    return None if rng.random() < 0.7 else others[int(rng.integers(len(others)))]


def _arc(rng, variables):
    n_targets = int(rng.integers(1, min(3, len(variables)) + 1))
    n_sources = int(rng.integers(0, min(3, len(variables) - n_targets) + 1))
    chosen = [variables[int(i)] for i in rng.permutation(len(variables))]
    sources, targets = chosen[:n_sources], chosen[n_sources : n_sources + n_targets]
    alpha = float(rng.choice(ALPHAS, p=[0.3, 0.1, 0.42, 0.1, 0.04, 0.04]))
    if rng.random() < 0.08:
        return q.Arc(sources, targets, None, alpha, _beta(rng))
    return q.Arc(sources, targets, _table(rng, sources, targets), alpha, _beta(rng))


def _beta(rng):
    kind = rng.random()
    if kind < 0.4:
        return 1.0
    if kind < 0.65:
        return float(rng.uniform(0.5, 3))
    if kind < 0.9:
        return float(10 ** rng.uniform(-6, 6))
    return 0.0 if kind < 0.96 else math.inf


def _table(rng, sources, targets):
    n_rows, n_columns = (math.prod(map(len, members)) for members in (sources, targets))
    kind = rng.random()
    if kind < 0.1:  # a function of the sources
        rows = np.eye(n_columns)[rng.integers(n_columns, size=n_rows)]
    else:
        rows = rng.dirichlet(np.full(n_columns, 0.2 if kind < 0.2 else 1.0), n_rows)
        rows = np.maximum(rows, 1e-6)
    if rng.random() < 0.12:
        rows[rng.random(rows.shape) < 0.3] = 0.0
    if rng.random() < 0.1:
        rows[rng.random(rows.shape) < 0.3] = TINY
    rows[rows.sum(axis=1) == 0] = 1.0
    rows = rows / rows.sum(axis=1, keepdims=True)
    if rng.random() < 0.1:
        rows[rng.random(n_rows) < 0.4] = np.nan
    return rows.reshape([len(v) for v in (*sources, *targets)])


def _beside(rng, arc):
    """Draw another arc between the same variables, at times the same numbers or turned axes."""
    sources, targets = arc.sources, arc.targets
    if len(targets) > 1 and rng.random() < 0.3:
        targets = targets[::-1]
        return q.Arc(sources, targets, _table(rng, sources, targets), 0.0, _beta(rng))
    table = arc.table if rng.random() < 0.4 else _table(rng, sources, targets)
    return q.Arc(sources, targets, table, arc.alpha, _beta(rng))


def _certainties(rng, variables):
    """Draw hard arcs: conditionals of one distribution, which agree, or nearly, or not at all."""
    chosen = [variables[int(i)] for i in rng.permutation(len(variables))[:3]]
    shape = [len(v) for v in chosen]
    joint = rng.dirichlet(np.ones(math.prod(shape))).reshape(shape) + 1e-9
    if rng.random() < 0.3 and joint.size > 1:
        joint.ravel()[int(rng.integers(joint.size))] = 0.0
    off = float(rng.choice([0.0, 0.0, TINY, 0.1]))
    arcs = []
    for _ in range(int(rng.integers(1, 4))):
        order = [int(i) for i in rng.permutation(len(chosen))]
        n_sources = int(rng.integers(0, len(order)))
        members = [chosen[i] for i in order]
        rows = joint.transpose(order).reshape(math.prod(shape[i] for i in order[:n_sources]), -1)
        if n_sources + 1 < len(order) and rng.random() < 0.5:  # the last variable summed out
            last = len(members.pop())
            rows = rows.reshape(rows.shape[0], -1, last).sum(axis=2)
        sums = rows.sum(axis=1, keepdims=True)
        rows = np.where(sums > 0, rows / np.where(sums > 0, sums, 1), 1 / rows.shape[1])
        rows = np.maximum(rows + off * rng.standard_normal(rows.shape) * (rows > 0), 0.0)
        rows = np.where(rows.sum(axis=1, keepdims=True) > 0, rows, 1.0)
        rows = rows / rows.sum(axis=1, keepdims=True)
        table = rows.reshape([len(v) for v in members])
        alpha = float(rng.choice([0.0, 1.0]))
        arcs.append(q.Arc(members[:n_sources], members[n_sources:], table, alpha, math.inf))
    return arcs


def draw_mistake(seed):
    """Draw a call that must be refused: its kind, and the call itself, without arguments."""
    rng = np.random.default_rng([seed, 2])
    case = draw_case(seed)
    variables = [*case.pdg.variables, q.Variable("extra", ["a", "b"])]
    pdg = q.PDG(case.pdg.arcs, variables)
    sources = variables[: int(rng.integers(0, min(3, len(variables) - 1)))]
    mistakes = _mistaken_arcs(rng, sources, variables[-1]) | _mistaken_calls(rng, pdg, case.gamma)
    kind = sorted(mistakes)[int(rng.integers(len(mistakes)))]
    return kind, mistakes[kind]


def _mistaken_arcs(rng, sources, target):
    """Return calls that build an arc or a graph with one fault, by what the fault is."""
    shape = [len(v) for v in (*sources, target)]
    good = np.full(shape, 0.5)
    at = tuple(int(rng.integers(n)) for n in shape)

    def with_entry(value):
        table = good.astype(np.result_type(good, value))
        table[at] = value
        return lambda: q.Arc(sources, target, table)

    def arc(table=good, *confidences):
        return lambda: q.Arc(sources, target, table, *confidences)

    other = q.Variable(target.name, ["a", "b", "c"])
    return {
        "an entry below 0": with_entry(-0.5),
        "an entry of -1e-12": with_entry(-TINY),
        "a row off one": with_entry(0.5 + float(10 ** rng.uniform(-5, 3))),
        "an infinite entry": with_entry(math.inf),
        "a NaN in a row": with_entry(math.nan),
        "a complex entry": with_entry(0.5j),
        "a table of words": arc(np.full(shape, "half")),
        "a ragged table": arc([[0.5, 0.5], [1.0]]),
        "a table too large": arc(np.full([*shape[:-1], 3], 1 / 3)),
        "an axis too many": arc(good[None]),
        "a number for a table": arc(1.0),
        "an empty table": arc(np.zeros([*shape[:-1], 0])),
        "beta NaN": arc(good, 1.0, math.nan),
        "beta below 0": arc(good, 1.0, -float(10 ** rng.uniform(-12, 3))),
        "beta -inf": arc(good, 1.0, -math.inf),
        "beta a word": arc(good, 1.0, "much"),
        "beta complex": arc(good, 1.0, 1j),
        "beta a list": arc(good, 1.0, [1.0, 2.0]),
        "beta a huge integer": arc(good, 1.0, -(10**400)),
        "alpha NaN": arc(good, math.nan),
        "alpha infinite": arc(good, math.inf),
        "alpha None": arc(good, None),
        "no target": lambda: q.Arc(sources, [], 1.0),
        "a target twice": lambda: q.Arc(sources, [target, target], None),
        "a source that is a target": lambda: q.Arc(target, target, None),
        "a number for a variable": lambda: q.Arc(sources, 3, None),
        "None for a variable": lambda: q.Arc(sources, [None], None),
        "an unknown name": lambda: q.PDG([q.Arc(sources, "nobody", None)]),
        "a variable with other states": lambda: q.PDG(
            [q.Arc(sources, target, None), q.Arc([], other, None)]
        ),
        "a variable without states": lambda: q.Variable("empty", []),
        "a state twice": lambda: q.Variable("twice", ["a", "a"]),
        "a graph of None": lambda: q.PDG(None),
        "a graph of words": lambda: q.PDG(["arc"]),
    }


def _mistaken_calls(rng, pdg, gamma):
    """Return calls of infer with one argument wrong, by what is wrong."""
    names = [v.name for v in pdg.variables]
    anyone = names[int(rng.integers(len(names)))]

    def call(**arguments):
        return lambda: q.infer(pdg, **({"gamma": gamma} | arguments))

    return {
        "gamma below 0": call(gamma=-float(10 ** rng.uniform(-300, 3))),
        "gamma NaN": call(gamma=math.nan),
        "gamma infinite": call(gamma=math.inf),
        "gamma a word": call(gamma="0.1"),
        "gamma complex": call(gamma=1j),
        "gamma a huge integer": call(gamma=10**400),
        "gamma a list": call(gamma=[0.1]),
        "gamma an array": call(gamma=np.array([0.1, 0.2])),
        "tolerance 0": call(tolerance=0.0),
        "tolerance NaN": call(tolerance=math.nan),
        "tolerance 1": call(tolerance=1),
        "tolerance an array": call(tolerance=np.array([0.1, 0.2])),
        "time_limit 0": call(time_limit=0),
        "time_limit NaN": call(time_limit=math.nan),
        "time_limit below 0": call(time_limit=-1.0),
        "an unknown solver": call(solver="clarabel"),
        "a solver's class": call(solver=q.Conic),
        "a start that is no answer": call(start=pdg),
        "an unknown variable assumed": call(assume={"nobody": 0}),
        "an unknown state assumed": call(assume={anyone: "nothing"}),
        "a list assumed": call(assume=[anyone]),
        "an order without a variable": call(order=names[1:]),
        "an order with one twice": call(order=[*names, anyone]),
        "an order with an unknown name": call(order=[*names[1:], "nobody"]),
        "no model": lambda: q.infer(None, gamma=gamma),
        "an arc for a model": lambda: q.infer(q.Arc([], pdg.variables[0], None), gamma=gamma),
        "descent to the limit": lambda: q.infer(pdg, gamma=None, solver=q.Descent()),
        "no start of descents": lambda: q.ConvexConcave(starts=0),
        "a seed below 0": lambda: q.ConvexConcave(seed=-1),
        "an unknown engine": lambda: q.Conic(engine="simplex"),
        "an unknown optimizer": lambda: q.Descent("newton"),
        "no iterations": lambda: q.Descent(iterations=0),
    }
