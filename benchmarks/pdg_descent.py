"""PDG inference: the best score at each time, by ours and by L-BFGS and Adam.

    python -m benchmarks.pdg_descent [--quick] [--note TEXT]

Writes ``benchmarks/results/pdg-descent.md`` and ``.json`` and ``docs/pictures/pdg-descent.svg``, or
with ``--quick`` all three to ``benchmarks/results/pdg-descent-quick``. Needs the extra plots.
"""

import argparse
import os
import sys
from pathlib import Path

# A second thread of linear algebra on matrices of ten columns only waits for the first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import _pdg_descent as descent
from benchmarks import _pdg_descent_plot as plot
from benchmarks._harness import RESULTS, ROOT, describe, environment, write_results

TEXT = """
# The best score at each time: ours against L-BFGS and Adam

Made by `python -m benchmarks.pdg_descent{quick}`.

{where}

The comparison of the paper (Richardson, Halpern, De Sa, UAI 2023, Section 5) on {graphs} random
graphs a setting, of the paper's 300: *joint*, 5 to 9 variables and 7 to 14 arcs among any of them;
*cluster*, 8 to 32 variables and 8 to 120 arcs within the cliques of a random k-tree, k from 1 to 4.
Variables have 2 or 3 states, and alpha = beta = 1.

*Ours* is `quincunx.infer(pdg, gamma=...)` with its default solver, which at gamma = 1 is
sum-product. It has a score only when it ends, so it is run at tolerances 1e-2, 1e-4, 1e-6 and
1e-8, each from the start; *ours, s* is the median time at 1e-8, the default.

*L-BFGS* and *Adam* are `quincunx.Descent`: exactly calibrated by construction, with analytic
gradients, over the same cluster trees or over the joint distribution, {seconds:g} s a run or until
nothing improves. Adam is run with learning rates 0.1 and 0.3 and 1,500 and 10,000 iterations, and
shown with the best of the four at each time, as if that were known beforehand. Every method is
timed from the call of `infer`, cluster tree included, on one thread.

A *gap* is the score less the best that any method found on that graph, in nats, medians over
graphs; below {floor:g} it is shown as that. *Ahead* counts graphs on which the peer's last score
is below ours by more than the 1e-8 that ours was asked for.

{table}

![Gaps against time]({picture})

Medians over graphs, with the quartiles shaded; a line begins when half the graphs have a score.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few graphs, about a minute")
    parser.add_argument("--note", default="", help="a line about the machine for the results")
    parser.add_argument("--graphs", type=int, default=10, help="of each setting (default 10)")
    parser.add_argument("--seconds", type=float, default=2.0, help="a descent's time (default 2)")
    given = parser.parse_args()
    where = environment(("quincunx", "numpy", "scipy", "clarabel"))
    graphs, seconds = (2, 0.3) if given.quick else (given.graphs, given.seconds)
    gammas = (0.0, 1e-2, 1.0) if given.quick else descent.GAMMAS
    name = "pdg-descent-quick" if given.quick else "pdg-descent"
    picture = (RESULTS if given.quick else ROOT / "docs" / "pictures") / f"{name}.svg"

    records = descent.compare(graphs, gammas, seconds, _say)
    curves = descent.quartiles(records)
    markdown = TEXT.format(
        quick=" --quick" * given.quick,
        where=describe(where, given.note),
        graphs=graphs,
        seconds=seconds,
        floor=descent.FLOOR,
        table=descent.gap_table(records),
        picture=os.path.relpath(picture, RESULTS),
    )
    data = {
        "environment": where,
        "note": given.note,
        "seconds": descent.GRID,
        "graphs": [{k: v for k, v in r.items() if k != "gaps"} for r in records],
        "quartiles": [
            {"setting": setting, "gamma": gamma, "method": method, "gaps": gaps.tolist()}
            for (setting, gamma), group in curves.items()
            for method, gaps in group.items()
        ],
    }
    plot.draw(curves, picture)
    write_results(name, markdown.lstrip(), data)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
