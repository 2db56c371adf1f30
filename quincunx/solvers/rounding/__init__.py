"""Adaptive rounding: weights to points of a codebook, with the least loss of a layer's output."""

from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.balance import balance, constrained
from quincunx.solvers.rounding.codebooks import (
    E8P,
    E81B,
    Grid,
    Residual,
    Trellis,
    mean_squared_error,
)
from quincunx.solvers.rounding.codebooks.grid import spanning
from quincunx.solvers.rounding.gptq import gptq
from quincunx.solvers.rounding.greedy import greedy
from quincunx.solvers.rounding.ldlq import ldlq
from quincunx.solvers.rounding.nearest import nearest, stochastic
from quincunx.solvers.rounding.problem import proxy_loss
from quincunx.solvers.rounding.tiles import decode
from quincunx.solvers.rounding.two_sided import two_sided, two_sided_loss

__all__ = [
    "E8P",
    "E81B",
    "Grid",
    "Residual",
    "Rounding",
    "Trellis",
    "balance",
    "constrained",
    "decode",
    "gptq",
    "greedy",
    "ldlq",
    "mean_squared_error",
    "nearest",
    "proxy_loss",
    "spanning",
    "stochastic",
    "two_sided",
    "two_sided_loss",
]
