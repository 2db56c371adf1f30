"""Independent samples from calibrated clusters, cluster by cluster for all samples at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError, need_extra
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.joining import conditional_rows
from quincunx.graphs.memory import require_memory
from quincunx.graphs.table import Floats
from quincunx.graphs.variable import Variable, find_variable

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Samples:
    """Joint states drawn from a distribution.

    ``samples["rain"]`` is a variable's column: int64 [n], positions in its ``states``.

    Attributes:
        variables: one a column.
        positions: int64 [n, variables], read-only: the position of each state drawn.
    """

    variables: tuple[Variable, ...]
    positions: Ints

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.positions)

    def __getitem__(self, name: str) -> Ints:
        """Return a variable's column, or raise :class:`UnknownNameError`."""
        return self.positions[:, self.variables.index(find_variable(self.variables, name))]

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row a sample (extra ``pgmpy`` brings pandas).

        Columns are categories of the variables' states, all of them and in their order, which is
        what :func:`quincunx.graphs.arc_from_data` reads.
        """
        need_extra("pandas", "pgmpy", "a data frame")
        import pandas as pd

        return pd.DataFrame(
            {
                v.name: pd.Categorical.from_codes(column.tolist(), categories=list(v.states))
                for v, column in zip(self.variables, self.positions.T, strict=True)
            }
        )

    def __repr__(self) -> str:
        """Write the size."""
        return f"{len(self)} samples of {len(self.variables)} variables"


def draw(tree: ClusterTree, clusters: Sequence[Floats], n: int, seed: int) -> Samples:
    """Draw independent joint states from ``prod_C mu_C / prod_sepsets mu_S``.

    Parents first, each cluster is drawn given its sepset by inverting its conditional
    distribution function, for all samples at once; a state of probability 0 is never drawn.

    Arguments:
        tree: the cluster tree.
        clusters: each cluster's marginal, float64 of shape ``tree.shapes[c]``; neighbours agree.
        n: number of samples, >= 0.
        seed: of NumPy's default generator, >= 0.

    Raises:
        ModelError: n or the seed is not a whole number >= 0.
        TooLargeError: the samples do not fit into memory.
    """
    for what, number in (("the number of samples", n), ("the seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise ModelError(f"{what} must be a whole number >= 0, not {number!r}")
    require_memory(8 * n * len(tree.variables), f"{n:,} samples of {len(tree.variables)} variables")
    generator = np.random.default_rng(seed)
    states = np.zeros((len(tree.variables), n), dtype=np.int64)
    for c, shape in enumerate(tree.shapes):
        n_shared = len(tree.parent_axes[c])
        shared, own = tree.clusters[c][:n_shared], tree.clusters[c][n_shared:]
        row = np.zeros(n, dtype=np.int64)
        for v, size in zip(shared, shape, strict=False):
            row = row * size + states[v]
        cumulated = conditional_rows(tree, c, clusters[c]).cumsum(axis=1)
        found = _first_above(cumulated, row, generator.random(n) * cumulated[row, -1])
        for v, positions in zip(own, np.unravel_index(found, shape[n_shared:]), strict=True):
            states[v] = positions
    states.setflags(write=False)
    return Samples(tree.variables, states.T)


def _first_above(cumulated: Floats, row: Ints, level: Floats) -> Ints:
    """Return int64 [n]: the first column of each one's row that exceeds its level, by bisection."""
    low = np.zeros(len(row), dtype=np.int64)
    high = np.full(len(row), cumulated.shape[1] - 1)
    for _ in range((cumulated.shape[1] - 1).bit_length()):
        middle = (low + high) // 2
        beyond = cumulated[row, middle] > level
        high = np.where(beyond, middle, high)
        low = np.where(beyond, low, np.minimum(middle + 1, high))
    return low
