"""Accuracy of PDG inference: 200 random graphs against programs over the joint distribution.

    python -m benchmarks.pdg_accuracy [--graphs 200]

Writes ``benchmarks/results/pdg-accuracy.md`` and ``.json``. The graphs and the oracle are those of
``tests/solvers/test_oracle.py``. Needs the extra cvxpy.
"""

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import quincunx as q
from benchmarks._harness import describe, environment, median, table, write_results
from tests.oracles import joint_optimum, limit_deficiency
from tests.problems import random_pdg

GAMMAS = {"0": 0.0, "0+": None, "0.1": 0.1, "0.5": 0.5, "largest": "largest"}
HEAD = ("gamma", "graphs", "optimal", "worst error", "median gap", "worst gap", "contradictions")

TEXT = """
# Accuracy of PDG inference

{where}

{graphs} random graphs: 2 to 8 variables of 2 to 4 states, treewidth up to 4, some with zeros, rows
that say nothing, unequal confidences or a hard arc. *Optimal* counts gaps within the default
tolerance of 1e-8 (1 + |value|); *worst error* is the largest difference in nats from a program over
the joint distribution written in cvxpy, whose own errors are about 1e-8; gaps are certified. At
0+ the value is Inc. Graphs for which a gamma is outside the convex regime are left out there.

{table}

IDef at 0+: against the joint program's slope at small gammas, which is good to about 1e-3, the
median difference is {idef_median:.1e} (1 + |IDef|) and the worst {idef_worst:.1e} (1 + |IDef|);
the certified lower bound is below ours by a median of {bound_median:.1e} (1 + |IDef|), at worst
{bound_worst:.1e} (1 + |IDef|).
"""


def measure(seed: int, found: dict[str, list[dict[str, float]]]) -> None:
    pdg = random_pdg(seed)
    end = min((a.beta / a.alpha for a in pdg.arcs if a.alpha > 0), default=1.0)
    for name, asked in GAMMAS.items():
        gamma = min(end, 10.0) if asked == "largest" else asked
        if gamma is not None and gamma > end:
            continue
        answer = q.infer(pdg, gamma=gamma, throw=False)
        row = {"seed": seed, "status": answer.status.name}
        found[name].append(row)
        if answer.beliefs is None:
            continue
        value, _ = joint_optimum(pdg, gamma or 0.0)
        row |= {"error": abs(answer.inconsistency - value), "gap": answer.gap}
        if gamma is None:
            scale = 1 + abs(answer.idef)
            deficiency = limit_deficiency(pdg, value, min(1.0, end))
            row["idef_error"] = abs(answer.idef - deficiency) / scale
            row["idef_slack"] = (answer.idef - answer.idef_lower) / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graphs", type=int, default=200, help="how many (default 200)")
    graphs = parser.parse_args().graphs
    where = environment(("quincunx", "numpy", "clarabel", "cvxpy"))
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    warnings.simplefilter("ignore")
    for seed in range(graphs):
        measure(seed, found)
        print(f"\r{seed + 1} of {graphs}", end="\n" * (seed + 1 == graphs), file=sys.stderr)
    rows = []
    for name, lines in found.items():
        solved = [x for x in lines if "gap" in x]
        rows.append(
            (
                name,
                len(lines),
                sum(x["status"] == "OPTIMAL" for x in lines),
                f"{max(x['error'] for x in solved):.1e}",
                f"{median(x['gap'] for x in solved):.1e}",
                f"{max(x['gap'] for x in solved):.1e}",
                sum(x["status"] == "CONTRADICTION" for x in lines),
            )
        )
    limit = [x for x in found["0+"] if "idef_error" in x]
    text = TEXT.format(
        where=describe(where),
        graphs=graphs,
        table=table(HEAD, rows),
        idef_median=median(x["idef_error"] for x in limit),
        idef_worst=max(x["idef_error"] for x in limit),
        bound_median=median(x["idef_slack"] for x in limit),
        bound_worst=max(x["idef_slack"] for x in limit),
    )
    print(text)
    if graphs == 200:
        write_results("pdg-accuracy", text, {"where": where, "graphs": dict(found)})


if __name__ == "__main__":
    main()
