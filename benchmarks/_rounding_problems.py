"""Synthetic layers: Hessians with falling eigenvalues, and weights, benign and not."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CASES = ("incoherent, 256", "coherent, 256", "coherent, 512")


def spectrum(rng: np.random.Generator, n: int) -> Floats:
    """Return [n, n] with n / 2 eigenvalues that fall like ``i^-1.2`` in a random basis."""
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0][:, : n // 2]
    return (basis * np.arange(1.0, n // 2 + 1) ** -1.2) @ basis.T


def layer(case: str, seed: int, rows: int = 64) -> tuple[Floats, Floats]:
    """Return W [rows, n] and H [n, n].

    H has n / 2 eigenvalues that fall like ``i^-1.2`` in a random basis, and 1 % of its mean
    diagonal added. *Incoherent*: Gaussian weights. *Coherent*: besides, channels have log-normal
    sizes, one in fifty is ten times as large again, and weights are heavy-tailed (Student's t with
    four degrees of freedom), in channels and outputs of uneven size.
    """
    kind, n = case.split(", ")[0], int(case.split(", ")[1])
    rng = np.random.default_rng([seed, n, kind == "coherent"])
    hessian = spectrum(rng, n)
    weights = rng.normal(size=(rows, n))
    if kind == "coherent":
        size = np.exp(rng.normal(size=n)) * np.where(rng.random(n) < 0.02, 10.0, 1.0)
        hessian = hessian * size[:, None] * size
        weights = rng.standard_t(4, size=(rows, n)) * np.exp(0.5 * rng.normal(size=(rows, 1)))
        weights *= np.exp(0.3 * rng.normal(size=n))
    return weights, hessian + 0.01 * np.trace(hessian) / n * np.eye(n)
