"""Logistic regression as a problem of dynamics: loss, derivatives, minimiser, sharpness."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, overload

import numpy as np
from scipy.special import expit

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.dynamics.minimizer import conditioning, in_decimals, in_doubles
from quincunx.solvers.dynamics.rationals import rational, rational_rank
from quincunx.solvers.dynamics.separability import Separability, separability
from quincunx.solvers.dynamics.trapping import trapping_radius

__all__ = ["Exact", "Logistic", "Merged"]


CONDITION = 1e12  # of the second derivative, beyond which doubles are not trusted


@dataclass(frozen=True, slots=True)
class Exact:
    """A problem in exact fractions.

    Attributes:
        points: n distinct rows of d fractions, labels folded in.
        weights: n multiplicities, > 0.
        l2: the L2 term, >= 0.
    """

    points: tuple[tuple[Fraction, ...], ...]
    weights: tuple[Fraction, ...]
    l2: Fraction


@dataclass(frozen=True, slots=True)
class Merged:
    """The gradient with the fewest exponentials: ``sum_k weights_k s(z_k w) z_k - pull + l2 w``.

    A point and its negative share one sigmoid.

    Attributes:
        directions: [k, d], no two equal or opposite; against the side of the greater weight.
        weights: [k], > 0.
        pull: [d].
        l2: >= 0.
    """

    directions: Array
    weights: Array
    pull: Array
    l2: float


@dataclass(frozen=True, eq=False)
class Logistic:
    """The mean logistic loss of points with labels folded in, ``z_i = y_i x_i``.

    ``f(w) = (1/n) sum_i c_i log(1 + exp(-z_i w)) + l2 |w|^2 / 2`` with ``n = sum_i c_i``, and
    gradient descent ``w -> w - step f'(w)``. Equal points are merged. Numbers may be whole, floats,
    fractions, or strings such as "0.1"; proofs take a float for the shortest decimal that gives it.

    Arguments:
        points: [n, d], or [n] in one dimension; no row may be zero.
        multiplicities: [n], > 0, how often each point counts; None: once.
        l2: >= 0.

    Raises:
        ModelError: a number is not finite, a row is zero, or shapes do not fit.

    Example:
        >>> from quincunx.solvers.dynamics import Logistic
        >>> problem = Logistic([1, -1], [4, 1])
        >>> round(float(problem.minimizer()[0]), 9), round(problem.critical_step, 9)
        (1.386294361, 12.5)
    """

    points: Array
    multiplicities: Array = None
    l2: float = 0.0
    exact: Exact = field(init=False, repr=False)

    def __post_init__(self) -> None:
        exact = _exact(self.points, self.multiplicities, self.l2)
        object.__setattr__(self, "exact", exact)
        object.__setattr__(self, "points", np.array(exact.points, dtype=np.float64))
        object.__setattr__(self, "multiplicities", np.array(exact.weights, dtype=np.float64))
        object.__setattr__(self, "l2", float(exact.l2))
        for name in ("points", "multiplicities"):
            getattr(self, name).setflags(write=False)

    @classmethod
    def from_labels(
        cls, X: Array, y: Array, multiplicities: Array = None, l2: float = 0.0
    ) -> Logistic:
        """Make a problem of inputs [n, d] and labels [n], -1 and 1, or 0 and 1.

        Raises:
            ModelError: labels are something else.
        """
        labels = [rational(label, "a label") for label in _sequence(y, "the labels")]
        found = set(labels)
        if not (found <= {-1, 1} or found <= {0, 1}):
            raise ModelError(f"labels are {sorted(map(str, found))}; use -1 and 1, or 0 and 1")
        rows = _rows(X)
        if len(rows) != len(labels):
            raise ModelError(f"there are {len(rows)} points and {len(labels)} labels")
        signs = [1 if label == 1 else -1 for label in labels]
        folded = [[s * v for v in row] for s, row in zip(signs, rows, strict=True)]
        return cls(folded, multiplicities, l2)

    def __repr__(self) -> str:
        """Show sizes."""
        n, d = self.points.shape
        extra = f", l2={self.l2:g}" if self.l2 else ""
        return f"Logistic({n} distinct points in {d} dimensions{extra})"

    @property
    def dimension(self) -> int:
        """Numbers in a point, d."""
        return int(self.points.shape[1])

    @cached_property
    def rank(self) -> int:
        """The rank of the points, exactly; below d gradient descent moves in their span only."""
        return rational_rank(self.exact.points)

    @cached_property
    def merged(self) -> Merged:
        """The problem with one term for a point and its negative."""
        total = sum(self.exact.weights)
        sides: dict[tuple[Fraction, ...], Fraction] = {}
        for z, c in zip(self.exact.points, self.exact.weights, strict=True):
            sides[z] = sides.get(z, Fraction(0)) + c
        ways: dict[tuple[Fraction, ...], None] = {}
        pull = [Fraction(0)] * self.dimension
        for z, c in sides.items():
            opposite = tuple(-v for v in z)
            less = sides.get(opposite, Fraction(0))
            if c < less or (c == less and z in ways):
                continue
            # s(-t) = 1 - s(t) moves a constant into ``pull``: that of the smaller side, so that
            # the tail of an outlier's sigmoid is not the difference of large numbers.
            ways[opposite] = None
            pull = [p + less * v for p, v in zip(pull, opposite, strict=True)]
        both = [sides[tuple(-v for v in way)] + sides.get(way, Fraction(0)) for way in ways]
        return Merged(
            np.array(list(ways), dtype=np.float64),
            np.array([c / total for c in both], dtype=np.float64),
            np.array([p / total for p in pull], dtype=np.float64),
            self.l2,
        )

    def loss(self, w: Array) -> Array:
        """Return f at points [..., d]."""
        w = np.asarray(w, np.float64)
        each = np.logaddexp(0, -(w @ self.points.T)) @ self.multiplicities
        return each / self.multiplicities.sum() + self.l2 / 2 * (w * w).sum(-1)

    def gradient(self, w: Array) -> Array:
        """Return f' [..., d] at points [..., d]."""
        w, merged = np.asarray(w, np.float64), self.merged
        slopes = expit(w @ merged.directions.T) * merged.weights
        return slopes @ merged.directions - merged.pull + self.l2 * w

    def hessian(self, w: Array) -> Array:
        """Return f'' [..., d, d] at points [..., d]."""
        w, merged = np.asarray(w, np.float64), self.merged
        t = w @ merged.directions.T
        # Not p (1 - p), which is 0 where the second factor is rounded away.
        bends = expit(t) * expit(-t) * merged.weights
        found = np.einsum("...k,ki,kj->...ij", bends, merged.directions, merged.directions)
        return found + self.l2 * np.eye(self.dimension)

    def map(self, w: Array, step: Array, /) -> Array:
        """Return where a step of gradient descent goes from points [N, d]."""
        return w - np.reshape(step, (-1, 1)) * self.gradient(w)

    def jacobian(self, w: Array, step: Array, /) -> Array:
        """Return the derivatives [N, d, d] of a step at points [N, d]."""
        return np.eye(self.dimension) - np.reshape(step, (-1, 1, 1)) * self.hessian(w)

    def derivatives(self, w: Array) -> tuple[Array, Array, Array, Array]:
        """Return f', f'', f''' and f'''' in one dimension, at points [N].

        Raises:
            ModelError: there are more dimensions.
        """
        if self.dimension != 1:
            raise ModelError(f"derivatives are numbers in one dimension; here are {self.dimension}")
        w, merged = np.asarray(w, np.float64), self.merged
        z = merged.directions[:, 0]
        t = np.multiply.outer(w, z)
        first, second = expit(t), expit(t) * expit(-t)
        third, fourth = second * (expit(-t) - expit(t)), second * (1 - 6 * second)
        return (
            first @ (merged.weights * z) - merged.pull[0] + self.l2 * w,
            second @ (merged.weights * z**2) + self.l2,
            third @ (merged.weights * z**3),
            fourth @ (merged.weights * z**4),
        )

    @cached_property
    def separability(self) -> Separability:
        """Whether a direction separates the points, with a certificate in fractions."""
        return separability(self.exact.points)

    @overload
    def minimizer(self) -> Array: ...

    @overload
    def minimizer(self, digits: int) -> tuple[Decimal, ...]: ...

    def minimizer(self, digits: int | None = None) -> Any:
        """Return the minimiser: [d] to machine precision, or d decimals to as many digits as asked.

        Where points span less than the space, the minimiser within their span, with a warning.

        Arguments:
            digits: significant ones; None: those of a float.

        Raises:
            ModelError: there is none, as the points are separable; the message has a direction.
        """
        found = self._minimizer
        return found.copy() if digits is None else in_decimals(self.exact, found, digits)

    @cached_property
    def _minimizer(self) -> Array:
        if not self.l2:
            self.separability.refuse()
            if self.rank < self.dimension:
                warnings.warn(
                    f"the points span {self.rank} of {self.dimension} dimensions: the minimiser is "
                    f"the one within their span",
                    stacklevel=4,
                )
        inner = self.within_span()
        found = in_doubles(inner.points, inner.gradient, inner.hessian)
        if conditioning(inner.hessian(found)) > CONDITION:
            # Doubles may have taken a flat direction for none at all.
            found = np.array(in_decimals(inner.exact, np.zeros(inner.dimension), 17), np.float64)
        return self.span @ found if inner is not self else found

    @cached_property
    def sharpness(self) -> float:
        """The largest eigenvalue of f'' at the minimiser, lambda."""
        return float(np.linalg.eigvalsh(self.hessian(self._minimizer))[-1])

    @property
    def smoothness(self) -> float:
        """The largest eigenvalue of f'' anywhere, L: that at 0. Steps below 2/L always descend."""
        return float(np.linalg.eigvalsh(self.hessian(np.zeros(self.dimension)))[-1])

    @property
    def critical_step(self) -> float:
        """The step beyond which the minimiser is unstable, 2 / lambda."""
        return 2 / self.sharpness

    def trapping_radius(self, step: float) -> float:
        """Return a radius that every orbit gets below and then stays below, at this step."""
        return trapping_radius(self.points, self.multiplicities, self.l2, step, rank=self.rank)

    def starts(self, count: int, step: float, seed: int, /) -> Array:
        """Draw points [count, d] from the trapping ball, at all distances alike from 0.

        Half of the points have radii uniform in their logarithm over six decades, since what
        happens near 0 can be far smaller than the ball.
        """
        rng = np.random.default_rng(seed)
        radius = self.trapping_radius(step)
        way = rng.normal(size=(count, self.span.shape[1])) @ self.span.T
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        far = radius * rng.uniform(size=(count, 1))
        near = radius * 10 ** rng.uniform(-6, 0, size=(count, 1))
        return way * np.where(np.arange(count)[:, None] % 2, near, far)

    @cached_property
    def span(self) -> Array:
        """An orthonormal basis [d, rank] of the points' span; the identity where that is all."""
        if self.rank == self.dimension or self.l2:
            return np.eye(self.dimension)
        return np.linalg.svd(self.points.T, full_matrices=False)[0][:, : self.rank]

    def within_span(self) -> Logistic:
        """Return the problem in coordinates of :attr:`span`; itself, where that is all."""
        if self.span.shape[1] == self.dimension:
            return self
        return Logistic(self.points @ self.span, self.multiplicities, self.l2)


def _sequence(values: Any, what: str) -> list[Any]:
    if isinstance(values, np.ndarray) and values.ndim:
        return list(values.tolist())
    if isinstance(values, list | tuple):
        return list(values)
    raise ModelError(f"{what} are {values!r}; give a list, a tuple or an array")


def _rows(points: Any) -> list[list[Fraction]]:
    """Return rows of fractions; numbers by themselves are rows of one."""
    given = _sequence(points, "the points")
    rows = [
        [rational(v, f"a coordinate of point {i}") for v in _sequence(row, f"coordinates of {i}")]
        if isinstance(row, (list, tuple, np.ndarray))
        else [rational(row, f"point {i}")]
        for i, row in enumerate(given)
    ]
    if not rows or not rows[0]:
        raise ModelError("there are no points; give [n, d] numbers, labels folded in")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ModelError(f"points have {sorted(widths)} coordinates; all need the same number")
    return rows


def _exact(points: Any, multiplicities: Any, l2: Any) -> Exact:
    """Check a problem, and merge equal points in the order of their first appearance."""
    rows = _rows(points)
    for i, row in enumerate(rows):
        if not any(row):
            raise ModelError(
                f"point {i} is zero: it says nothing about w, but counts in the mean; leave it out"
            )
    if multiplicities is None:
        counts = [Fraction(1)] * len(rows)
    else:
        given = _sequence(multiplicities, "the multiplicities")
        counts = [rational(c, "a multiplicity") for c in given]
    if len(counts) != len(rows):
        raise ModelError(f"there are {len(rows)} points and {len(counts)} multiplicities")
    if min(counts) <= 0:
        raise ModelError(f"a multiplicity is {min(counts)}; all must be > 0")
    ridge = rational(l2, "l2")
    if ridge < 0:
        raise ModelError(f"l2 is {l2!r}; give a number >= 0")
    merged: dict[tuple[Fraction, ...], Fraction] = {}
    for row, count in zip(rows, counts, strict=True):
        merged[tuple(row)] = merged.get(tuple(row), Fraction(0)) + count
    return Exact(tuple(merged), tuple(merged.values()), ridge)
