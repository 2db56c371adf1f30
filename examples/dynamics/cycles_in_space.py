"""Claim: in more than one dimension cycles exist at steps below 1/lambda as well.

    python examples/dynamics/cycles_in_space.py [FOLDER]

For gamma down to 0.01 a data set in the plane, and some in three and five dimensions, with
certificates; and a picture of the basins in the plane.
"""

import sys
from pathlib import Path

from quincunx.solvers.dynamics import basins, certify, construct, write_points

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "cycles-in-space")
folder.mkdir(parents=True, exist_ok=True)

cases = [(gamma, 2) for gamma in (0.01, 0.1, 0.5, 0.9, 1.5)] + [(0.5, 3), (0.5, 5)]
for gamma, dimension in cases:
    found = construct(gamma, dimension)
    start = [f"{v:.2f}" for v in found.cycle.points[0]]
    proof = certify(found.problem, found.step, found.cycle, start=start)
    assert proof.valid and proof.arrival is not None
    assert max(abs(float(end) - gamma) for end in (proof.gamma.low, proof.gamma.high)) < 1e-6
    proof.save(folder / f"gamma-{gamma}-in-{dimension}.json")
    write_points(folder / f"gamma-{gamma}-in-{dimension}.csv", found.problem)
    print(f"{dimension} dimensions: gamma {proof.gamma}, period {proof.period}, proved")
    if (gamma, dimension) == (0.5, 2):
        print(f"\n{proof}\n")
        picture = basins(found.problem, float(found.step), [-3, -3], [3, 3], resolution=120)
        picture.savefig(folder / "basins.png", dpi=160)
print(f"\nPictures, data and certificates are in {folder}.")
