"""The follow-up: points of equal norm converge below 2/lambda on the line, but not in the plane.

    python examples/dynamics/equal_norms.py [FOLDER]

"Gradient descent on logistic regression: do large step-sizes work with data on the sphere?", 2025,
arXiv:2507.11228. On the line: proofs of convergence from every start, for several balances of 1
and -1 and gamma up to 1.99. In the plane: a certified cycle of points on a circle.
"""

import sys
from pathlib import Path

from quincunx.solvers.dynamics import Logistic, certify, construct, converges_globally, trajectory

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "equal-norms")
folder.mkdir(parents=True, exist_ok=True)

for counts in ((1, 1), (3, 2), (4, 1), (20, 1), (999, 1)):
    problem = Logistic([1, -1], counts)
    for gamma in (0.9, 1.5, 1.9, 1.99):
        proof = converges_globally(problem, f"{gamma / problem.sharpness:.9g}")
        assert proof.valid, (counts, gamma, proof.message)
    proof.save(folder / f"line-{counts[0]}-{counts[1]}.json")
    print(f"1 x {counts[0]}, -1 x {counts[1]}: converges from every start at gamma up to 1.99")

for gamma in (1.7, 1.95):
    found = construct(gamma, 2, family="equal-norm")
    norms = {sum(v * v for v in z) for z in found.problem.exact.points}
    assert len(norms) == 1
    start = [f"{v:.6f}" for v in found.cycle.points[0]]
    proof = certify(found.problem, found.step, found.cycle, start=start)
    assert proof.valid and proof.arrival is not None and proof.gamma.high < 2
    proof.save(folder / f"circle-{gamma}.json")
    print(f"\n{proof}")
    picture = trajectory(found.problem, float(found.step), found.cycle.points[0], iterations=60)
    picture.savefig(folder / f"circle-{gamma}.png", dpi=160)
print(f"\nPictures and certificates are in {folder}.")
