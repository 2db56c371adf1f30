"""Blocks of columns handed to the compiled loops, where codebook and arrays allow that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._types import Array
from quincunx.kernels.select import shared
from quincunx.solvers.rounding.codebooks.grid import Grid
from quincunx.solvers.rounding.problem import Problem

WIDTH = 128  # columns a compiled block: a row's part and its factor stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class GridBlocks:
    """A grid and the working arrays, in the form that compiled loops take.

    Attributes:
        arrays: NumPy views of what each loop reads and writes, [m, n].
        scale: [m].
        zero: [m].
        top: the largest code.
        points: the unit grid's points, or none.
        edges: their midpoints, or none.
    """

    arrays: tuple[NDArray[Any], ...]
    scale: NDArray[Any]
    zero: NDArray[Any]
    top: Any
    points: NDArray[Any]
    edges: NDArray[Any]

    def call(
        self, loop: Callable[..., None], leading: tuple[Any, ...], trailing: tuple[Any, ...]
    ) -> None:
        """Call a loop, with the grid's numbers between its other arguments."""
        loop(*leading, self.scale, self.zero, self.top, self.points, self.edges, *trailing)


def grid_blocks(problem: Problem, *arrays: Array) -> GridBlocks | None:
    """Lay a problem out for compiled loops; None where they do not serve it."""
    grid, views = problem.codebook, [shared(array) for array in arrays]
    if not isinstance(grid, Grid) or any(view is None for view in views):
        return None
    weights = shared(problem.weights)
    assert weights is not None
    kind, rows = weights.dtype, weights.shape[0]

    def each_row(numbers: Any) -> NDArray[Any]:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(numbers, kind).reshape(-1), rows))

    points = grid.points.astype(kind)
    edges = (0.5 * (grid.points[1:] + grid.points[:-1])).astype(kind)
    zero = each_row(0.0 if len(points) else grid.center)
    return GridBlocks(tuple(views), each_row(grid.scale), zero, kind.type(grid.top), points, edges)  # type: ignore[arg-type]


def padded(block: NDArray[Any], lanes: int) -> NDArray[Any]:
    """Copy a block [b, b], with zeros to the right until its rows are whole SIMD registers."""
    out = np.zeros((block.shape[0], -(-block.shape[1] // lanes) * lanes), block.dtype)
    out[:, : block.shape[1]] = block
    return out
