"""Grids: each weight coded by itself, in 1 to 8 bits."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array

MOST_BITS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The 2^bits points ``scale * level``, one code a weight.

    Attributes:
        bits: 1 to 8.
        scale: > 0; a number, or one a row of the weights [m, 1]. None: chosen by the rounding.
        levels: "half-integer", ±1/2, ±3/2, ...: symmetric, without 0; "uniform", ``code - zero``
            for codes 0 to 2^bits - 1, the affine grid of most file formats; "lloyd-max", the
            points of least mean squared error for a standard normal distribution (Lloyd 1982, Max
            1960).
        zero: for "uniform", the code that stands for 0, a number or one a row [m, 1]; by default
            2^(bits - 1).

    Ties go to the even code, as ``round`` does; for "lloyd-max" to the lower.

    >>> import numpy as np
    >>> grid = Grid(2, scale=0.5)
    >>> values, codes = grid.quantize(np.array([[-0.3], [0.1], [9.0]]))
    >>> values.ravel().tolist(), codes.ravel().tolist()
    ([-0.25, 0.25, 0.75], [1, 2, 3])
    """

    bits: int
    scale: Any = None
    levels: Literal["half-integer", "uniform", "lloyd-max"] = "half-integer"
    zero: Any = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ModelError: a field is out of range.
        """
        if self.bits not in range(1, MOST_BITS + 1):
            raise ModelError(f"bits is {self.bits!r}; a grid has 1 to {MOST_BITS}")
        if self.levels not in ("half-integer", "uniform", "lloyd-max"):
            raise ModelError(
                f"levels is {self.levels!r}; choose 'half-integer', 'uniform' or 'lloyd-max'"
            )
        if self.zero is not None and self.levels != "uniform":
            raise ModelError(f"zero is for levels='uniform'; {self.levels} grids have none")
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show what differs from the default, and no arrays."""
        kind = f", levels={self.levels!r}" * (self.levels != "half-integer")
        return f"Grid({self.bits}{describe_scale(self.scale)}{kind})"

    @property
    def tile(self) -> tuple[int, int]:
        """One weight."""
        return (1, 1)

    @property
    def top(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def center(self) -> Any:
        """The code, whole or not, that stands for 0; not for "lloyd-max"."""
        if self.levels == "half-integer":
            return self.top / 2
        return self.zero if self.zero is not None else (self.top + 1) // 2

    @property
    def unit_scale(self) -> float:
        """The scale of least mean squared error for a standard normal distribution."""
        return 1.0 if self.levels == "lloyd-max" else _unit_scale(self.bits, self.levels)

    @property
    def points(self) -> NDArray[np.float64]:
        """The unit grid of a "lloyd-max" grid, ascending [2^bits]; of others, empty."""
        return lloyd_max(self.bits) if self.levels == "lloyd-max" else np.empty(0)

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace weights by the nearest points.

        Arguments:
            x: [N, 1], or [N, c] for c columns at once.
            metric: of no account: a single weight has only one.

        Returns:
            Points and codes (uint8), both of the shape of ``x``.

        Raises:
            ModelError: the scale is None.
        """
        xp: Any = array_namespace(x)
        scale = needed_scale(self)
        if self.levels == "lloyd-max":
            points = xp.asarray(self.points, dtype=x.dtype, device=x.device)
            edges = 0.5 * (points[1:] + points[:-1])
            # "left" counts the edges strictly below: a tie goes to the lower code.
            codes = xp.searchsorted(edges, xp.reshape(x / scale, (-1,)), side="left")
            values = xp.reshape(xp.take(points, codes), x.shape) * scale
            return values, xp.astype(xp.reshape(codes, x.shape), xp.uint8)
        codes = xp.clip(xp.round(x / scale + self.center), 0, self.top)
        return (codes - self.center) * scale, xp.astype(codes, xp.uint8)

    def decode(self, codes: Array, /) -> Array:
        """Return the points of codes, in float32 unless the scale is an array of another type."""
        xp: Any = array_namespace(codes)
        scale = needed_scale(self)
        kind = getattr(scale, "dtype", xp.float32)
        if self.levels == "lloyd-max":
            points = xp.asarray(self.points, dtype=kind, device=codes.device)
            whole = xp.astype(xp.reshape(codes, (-1,)), xp.int64)
            return xp.reshape(xp.take(points, whole), codes.shape) * scale
        return (xp.astype(codes, kind) - self.center) * scale


def spanning(x: Array, bits: int) -> Grid:
    """Return the uniform grid whose ends are each row's least and largest entry, with 0 on it.

    What most quantizers start from: "min-max", asymmetric, one scale and one zero point a row.

    Arguments:
        x: [m, n] weights.
        bits: 1 to 8.
    """
    xp: Any = array_namespace(x)
    low = xp.min(x, axis=1, keepdims=True)
    high = xp.max(x, axis=1, keepdims=True)
    low, high = xp.where(low < 0, low, 0), xp.where(high > 0, high, 0)
    width = high - low
    scale = xp.where(width > 0, width, 1) / ((1 << bits) - 1)
    return Grid(bits, scale=scale, levels="uniform", zero=xp.round(-low / scale))


def check_scale(scale: Any) -> None:
    """Refuse scales that are not positive and finite.

    Raises:
        ModelError: names the value.
    """
    if scale is None:
        return
    numbers = scale if hasattr(scale, "dtype") else np.asarray(scale, dtype=np.float64)
    if getattr(numbers, "ndim", 0) not in (0, 2) or (numbers.ndim and numbers.shape[1] != 1):
        raise ModelError(
            f"scale has shape {numbers.shape}; give a number, or one a row, of shape [m, 1]"
        )
    xp: Any = array_namespace(numbers)
    if not bool(xp.all((numbers > 0) & xp.isfinite(numbers))):
        raise ModelError(
            f"scale is {scale}; scales are positive and finite, or None to have one chosen"
        )


def needed_scale(codebook: Any) -> Any:
    """Return a codebook's scale.

    Raises:
        ModelError: it is None.
    """
    if codebook.scale is None:
        raise ModelError(
            f"{codebook} has no scale yet; give one, as in "
            f"dataclasses.replace(codebook, scale={codebook.unit_scale:.4g}), or take the codebook "
            f"of a Rounding, which has the scale that was chosen"
        )
    scale = codebook.scale
    # A NumPy scalar of double precision would widen single-precision arrays.
    return scale if getattr(scale, "ndim", 0) else float(scale)


def describe_scale(scale: Any) -> str:
    """Write a scale as part of a codebook's representation."""
    if scale is None:
        return ""
    if getattr(scale, "ndim", 0):
        return f", scale=[{scale.shape[0]}, 1]"
    return f", scale={float(scale):.6g}"


@cache
def lloyd_max(bits: int) -> NDArray[np.float64]:
    """Return the 2^bits points that code a standard normal number with least squared error.

    Each point is the mean of its cell, and cells end halfway between points; Newton's method on
    the positive half, whose Jacobian is tridiagonal, from the points of the optimal density for
    many levels, which is normal with variance 3 (Panter and Dite 1951).

    Arguments:
        bits: 1 to 8.

    Returns:
        float64 [2^bits], ascending, antisymmetric.
    """
    from scipy.special import ndtr, ndtri

    half = 1 << (bits - 1)
    points = np.sqrt(3) * ndtri(0.5 + (np.arange(half) + 0.5) / (2 * half))
    for _ in range(60):
        edges = np.concatenate([[0.0], (points[1:] + points[:-1]) / 2, [np.inf]])
        density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
        mass = ndtr(-edges[:-1]) - ndtr(-edges[1:])
        means = (density[:-1] - density[1:]) / mass
        finite = np.where(np.isfinite(edges), edges, 0.0)
        # How a mean moves with its two edges; each inner edge moves by half of either point.
        lower = density[:-1] * (means - finite[:-1]) / mass
        upper = density[1:] * (finite[1:] - means) / mass
        lower[0] = 0.0  # the edge at 0 stays
        jacobian = np.eye(half) - np.diag((lower + upper) / 2)
        jacobian -= np.diag(upper[:-1] / 2, 1) + np.diag(lower[1:] / 2, -1)
        step = np.linalg.solve(jacobian, means - points)
        points = points + step
        if np.max(np.abs(step)) < 1e-14:
            break
    return np.concatenate([-points[::-1], points])


@cache
def _unit_scale(bits: int, levels: str) -> float:
    """Minimise the mean squared error of a uniform grid on N(0, 1) over its scale."""
    from scipy.optimize import minimize_scalar

    unit = replace(Grid(bits, levels=levels), scale=1.0)  # type: ignore[arg-type]
    points = unit.decode(np.arange(1 << bits, dtype=np.uint8)).astype(np.float64)
    start = 4.0 / (1 << bits)
    found = minimize_scalar(
        lambda s: normal_error(points * s), bounds=(start / 4, start * 2), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    return float(found.x)


def normal_error(points: NDArray[np.float64]) -> float:
    """Return the mean squared error of the nearest of ``points``, ascending, on N(0, 1), exactly.

    The integral over each cell of ``(x - p)^2`` with the normal density, in closed form.
    """
    from scipy.special import ndtr

    edges = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
    density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    finite = np.where(np.isfinite(edges), edges, 0.0)
    mass = np.diff(ndtr(edges))
    first = density[:-1] - density[1:]
    second = mass + finite[:-1] * density[:-1] - finite[1:] * density[1:]
    return float(np.sum(second - 2 * points * first + points**2 * mass))
