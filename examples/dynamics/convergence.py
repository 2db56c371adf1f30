"""Claim: in one dimension a step below 1/lambda suffices for convergence from every start.

    python examples/dynamics/convergence.py [FOLDER] [PROBLEMS]

Random data sets at gamma up to 1, each with a proof that covers all starts; the same at larger
gamma, where a proof fails on data with a cycle. Separable data have no minimiser, and are told.
"""

import sys
from pathlib import Path

import numpy as np

from quincunx import _errors
from quincunx.solvers.dynamics import Logistic, basins, converges_globally

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "convergence")
folder.mkdir(parents=True, exist_ok=True)
count = int(sys.argv[2]) if len(sys.argv) > 2 else 20

rng = np.random.default_rng(0)
proved = 0
for number in range(count):
    n = int(rng.integers(2, 12))
    sizes = np.round(np.exp(rng.normal(0, 1.5, n)), 3) + 0.001
    signs = np.where(np.arange(n) % 2, 1, -1)
    problem = Logistic(np.round(sizes * signs, 3), rng.integers(1, 50, n))
    gamma = float(rng.uniform(0.3, 1))
    step = f"{gamma / problem.sharpness:.9g}"
    proof = converges_globally(problem, step)
    assert proof.valid, proof.message
    proved += 1
    if number == 0:
        print(proof)
        proof.save(folder / "convergence.json")
print(f"\n{proved} of {count} random data sets at gamma <= 1: proved to converge from every start")

hinge = Logistic([1, -1, 1300], [5100, 4900, 1])
for gamma in (0.99, 1.05, 1.5):
    step = f"{gamma / hinge.sharpness:.9g}"
    proof = converges_globally(hinge, step)
    print(f"1 x 5100, -1 x 4900, 1300 x 1 at gamma {gamma}: {proof.valid}. {proof.message}")
basins(hinge, np.linspace(0.8, 2.1, 131) / hinge.sharpness, -3, 3, resolution=120).savefig(
    folder / "basins.png", dpi=160
)

try:
    Logistic([1, 2, 5]).minimizer()
except _errors.ModelError as error:
    print(f"\nSeparable data: {error}")
print(f"\nPictures and certificates are in {folder}.")
