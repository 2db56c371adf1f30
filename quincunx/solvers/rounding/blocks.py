"""Blocks of columns handed to the compiled loops, where codebook and arrays allow that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx._types import Array
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
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

    def run(
        self, loop: Callable[..., None], start: int, leading: tuple[Any, ...], *trailing: Any
    ) -> None:
        """Call a loop on all rows, on threads."""
        grid = (self.scale, self.zero, self.top, self.points, self.edges)
        arguments = (*leading, *grid, *trailing, start)
        in_rows(lambda first, last: loop(*arguments, first, last), self.arrays[0].shape[0])


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


def padded(block: Array, lanes: int) -> NDArray[Any]:
    """Copy a block [b, b], with zeros to the right until its rows are whole SIMD registers."""
    view = shared(block)
    assert view is not None
    out = np.zeros((view.shape[0], -(-view.shape[1] // lanes) * lanes), view.dtype)
    out[:, : view.shape[1]] = view
    return out
