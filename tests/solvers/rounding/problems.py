"""Weights and Hessians to try roundings on."""

import numpy as np


def draw(seed, rows, columns, *, rank=None, decay=0.6, dtype=np.float64):
    """Gaussian weights, and a Hessian with falling eigenvalues in a random basis."""
    rng = np.random.default_rng(seed)
    rank = rank or columns
    basis = np.linalg.qr(rng.normal(size=(columns, columns)))[0][:, :rank]
    values = np.arange(1.0, rank + 1) ** -decay
    hessian = (basis * values) @ basis.T
    return rng.normal(size=(rows, columns)).astype(dtype), hessian.astype(dtype)


def coherent(seed, rows, columns, dtype=np.float64):
    """Channels of very different size, some outliers, and heavy tails."""
    rng = np.random.default_rng(seed)
    weights, hessian = draw(seed, rows, columns, decay=1.2)
    size = np.exp(rng.normal(size=columns)) * np.where(rng.random(columns) < 0.03, 10, 1)
    weights = rng.standard_t(4, size=weights.shape) / np.sqrt(size)
    return weights.astype(dtype), (hessian * size[:, None] * size).astype(dtype)


def degenerate(seed, columns):
    """One of many kinds of Hessian that make decompositions fail."""
    rng = np.random.default_rng(seed)
    _, hessian = draw(seed, 1, columns)
    kind = seed % 8
    if kind == 0:  # zero
        return np.zeros((columns, columns))
    if kind == 1:  # dead columns
        dead = rng.random(columns) < 0.5
        return np.where(dead[:, None] | dead, 0.0, hessian)
    if kind == 2:  # one direction
        x = rng.normal(size=columns)
        return np.outer(x, x)
    if kind == 3:  # fewer samples than columns
        x = rng.normal(size=(max(columns // 3, 1), columns))
        return x.T @ x
    if kind == 4:  # scales from 1e-30 to 1e30
        size = 10.0 ** rng.uniform(-15, 15, columns)
        return hessian * size[:, None] * size
    if kind == 5:  # equal columns
        x = np.repeat(rng.normal(size=(columns, 1)), columns, axis=1)
        return x.T @ x
    if kind == 6:  # indefinite by rounding in single precision
        x = rng.normal(size=(columns // 2 + 1, columns)).astype(np.float32)
        return (x.T @ x).astype(np.float64)
    tiny = rng.uniform(1e-300, 1e-290)  # near underflow
    return hessian * tiny
