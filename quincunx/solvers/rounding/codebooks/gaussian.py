"""Codebooks on normal numbers: the mean squared error, and the scales that make it least."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._types import Codebook

VECTORS = 1 << 14  # of the sample for a search; scales are then good to about 1 %, errors to 0.1 %


@dataclass(frozen=True, slots=True)
class Scales:
    """Where a search ended.

    Attributes:
        scale: the best.
        ratio: of a residual, the best; otherwise None.
        error: their mean squared error a weight.
    """

    scale: float
    ratio: float | None
    error: float


def mean_squared_error(codebook: Codebook, *, vectors: int = 1 << 17, seed: int = 0) -> float:
    """Mean squared error a weight of independent standard normal numbers.

    To compare with the least that any code can have, ``D(R) = 2^(-2 R)`` at R bits a weight
    (Cover and Thomas, "Elements of Information Theory", theorem 10.3.2).

    Arguments:
        codebook: with its scale.
        vectors: how many are drawn; the relative standard error of the result is about
            ``1 / sqrt(4 vectors)`` for vectors of eight.
        seed: of the sample.

    Raises:
        ModelError: the scale is None.
    """
    return _error(codebook, _sample(codebook, vectors, seed))


@cache
def best_scales(codebook: Any, *, vectors: int = VECTORS, seed: int = 0) -> Scales:
    """Find the scale, and with it a residual's ratio, of least mean squared error on N(0, 1).

    The error on one sample is minimised: over the logarithm of the scale by Brent's method, or
    over those of both by that of Nelder and Mead. A ratio that is given stays.

    Arguments:
        codebook: its own scale is of no account.
        vectors: the size of the sample.
        seed: of the sample.
    """
    x = _sample(codebook, vectors, seed)
    if getattr(codebook, "ratio", 1.0) is None:
        return _best_pair(codebook, x)
    return _best_single(codebook, x)


def _sample(codebook: Codebook, vectors: int, seed: int) -> NDArray[np.float64]:
    width = codebook.tile[0] * codebook.tile[1]
    return np.random.default_rng(seed).standard_normal((vectors, width))


def _error(codebook: Any, x: NDArray[np.float64]) -> float:
    return float(np.mean((x - codebook.quantize(x)[0]) ** 2))


def _best_single(codebook: Any, x: NDArray[np.float64]) -> Scales:
    from scipy.optimize import minimize_scalar

    def error(log_scale: float) -> float:
        return _error(replace(codebook, scale=float(np.exp(log_scale))), x)

    # The error has one minimum where the codebook neither overflows nor lies idle; find it roughly.
    grid = np.log(2.0) * np.arange(-8.0, 3.5, 0.5)
    start = grid[int(np.argmin([error(g) for g in grid]))]
    found = minimize_scalar(error, bounds=(start - 0.35, start + 0.35), method="bounded")
    return Scales(float(np.exp(found.x)), getattr(codebook, "ratio", None), float(found.fun))


def _best_pair(codebook: Any, x: NDArray[np.float64]) -> Scales:
    from scipy.optimize import minimize

    def error(logs: NDArray[np.float64]) -> float:
        scale, ratio = (float(v) for v in np.exp(logs))
        return _error(replace(codebook, scale=scale, ratio=ratio), x)

    first, second = _best_single(codebook.first, x), _best_single(codebook.second, x)
    # As if what the first leaves were normal.
    start = np.log([first.scale, first.scale / (np.sqrt(first.error) * second.scale)])
    simplex = start + np.array([[0.0, 0.0], [-0.1, 0.0], [0.0, 0.1]])
    found = minimize(
        error,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-9},
    )
    scale, ratio = (float(v) for v in np.exp(found.x))
    return Scales(scale, ratio, float(found.fun))
