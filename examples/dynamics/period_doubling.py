"""Claim: at the critical step 2/lambda a sequence of period doublings begins.

    python examples/dynamics/period_doubling.py [FOLDER]

Data: 1 four times, -1 once. Writes a bifurcation diagram, the branches of the first cycles, and
certificates: the minimiser is unstable just beyond 2/lambda, and cycles of 2, 4 and 8 are stable.
"""

import sys
from pathlib import Path

import numpy as np

from quincunx.solvers.dynamics import (
    Logistic,
    bifurcation,
    branches,
    cascade,
    certify,
    find_cycles,
    follow,
    switch,
)

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "period-doubling")
folder.mkdir(parents=True, exist_ok=True)

problem = Logistic([1, -1], [4, 1])
doublings = cascade(problem, doublings=6)
print(f"2/lambda = {problem.critical_step}")
for period, step, gamma in zip(
    doublings.periods, doublings.parameter, doublings.gammas, strict=True
):
    print(f"period {period:2} doubles at step {step:.12f}, gamma {gamma:.13f}")
print("ratios", np.round(doublings.ratios, 4), "tend to Feigenbaum's 4.6692")

steps = np.linspace(1.9, 2.85, 1200) / problem.sharpness
bifurcation(problem, steps).savefig(folder / "bifurcation.png", dpi=160)
lines = [follow(problem, problem.minimizer()[None], 11.0, until=(11, 18))]
for event in doublings.events[:2]:
    points, step = switch(problem, event)
    lines.append(follow(problem, points, step, until=(11, 18)))
branches(*lines).savefig(folder / "branches.png", dpi=160)

beyond = certify(problem, "12.501", problem.minimizer()[None])
print(f"\nat step 12.501 the minimiser is stable: {beyond.stable}")
assert beyond.stable is False and beyond.gamma.low > 2
for number, (period, step) in enumerate(((2, 14), (4, 17), (8, "17.3"))):
    found = find_cycles(problem, float(step), max_period=period, starts=100)
    cycle = next(c for c in found if c.stable)
    proof = certify(problem, step, cycle)
    assert proof.valid and proof.period == period
    proof.save(folder / f"period-{period}.json")
    print(f"{proof}\n" if number == 0 else repr(proof))
print(f"\nPictures and certificates are in {folder}.")
