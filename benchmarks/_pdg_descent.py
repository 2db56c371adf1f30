"""The random graphs of the paper, and the best score that each method has found at each time."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import quincunx as q
from benchmarks._harness import median, table, timed

GAMMAS = (0.0, 1e-8, 1e-4, 1e-2, 1.0)
TOLERANCES = (1e-2, 1e-4, 1e-6, 1e-8)  # each a run of its own; the last is the default
FLOOR = 1e-12  # scores nearer to each other than this are the same: rounding
GRID = tuple(float(t) for t in np.geomspace(1e-3, 10, 25))  # seconds

OURS = "quincunx.infer"
SETTINGS = ("joint", "cluster")

Curve = list[tuple[float, float]]  # seconds since infer was called, and the score then


def methods(setting: str) -> dict[str, tuple[q.Descent, ...]]:
    """Return the descents, by name; several are tried where options matter."""
    found: dict[str, tuple[q.Descent, ...]] = {}
    for over in ("clusters", "joint") if setting == "joint" else ("clusters",):
        found[f"L-BFGS, {over}"] = (q.Descent("lbfgs", over, iterations=10**6),)
        found[f"Adam, {over}"] = tuple(
            q.Descent("adam", over, iterations=iterations, learning_rate=rate)
            for rate in (0.1, 0.3)
            for iterations in (1500, 10_000)
        )
    return found


def random_graph(setting: str, seed: int) -> q.PDG:
    """Draw a graph as the paper's experiments do: 2 or 3 states a variable, alpha = beta = 1.

    "joint": 5 to 9 variables and 7 to 14 arcs among any of them. "cluster": 8 to 32 variables, and
    8 to 120 arcs, each within a clique of a random k-tree, k from 1 to 4. Arcs have up to 3
    sources and 1 or 2 targets, as far as the clique has members, and rows drawn uniformly from
    [0, 1), then divided by their sums.
    """
    rng = np.random.default_rng([setting == "joint", seed])
    n = int(rng.integers(5, 10) if setting == "joint" else rng.integers(8, 33))
    variables = [q.Variable(f"X{i}", range(k)) for i, k in enumerate(rng.integers(2, 4, size=n))]
    cliques = [list(range(n))]
    arcs = int(rng.integers(7, 15))
    if setting == "cluster":
        k = int(rng.integers(1, 5))
        arcs = int(rng.integers(8, 121))
        cliques = [list(range(k + 1))]
        for v in range(k + 1, n):
            base = rng.choice(cliques[int(rng.integers(len(cliques)))], k, replace=False)
            cliques.append([*map(int, base), v])
    return q.PDG([_random_arc(rng, variables, cliques) for _ in range(arcs)], variables)


def _random_arc(
    rng: np.random.Generator, variables: list[q.Variable], cliques: list[list[int]]
) -> q.Arc:
    clique = cliques[int(rng.integers(len(cliques)))]
    targets = min(int(rng.integers(1, 3)), len(clique))
    sources = min(int(rng.integers(4)), len(clique) - targets)
    chosen = [variables[int(i)] for i in rng.permutation(clique)[: sources + targets]]
    rows = rng.random([len(v) for v in chosen])
    rows /= rows.sum(axis=tuple(range(sources, len(chosen))), keepdims=True)
    return q.Arc(chosen[:sources], chosen[sources:], rows)


def compare(
    graphs: int, gammas: Iterable[float], seconds: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run every method on every graph: one record a setting, gamma and graph.

    Arguments:
        graphs: how many of each setting.
        gammas: the trade-offs.
        seconds: the time that each run of a descent may take.
        say: called with a line about each record.
    """
    records = []
    for setting in SETTINGS:
        for gamma in gammas:
            _warm_up(setting, gamma)
            for seed in range(graphs):
                record = _one(setting, gamma, seed, seconds)
                records.append(record)
                ends = (f"{name} {gap[-1]:.0e}" for name, gap in record["gaps"].items())
                say(
                    f"{setting} {seed}, gamma={gamma:g}: ours in {record['seconds']:.3f} s; gaps "
                    f"at the end: {', '.join(ends)}"
                )
    return records


def _warm_up(setting: str, gamma: float) -> None:
    """Load what is loaded at first use, so that no run is charged for it."""
    pdg = random_graph(setting, 10**6)
    q.infer(pdg, gamma=gamma, throw=False)
    for solvers in methods(setting).values():
        q.infer(pdg, gamma=gamma, solver=solvers[0], time_limit=0.1, throw=False)


def _one(setting: str, gamma: float, seed: int, seconds: float) -> dict[str, Any]:
    pdg = random_graph(setting, seed)
    ours, answer = _staircase(pdg, gamma)
    curves = {OURS: ours}
    for name, solvers in methods(setting).items():
        curves[name] = [p for solver in solvers for p in _descent(pdg, gamma, solver, seconds)]
    best = min(score for curve in curves.values() for _, score in curve)
    return {
        "setting": setting,
        "gamma": gamma,
        "seed": seed,
        "variables": len(pdg.variables),
        "arcs": len(pdg.arcs),
        "cells": sum(q.plan(pdg).tree.sizes),
        "method": answer.method,
        "status": answer.status.name,
        "certified_gap": answer.gap,
        "seconds": ours[-1][0],
        "gaps": {name: _gaps(curve, best) for name, curve in curves.items()},
        "at_our_time": {name: _gap(curve, best, ours[-1][0]) for name, curve in curves.items()},
    }


def _staircase(pdg: q.PDG, gamma: float) -> tuple[Curve, q.Inference]:
    """Run ours at falling tolerances, each from the start."""
    curve = []
    for tolerance in TOLERANCES:
        took, answer = timed(
            lambda t=tolerance: q.infer(pdg, gamma=gamma, tolerance=t, throw=False)
        )
        curve.append((took, pdg.score(answer.beliefs, gamma)))
    return curve, answer


def _descent(pdg: q.PDG, gamma: float, solver: q.Descent, seconds: float) -> Curve:
    """Run a descent once; every point that was its best until then, from the call of infer."""
    took, answer = timed(
        lambda: q.infer(pdg, gamma=gamma, solver=solver, time_limit=seconds, throw=False)
    )
    before = took - answer.stats["seconds"]  # cluster tree and arrays
    return [(before + at, score) for at, score in answer.stats["history"]]


def _gap(curve: Curve, best: float, seconds: float) -> float:
    """Return how far above the best known score a method is after so long; inf: nothing yet."""
    found = min((score for at, score in curve if at <= seconds), default=math.inf)
    return max(found - best, FLOOR)


def _gaps(curve: Curve, best: float) -> list[float]:
    return [_gap(curve, best, t) for t in GRID]


def quartiles(
    records: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, float], dict[str, np.ndarray]]:
    """Return for each setting and gamma, and each method, float64 [3, times]: quartiles of gaps.

    Lower quartile, median, upper quartile over graphs, each a gap that was measured; inf where
    that many graphs have no score yet.
    """
    grouped: dict[tuple[str, float], dict[str, list[list[float]]]] = {}
    for record in records:
        group = grouped.setdefault((record["setting"], record["gamma"]), {})
        for name, gaps in record["gaps"].items():
            group.setdefault(name, []).append(gaps)
    return {
        key: {
            name: np.quantile(np.array(gaps), (0.25, 0.5, 0.75), axis=0, method="higher")
            for name, gaps in group.items()
        }
        for key, group in grouped.items()
    }


def gap_table(records: list[dict[str, Any]]) -> str:
    """Write for each setting and gamma what ours takes, and the peers' median gaps."""
    head = ("setting", "gamma", "method", "ours, s", "ours", "at our time", "at the end", "ahead")
    rows = []
    for setting in SETTINGS:
        for gamma in dict.fromkeys(r["gamma"] for r in records):
            group = [r for r in records if (r["setting"], r["gamma"]) == (setting, gamma)]
            for name in methods(setting):
                rows.append(
                    (
                        setting,
                        f"{gamma:g}",
                        name,
                        f"{median(r['seconds'] for r in group):.4f}",
                        _shown(median(r["at_our_time"][OURS] for r in group)),
                        _shown(median(r["at_our_time"][name] for r in group)),
                        _shown(median(r["gaps"][name][-1] for r in group)),
                        f"{sum(_ahead(r, name) for r in group)} of {len(group)}",
                    )
                )
    return table(head, rows)


def _ahead(record: Mapping[str, Any], name: str) -> bool:
    """Say whether a peer ends lower than ours by more than the tolerance that ours was given."""
    return record["gaps"][OURS][-1] - record["gaps"][name][-1] > TOLERANCES[-1]


def _shown(gap: float) -> str:
    return "no score yet" if math.isinf(gap) else f"{gap:.1e}"
