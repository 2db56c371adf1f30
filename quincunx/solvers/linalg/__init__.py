"""Decompositions and transforms that rounding stands on."""

from quincunx.solvers.linalg.orthogonal import (
    BlockDiagonal,
    KroneckerOrthogonal,
    Orthogonal,
    RandomHadamard,
    random_kronecker,
)

__all__ = [
    "BlockDiagonal",
    "KroneckerOrthogonal",
    "Orthogonal",
    "RandomHadamard",
    "random_kronecker",
]
