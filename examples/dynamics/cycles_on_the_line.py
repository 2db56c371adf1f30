"""Claim: for every step between 1/lambda and 2/lambda some data set has a stable cycle (1-D).

    python examples/dynamics/cycles_on_the_line.py [FOLDER]

For a list of gamma a data set of each of two families, with a certificate: an enclosure of gamma,
the cycle, its stability, and a start from which gradient descent converges to it.
"""

import sys
from pathlib import Path

from quincunx.solvers.dynamics import certify, cobweb, construct, trajectory

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "cycles-on-the-line")
folder.mkdir(parents=True, exist_ok=True)

for gamma in (1.02, 1.1, 1.5, 1.9, 1.99):
    for family in ("tail", "hinge"):
        found = construct(gamma, family=family)
        start = [f"{found.cycle.points[0, 0]:.3f}"]
        proof = certify(found.problem, found.step, found.cycle, start=start)
        assert proof.valid and proof.arrival is not None
        assert 1 < proof.gamma.low <= proof.gamma.high < 2
        assert max(abs(float(end) - gamma) for end in (proof.gamma.low, proof.gamma.high)) < 1e-6
        proof.save(folder / f"{family}-{gamma}.json")
        n = len(found.problem.points)
        print(f"{family:5} gamma {proof.gamma}, {n} distinct points, period {proof.period}, proved")
        if gamma == 1.5:
            step = float(found.step)
            cobweb(found.problem, step, start[0], cycles=[found.cycle]).savefig(
                folder / f"{family}-cobweb.png", dpi=160
            )
            trajectory(found.problem, step, [2.0], iterations=100).savefig(
                folder / f"{family}-trajectory.png", dpi=160
            )
print(f"\n{proof}\n\nPictures and certificates are in {folder}.")
