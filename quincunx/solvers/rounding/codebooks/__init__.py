"""Codebooks: what weights are rounded to."""

from quincunx.solvers.rounding.codebooks.d4 import D4
from quincunx.solvers.rounding.codebooks.e8p import E8P
from quincunx.solvers.rounding.codebooks.e81b import E81B
from quincunx.solvers.rounding.codebooks.gaussian import (
    Scales,
    best_scales,
    mean_squared_error,
)
from quincunx.solvers.rounding.codebooks.grid import Grid
from quincunx.solvers.rounding.codebooks.lattices import E8Lattice, Integer
from quincunx.solvers.rounding.codebooks.residual import Residual
from quincunx.solvers.rounding.codebooks.trellis import Trellis

__all__ = [
    "D4",
    "E8P",
    "E81B",
    "E8Lattice",
    "Grid",
    "Integer",
    "Residual",
    "Scales",
    "Trellis",
    "best_scales",
    "mean_squared_error",
]
