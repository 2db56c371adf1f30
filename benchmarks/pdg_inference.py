"""PDG inference: against the formulation of the original, and against junction-tree libraries.

    python -m benchmarks.pdg_inference [--quick] [--note TEXT]

Writes ``benchmarks/results/pdg-inference.md`` and ``.json``, or with ``--quick`` a smaller run to
``pdg-inference-quick``. Needs the extras cvxpy and pgmpy, and pyagrum.
"""

import sys
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import _pdg_networks as networks
from benchmarks import _pdg_programs as programs
from benchmarks._harness import environment, options, publish

PACKAGES = (
    "quincunx",
    "numpy",
    "scipy",
    "clarabel",
    "cvxpy",
    "pgmpy",
    "pyagrum",
)

PROGRAMS = """
## Against the formulation of the original

The same random graphs (treewidth 2, variables of 2 or 3 states, 1.5 arcs a variable, alpha = beta
= 1) and the same solver, Clarabel. *Original*: one cvxpy expression a table entry, as the paper's
public program builds it (`benchmarks/_pdg_original.py`), with our cluster tree handed to it, at
Clarabel's usual tolerances of 1e-8. *Ours*: `quincunx.infer(pdg, gamma=...)` end to end: cluster
tree, compilation, solve, repair, certified gap, and at gamma = 0 whether the optimum is unique. At
0+ the original solves two programs; ours adds a lower bound on IDef. *One matrix, cvxpy*: ours
with cvxpy between it and Clarabel, which separates the vectorised assembly from the direct call.
Times are medians over {seeds} graphs of the median of {runs} runs of ours, the original once
between them; ratios are taken graph by graph.

{table}

*values differ by* compares Inc (at gamma = 0 and 0+) or the score, in nats; *our gap* is certified.

IDef at 0+ on the same graphs: the original freezes conditionals where its first program left next
to no mass, and its second program then meets its equations only within the solver's tolerance.

{idef}

## Growth with the number of variables

Ours alone, median of {seeds} graphs; *slope* is of log time over log n: 1 is linear.

{growth}
"""

NETWORKS = """
## Posteriors of all variables of published networks

No evidence. Each method is given the network in memory (reading files is not timed); from there to
the posteriors of all single variables, which includes triangulation. *Ours* is
`quincunx.infer(network)` and a query a variable; pyAgrum is LazyPropagation with one thread and
with its default; pgmpy VE is one VariableElimination query a variable, which prunes by
d-separation, so prior marginals are its best case; pgmpy BP calibrates once. Medians of up to
{rounds} rounds in which ours and the peer take turns in one process; a ratio above 1 means ours is
faster. A run may take {limit:g} s and a process {memory:g} GiB: *timeout* and *memory* say which
ran out. *cells* are of our cluster tree.

{table}

Largest difference between our posteriors and the peer's:

{difference}
"""


def main() -> None:
    parser = options(__doc__.split("\n")[0], "small sizes, a few minutes")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one run of a peer")
    parser.add_argument("--memory", type=float, default=12.0, help="GiB for a peer's process")
    given = parser.parse_args()
    where = environment(PACKAGES)
    seeds, repeats = (1, 2) if given.quick else (3, 3)
    sizes = (50, 100, 200) if given.quick else (50, 100, 200, 500, 1000)
    names = networks.QUICK[:4] if given.quick else networks.QUICK + networks.LARGE
    limit = min(given.limit, 20.0) if given.quick else given.limit

    compared = programs.compare((10, 20, 50), seeds, repeats, _say)
    grown = programs.grow(sizes, seeds, _say)
    posteriors = networks.compare(names, limit, given.memory, _say)
    sections = [
        PROGRAMS.format(
            seeds=seeds,
            runs=2 * repeats,
            table=programs.compare_table(compared),
            idef=programs.idef_table(compared),
            growth=programs.growth_table(grown),
        ),
        NETWORKS.format(
            rounds=networks.ROUNDS,
            limit=limit,
            memory=given.memory,
            table=networks.networks_table(posteriors),
            difference=networks.difference_table(posteriors),
        ),
    ]
    data = {"programs": compared, "growth": grown, "networks": posteriors}
    title = "Inference in probabilistic dependency graphs"
    publish("pdg_inference", title, given, where, sections, data)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
