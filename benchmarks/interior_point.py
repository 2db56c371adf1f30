"""Our interior point over the cluster tree against the same programs in Clarabel.

    python -m benchmarks.interior_point [--quick] [--note TEXT]

Writes ``benchmarks/results/interior-point.md`` and ``.json``, or with ``--quick`` a smaller run to
``interior-point-quick``.
"""

import argparse
import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import quincunx as q
from benchmarks._direct_clarabel import TOLERANCE, solve_directly
from benchmarks._harness import (
    ROOT,
    environment,
    interleave,
    median,
    options,
    publish,
    table,
    timed,
)
from benchmarks._pdg_programs import random_pdg
from quincunx.solvers.inference.convex import solve_convex
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import compile_problem
from quincunx.solvers.inference.stage import Run

PACKAGES = ("quincunx", "numpy", "scipy", "clarabel", "numba")
GAMMAS: tuple[float | None, ...] = (0.3, 1e-3, 0.0, None)
# Variables, treewidth, graphs.
SIZES = ((10, 2, 3), (50, 2, 3), (200, 2, 3), (1000, 2, 3), (50, 4, 3), (200, 4, 1))
QUICK = ((10, 2, 1), (50, 2, 1))
GROWTH = (100, 300, 1000, 3000, 10_000)

TEXT = """
## The same program, two solvers

Random graphs over k-trees (variables of 2 or 3 states, 1.5 arcs a variable, alpha = beta = 1).
Both start from the compiled arrays of the cluster tree. *Clarabel*: the exponential-cone program
assembled and solved with default settings and tolerances of {tolerance:g}; at 0+ two programs, the
second with conditionals frozen. *Ours, whole*: interior point, repair, and a certified gap within
the same tolerance; *solve* is the interior point alone. Times are medians of {runs} rounds in
which both take turns, median over three graphs (one at n = 200, treewidth 4); ratios are
Clarabel's time over ours, whole, per graph. *off by* is how far above ours Clarabel's own optimal
value is, and *gap* what is certified of ours, both in nats. *end to end* is
`quincunx.infer(pdg, gamma=...)`: tree, presolve, compile, solve, certify.

{compared}

## Growth

`quincunx.infer(pdg, gamma=0.1)` end to end, treewidth 2, all variables of 3 states, each in a
fresh process after one small graph; *peak* is the process's largest resident memory. The slope of
log time over log n from {least} to {most} is **{slope:.2f}**.

{growth}
"""


def main() -> None:
    parser = options(__doc__.split("\n")[0], "small sizes, a minute")
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.grow:
        print(json.dumps(_grow_one(given.grow)))
        return
    where = environment(PACKAGES)
    runs = 3
    q.infer(random_pdg(10, 0), gamma=0.3)
    records = []
    for n, width, graphs in QUICK if given.quick else SIZES:
        for gamma in GAMMAS:
            found = [_compare(n, width, seed, gamma, runs) for seed in range(graphs)]
            records.append({"n": n, "width": width, "gamma": _name(gamma), "graphs": found})
            ratio = median(r["clarabel_s"] / r["ours_s"] for r in found)
            print(f"n={n} width={width} gamma={_name(gamma)}: {ratio:.1f}x", file=sys.stderr)
    sizes = (100, 300) if given.quick else GROWTH
    grown = [_grow(n, 2 if n == max(sizes) else 3) for n in sizes]
    logs = np.log([[r["n"], r["seconds"]] for r in grown])
    slope = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    text = TEXT.format(
        tolerance=TOLERANCE,
        runs=runs,
        compared=_compared_table(records),
        least=min(sizes),
        most=max(sizes),
        slope=slope,
        growth=_growth_table(grown),
    )
    data = {"compared": records, "growth": grown, "slope": slope}
    title = "The interior point over the cluster tree"
    publish("interior_point", title, given, where, [text], data)


def _compare(n: int, width: int, seed: int, gamma: float | None, runs: int) -> dict[str, Any]:
    """Time both on one graph, and compare what they found."""
    pdg = random_pdg(n, seed, width)
    plan = q.plan(pdg, gamma=gamma, solver=q.InteriorPoint())
    problem = compile_problem(plan.pdg, plan.tree)
    run = Run(q.InteriorPoint(), Budget(TOLERANCE))
    ours, theirs = (
        partial(solve_convex, problem, gamma, run),
        partial(solve_directly, problem, gamma),
    )
    times = interleave({"ours": ours, "clarabel": theirs}, runs, budget=15.0)
    answer, found = ours(), theirs()
    whole = median(timed(partial(q.infer, pdg, gamma=gamma))[0] for _ in range(runs))
    return {
        "seed": seed,
        "cells": problem.size,
        "ours_s": median(times["ours"]),
        "solve_s": answer.stats["engine_seconds"],
        "clarabel_s": median(times["clarabel"]),
        "infer_s": whole,
        "ours_iterations": sum(answer.stats["iterations"]),
        "clarabel_iterations": found.iterations,
        "clarabel_status": found.status,
        "status": answer.status.name,
        "gap": answer.gap,
        "off": found.value - (answer.inconsistency - answer.gap),
    }


def _grow(n: int, runs: int) -> dict[str, Any]:
    """Solve one graph in fresh processes; keep the median time and the largest memory."""
    command = [sys.executable, "-m", "benchmarks.interior_point", "--grow", str(n)]
    done = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        for _ in range(runs)
    ]
    found = [json.loads(process.stdout) for process in done]
    print(f"growth n={n}: {median(f['seconds'] for f in found):.3f} s", file=sys.stderr)
    return {
        **found[0],
        "seconds": median(f["seconds"] for f in found),
        "peak_mb": max(f["peak_mb"] for f in found),
    }


def _grow_one(n: int) -> dict[str, Any]:
    import resource

    pdg = random_pdg(n, 0, 2, (3, 3))
    q.infer(random_pdg(20, 0, 2, (3, 3)), gamma=0.1)
    seconds, answer = timed(lambda: q.infer(pdg, gamma=0.1))
    return {
        "n": n,
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "iterations": sum(answer.stats["iterations"]),
        "gap": answer.gap,
        "inconsistency": answer.inconsistency,
        "status": answer.status.name,
    }


def _compared_table(records: list[dict[str, Any]]) -> str:
    head = (
        "n, treewidth",
        "gamma",
        "Clarabel (s)",
        "iterations",
        "ours, whole (s)",
        "solve (s)",
        "iterations",
        "ratio",
        "least ratio",
        "off by",
        "gap",
        "end to end (s)",
    )
    rows = []
    for r in records:
        graphs = r["graphs"]
        ratios = [g["clarabel_s"] / g["ours_s"] for g in graphs]
        failed = sum(any(w != "Solved" for w in g["clarabel_status"].split(", ")) for g in graphs)
        rows.append(
            (
                f"{r['n']}, {r['width']}",
                r["gamma"],
                _seconds(g["clarabel_s"] for g in graphs)
                + (f" ({failed} not solved)" if failed else ""),
                f"{median(g['clarabel_iterations'] for g in graphs):.0f}",
                _seconds(g["ours_s"] for g in graphs),
                _seconds(g["solve_s"] for g in graphs),
                f"{median(g['ours_iterations'] for g in graphs):.0f}",
                f"**{median(ratios):.1f}x**",
                f"{min(ratios):.1f}x",
                f"{max((g['off'] for g in graphs), key=abs):.0e}",
                f"{max(g['gap'] for g in graphs):.0e}",
                _seconds(g["infer_s"] for g in graphs),
            )
        )
    return table(head, rows)


def _growth_table(grown: list[dict[str, Any]]) -> str:
    head = ("n", "seconds", "peak (MB)", "iterations", "gap (nats)", "status")
    rows = [
        (
            f"{g['n']:,}",
            f"{g['seconds']:.3f}",
            f"{g['peak_mb']:.0f}",
            g["iterations"],
            f"{g['gap']:.0e}",
            g["status"],
        )
        for g in grown
    ]
    return table(head, rows)


def _seconds(values: Any) -> str:
    found = median(values)
    return f"{found:.4f}" if found < 0.1 or math.isnan(found) else f"{found:.3f}"


def _name(gamma: float | None) -> str:
    return "0+" if gamma is None else f"{gamma:g}"


if __name__ == "__main__":
    main()
