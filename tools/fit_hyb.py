"""Fit the table of the trellis code HYB anew: quincunx/kernels/data/hyb.npz.

Run from anywhere: python tools/fit_hyb.py

512 pairs by k-means on pairs of normal numbers, the first of them positive: the sign is a bit of
its own, so that the table covers a half plane, twice as finely as one fitted to the plane. Their
order is of no account, as states are hashed to them; it is that of the first numbers. What was
quantized with a table is read with the same, so it must not change.
"""

from pathlib import Path

import numpy as np
from scipy.cluster.vq import kmeans2

DATA = Path(__file__).parents[1] / "quincunx" / "kernels" / "data" / "hyb.npz"
ENTRIES, SAMPLES, ROUNDS = 512, 1 << 20, 60


def main() -> None:
    pairs = np.random.Generator(np.random.Philox(0)).standard_normal((SAMPLES, 2))
    pairs[:, 0] = np.abs(pairs[:, 0])
    centers, _ = kmeans2(pairs, pairs[:ENTRIES].copy(), iter=ROUNDS, minit="matrix")
    centers = centers[np.lexsort(centers.T[::-1])].astype(np.float16)
    DATA.parent.mkdir(exist_ok=True)
    np.savez(DATA, pairs=centers)
    print(f"{len(centers)} pairs, mean square {np.mean(centers.astype(float) ** 2):.4f}")


if __name__ == "__main__":
    main()
