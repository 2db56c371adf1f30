"""Accuracy of PDG inference: 1,000 random graphs against programs over the joint distribution.

    python -m benchmarks.pdg_accuracy [--graphs 1000]

Writes ``benchmarks/results/pdg-accuracy.md`` and ``.json``. The graphs and the oracle are those of
``tests/solvers/test_oracle.py``. Needs the extra cvxpy. Takes half an hour.
"""

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import quincunx as q
from benchmarks._harness import describe, environment, median, table, write_results
from tests.oracles import joint_optimum, limit_deficiency
from tests.problems import random_pdg

GAMMAS = {"0": 0.0, "0+": None, "0.1": 0.1, "0.5": 0.5, "largest": "largest"}
METHODS = {"default": None, "InteriorPoint": q.InteriorPoint(), "Conic": q.Conic()}
ORACLE = 2e-7  # relative; what the oracle's value is good to
LIMITS = 200  # graphs on which IDef at 0+ is compared, which takes the oracle four programs
HEAD = (
    "gamma, method",
    "graphs",
    "optimal",
    "worst error",
    "median gap",
    "worst gap",
    "contradictions",
    "intervals apart",
)

TEXT = """
# Accuracy of PDG inference

{where}

{graphs} random graphs: 2 to 8 variables of 2 to 4 states, treewidth up to 4, some with zeros, rows
that say nothing, unequal confidences or a hard arc. *default*: the method that `infer` chooses,
after presolve. *Optimal* counts gaps within the default tolerance of 1e-8 (1 + |value|); *worst
error* is the largest difference in nats from a program over the joint distribution written in
cvxpy, whose own errors are about 1e-8 and at times 1e-7; gaps are certified. *Intervals apart*
counts certified intervals that miss another method's interval, or the oracle's value by more than
{oracle:g} (1 + |value|). At 0+ the value is Inc. Graphs for which a gamma is outside the convex
regime are left out there.

{table}

IDef at 0+, default method, {limits} graphs: against the joint program's slope at small gammas,
which is good to about 1e-3, the median difference is {idef_median:.1e} (1 + |IDef|) and the worst
{idef_worst:.1e} (1 + |IDef|); the certified lower bound is below ours by a median of
{bound_median:.1e} (1 + |IDef|), at worst {bound_worst:.1e} (1 + |IDef|).
"""


def measure(seed: int, found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Answer one graph by every method at every gamma, and ask the oracle."""
    pdg = random_pdg(seed)
    end = min((a.beta / a.alpha for a in pdg.arcs if a.alpha > 0), default=1.0)
    values: dict[float, float] = {}
    for name, asked in GAMMAS.items():
        gamma = min(end, 10.0) if asked == "largest" else asked
        if gamma is not None and gamma > end:
            continue
        answers = {m: q.infer(pdg, gamma=gamma, solver=s, throw=False) for m, s in METHODS.items()}
        for method, answer in answers.items():
            row: dict[str, Any] = {"seed": seed, "status": answer.status.name, "apart": False}
            found[name, method].append(row)
            if answer.beliefs is None:
                continue
            if (gamma or 0.0) not in values:
                values[gamma or 0.0], _ = joint_optimum(pdg, gamma or 0.0)
            value = values[gamma or 0.0]
            row |= {"error": abs(answer.inconsistency - value), "gap": answer.gap}
            slack = ORACLE * (1 + abs(value))
            low, high = answer.inconsistency - answer.gap, answer.inconsistency
            row["apart"] = not low - slack <= value <= high + slack or any(
                low > other.inconsistency or other.inconsistency - other.gap > high
                for other in answers.values()
            )
            if gamma is None and method == "default" and seed < LIMITS:
                scale = 1 + abs(answer.idef)
                deficiency = limit_deficiency(pdg, value, min(1.0, end))
                row["idef_error"] = abs(answer.idef - deficiency) / scale
                row["idef_slack"] = (answer.idef - answer.idef_lower) / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graphs", type=int, default=1000, help="how many (default 1000)")
    graphs = parser.parse_args().graphs
    where = environment(("quincunx", "numpy", "clarabel", "cvxpy", "numba"))
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    warnings.simplefilter("ignore")
    for seed in range(graphs):
        measure(seed, found)
        print(f"\r{seed + 1} of {graphs}", end="\n" * (seed + 1 == graphs), file=sys.stderr)
    rows = []
    for (name, method), lines in found.items():
        solved = [x for x in lines if "gap" in x]
        rows.append(
            (
                f"{name}, {method}",
                len(lines),
                sum(x["status"] == "OPTIMAL" for x in lines),
                f"{max(x['error'] for x in solved):.1e}",
                f"{median(x['gap'] for x in solved):.1e}",
                f"{max(x['gap'] for x in solved):.1e}",
                sum(x["status"] == "CONTRADICTION" for x in lines),
                sum(x["apart"] for x in lines),
            )
        )
    limit = [x for x in found["0+", "default"] if "idef_error" in x]
    text = TEXT.format(
        where=describe(where),
        graphs=graphs,
        oracle=ORACLE,
        limits=len(limit),
        table=table(HEAD, rows),
        idef_median=median(x["idef_error"] for x in limit),
        idef_worst=max(x["idef_error"] for x in limit),
        bound_median=median(x["idef_slack"] for x in limit),
        bound_worst=max(x["idef_slack"] for x in limit),
    )
    print(text)
    if graphs >= 1000:
        rows_kept = {", ".join(key): lines for key, lines in found.items()}
        write_results("pdg-accuracy", text, {"where": where, "graphs": rows_kept})


if __name__ == "__main__":
    main()
