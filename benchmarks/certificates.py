"""How long certificates of cycles take, and their check.

    python -m benchmarks.certificates [--quick]

No other program makes them, so that there is no ratio: the targets are 50 ms for a cycle of
period 2, and 1 s for one of period 26 in the plane.
"""

import sys
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, interleave, median, options, publish, table
from quincunx.solvers.dynamics import Logistic, certify, converges_globally, verify
from quincunx.solvers.dynamics.known import KNOWN

TEXT = """
Medians of {repeats} rounds in which all take turns, in milliseconds. *Certificate*: minimiser,
gamma, existence, period, stability and an attracted ball, from the cycle in doubles; *verify*:
the same again at twice the bits, from the certificate's entries.

{table}

Convergence from every start (1 x 4, -1 x 1): {convergence}.
"""


def main() -> None:
    given = options(__doc__ or "", "three rounds").parse_args()
    repeats = 3 if given.quick else 15
    where = environment(("python-flint", "numpy"))
    works, rows = {}, []
    for name, known in KNOWN.items():
        problem, cycle = known.problem(), known.cycle()
        step = known.step or f"{known.step_of(problem):.12g}"
        proof = certify(problem, step, cycle)
        assert proof.valid, (name, proof.reason)
        works[f"certify {name}"] = lambda p=problem, s=step, c=cycle: certify(p, s, c)
        entries = proof.to_json()
        works[f"verify {name}"] = lambda e=entries: verify(e)
    small = Logistic([1, -1], [4, 1])
    for gamma in ("0.9", "1.9"):
        step = str(float(gamma) / small.sharpness)[:12]
        works[f"gamma {gamma}"] = lambda s=step: converges_globally(small, s)
    times = {k: 1e3 * median(v) for k, v in interleave(works, repeats).items()}
    for name, known in KNOWN.items():
        rows.append(
            [
                name,
                known.period,
                f"{times[f'certify {name}']:.1f}",
                f"{times[f'verify {name}']:.1f}",
                50 if known.period == 2 else 1000,
            ]
        )
    head = ["cycle", "period", "certificate", "verify", "target"]
    convergence = ", ".join(f"{times[k]:.1f} ms at {k}" for k in times if k.startswith("gamma"))
    text = TEXT.format(repeats=repeats, table=table(head, rows), convergence=convergence)
    publish("certificates", "Certificates of cycles", given, where, [text], {"milliseconds": times})
    print(text)


if __name__ == "__main__":
    main()
