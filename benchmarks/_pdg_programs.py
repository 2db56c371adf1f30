"""Random PDGs solved by ``quincunx.infer`` and by the formulation of the original."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import cvxpy
import numpy as np

import quincunx as q
from benchmarks._harness import median, table, timed
from benchmarks._pdg_original import solve_original

GAMMAS: tuple[float | None, ...] = (0.0, None, 1e-3, 0.3)


def random_pdg(n: int, seed: int, width: int = 2, states: tuple[int, int] = (2, 3)) -> q.PDG:
    """Draw a PDG over a random k-tree, k the treewidth: 1.5 arcs a variable, alpha = beta = 1.

    A random k-tree has n - k cliques. Each gets an arc over all its variables, so that the graph
    is the whole k-tree; the other arcs fall into random cliques and have 0 to 2 sources.
    """
    rng = np.random.default_rng([n, seed])
    variables = [
        q.Variable(f"X{i}", range(k))
        for i, k in enumerate(rng.integers(states[0], states[1] + 1, size=n))
    ]
    cliques = [list(range(width + 1))]
    for v in range(width + 1, n):
        base = rng.choice(cliques[int(rng.integers(len(cliques)))], width, replace=False)
        cliques.append([*map(int, base), v])
    arcs = []
    for a in range(3 * n // 2):
        spans = a < len(cliques)
        clique = cliques[a if spans else int(rng.integers(len(cliques)))]
        *sources, target = (variables[i] for i in rng.permutation(clique))
        sources = sources[: width if spans else int(rng.integers(3))]
        rows = rng.random([len(v) for v in (*sources, target)])
        arcs.append(q.Arc(sources, target, rows / rows.sum(axis=-1, keepdims=True)))
    return q.PDG(arcs, variables)


def compare(
    sizes: Iterable[int], seeds: int, repeats: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Time both formulations in turn on the same graphs: one record a size and gamma.

    The original gets our cluster tree, ready made; ours makes its own within the time measured,
    compiles, solves, and certifies the gap. On each of ``seeds`` graphs the original runs once,
    between ``repeats`` runs of ours before and after.
    """
    records = []
    q.infer(random_pdg(6, 0))
    solve_original(random_pdg(6, 0), q.plan(random_pdg(6, 0)).tree, None)
    for n in sizes:
        for gamma in GAMMAS:
            runs = [_one(n, seed, gamma, repeats) for seed in range(seeds)]
            record = {
                "n": n,
                "gamma": _name(gamma),
                "runs": runs,
                "original_s": median(r["original_s"] for r in runs),
                "solver_share": median(r["original_solver_s"] / r["original_s"] for r in runs),
                "vectorised_s": _median_of_known(r["vectorised_s"] for r in runs),
                "ours_s": median(r["ours_s"] for r in runs),
                "ratio": median(r["original_s"] / r["ours_s"] for r in runs),
                "least_ratio": min(r["original_s"] / r["ours_s"] for r in runs),
                "difference": max(
                    (r["difference"] for r in runs if r["difference"] is not None), default=None
                ),
                "gap": max(r["gap"] for r in runs),
            }
            records.append(record)
            say(
                f"n={n} gamma={_name(gamma)}: {record['original_s']:.2f} s against "
                f"{record['ours_s']:.4f} s, {record['ratio']:.0f}x"
            )
    return records


def _one(n: int, seed: int, gamma: float | None, repeats: int) -> dict[str, Any]:
    pdg = random_pdg(n, seed)
    tree = q.plan(pdg).tree
    ours = [timed(lambda: q.infer(pdg, gamma=gamma, throw=False))[0] for _ in range(repeats)]
    slow, original = timed(lambda: solve_original(pdg, tree, gamma))
    ours += [timed(lambda: q.infer(pdg, gamma=gamma, throw=False))[0] for _ in range(repeats)]
    answer = q.infer(pdg, gamma=gamma, throw=False)
    return {
        "seed": seed,
        "cells": sum(tree.sizes),
        "entries": sum(a.rows.size for a in pdg.arcs),
        "original_s": slow,
        "original_solver_s": original.solver_seconds,
        "original_status": original.statuses,
        "vectorised_s": _vectorised(pdg, gamma),
        "ours_s": median(ours),
        "original_value": original.value,
        "original_idef": original.idef,
        "value": answer.inconsistency,
        "idef": answer.idef if gamma is None else None,
        "idef_lower": answer.idef_lower if gamma is None else None,
        "difference": None
        if original.value is None
        else abs(original.value - answer.inconsistency),
        "gap": answer.gap,
        "status": answer.status.name,
        "iterations": answer.stats.get("iterations"),
    }


def _vectorised(pdg: q.PDG, gamma: float | None) -> float | None:
    """Time our own program, one matrix, through cvxpy; None where cvxpy gives up."""
    work = partial(q.infer, pdg, gamma=gamma, solver=q.Conic("cvxpy"), throw=False)
    try:
        return median(timed(work)[0] for _ in range(3))
    except cvxpy.error.SolverError:
        return None


def grow(sizes: Iterable[int], seeds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Time ours alone on larger graphs: one record a gamma, with the slope of log time."""
    records = []
    for gamma in GAMMAS:
        q.infer(random_pdg(20, 0), gamma=gamma)
        points = []
        for n in sizes:
            runs = []
            for seed in range(seeds):
                pdg = random_pdg(n, seed)
                seconds, answer = timed(lambda p=pdg, g=gamma: q.infer(p, gamma=g, throw=False))
                runs.append(
                    {
                        "seconds": seconds,
                        "gap": answer.gap,
                        "status": answer.status.name,
                        "iterations": sum(answer.stats.get("iterations", [])),
                    }
                )
            points.append({"n": n, "seconds": median(r["seconds"] for r in runs), "runs": runs})
            say(f"growth, gamma={_name(gamma)}: n={n} {points[-1]['seconds']:.3f} s")
        logs = np.log([[p["n"], p["seconds"]] for p in points])
        slope = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
        records.append({"gamma": _name(gamma), "points": points, "slope": slope})
    return records


def compare_table(records: list[dict[str, Any]]) -> str:
    head = (
        "n",
        "gamma",
        "original (s)",
        "of it in Clarabel",
        "one matrix, cvxpy (s)",
        "ours (s)",
        "ratio",
        "least ratio",
        "values differ by",
        "our gap",
    )
    rows = [
        (
            r["n"],
            r["gamma"],
            f"{r['original_s']:.2f}",
            f"{r['solver_share']:.1%}",
            _shown(r["vectorised_s"]),
            f"{r['ours_s']:.4f}",
            f"**{r['ratio']:.0f}x**",
            f"{r['least_ratio']:.0f}x",
            "" if r["difference"] is None else f"{r['difference']:.0e}",
            f"{r['gap']:.0e}",
        )
        for r in records
    ]
    return table(head, rows)


def idef_table(records: list[dict[str, Any]]) -> str:
    head = ("n, graph", "original", "ours", "our certified lower bound", "original below it by")
    rows = [
        (
            f"{r['n']}, {run['seed']}",
            "fails" if run["original_idef"] is None else f"{run['original_idef']:.6f}",
            f"{run['idef']:.6f}",
            f"{run['idef_lower']:.6f}",
            _below(run["original_idef"], run["idef_lower"]),
        )
        for r in records
        for run in r["runs"]
        if run["idef"] is not None
    ]
    return table(head, rows)


def growth_table(records: list[dict[str, Any]]) -> str:
    sizes = [p["n"] for p in records[0]["points"]]
    head = ("gamma", *(f"n = {n} (s)" for n in sizes), "slope", "largest gap", "not optimal")
    rows = []
    for r in records:
        runs = [run for p in r["points"] for run in p["runs"]]
        rows.append(
            (
                r["gamma"],
                *(f"{p['seconds']:.3f}" for p in r["points"]),
                f"{r['slope']:.2f}",
                f"{max(run['gap'] for run in runs):.0e}",
                f"{sum(run['status'] != 'OPTIMAL' for run in runs)} of {len(runs)}",
            )
        )
    return table(head, rows)


def _name(gamma: float | None) -> str:
    return "0+" if gamma is None else f"{gamma:g}"


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [x for x in values if x is not None]
    return median(known) if known else None


def _shown(seconds: float | None) -> str:
    return "fails" if seconds is None else f"{seconds:.3f}"


def _below(value: float | None, bound: float) -> str:
    return "" if value is None or value >= bound else f"{bound - value:.1e}"
