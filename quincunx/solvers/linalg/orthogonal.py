"""Random orthogonal matrices that are fast to multiply with, as values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.hadamard import random_hadamard
from quincunx.kernels.kept import kept
from quincunx.kernels.select import on_gpu
from quincunx.solvers.linalg.few import as_given, few_vectors, signs_of, unit_signs
from quincunx.solvers.linalg.flat import by_products, flat, flat_of_few, on_kernel, unit
from quincunx.solvers.linalg.random_bits import Kind, normal, permutation, signs


class Orthogonal(Protocol):
    """An orthogonal matrix V [n, n], known by its products.

    A layer ``y = W x`` becomes ``y = U' (W~ (V x))`` with ``W~ = U W V'``: inputs go through
    :meth:`apply` of V, and outputs through :meth:`undo` of U.
    """

    @property
    def n(self) -> int:
        """The size."""

    def apply(self, x: Array, /) -> Array:
        """Multiply along the last axis: ``V x`` for each vector of [..., n]."""

    def undo(self, x: Array, /) -> Array:
        """Multiply by the transposed matrix along the last axis: ``V' x``, the inverse."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomHadamard:
    """Random signs, then a fixed matrix with entries of about equal size (QuIP#).

    ``V = Q diag(signs)``, where Q is that of :mod:`quincunx.solvers.linalg.flat`: Hadamard's
    divided by sqrt(n) wherever one is known, and nearly as flat for all other sizes. The same n
    and seed make the same matrix on every machine.

    Attributes:
        n: the size, at least 1.
        seed: where the signs come from, 0 <= seed < 2^64.
        tuned: [n] in place of the signs, any numbers, of any array library; None: the signs. With
            these V is orthogonal no more, and :meth:`undo` multiplies by V', which is what the
            layer's outputs need; it is no inverse then.

    Raises:
        ModelError: the size, the seed or the shape of ``tuned`` is not as above.

    Example:
        >>> from quincunx.solvers.linalg import RandomHadamard
        >>> V = RandomHadamard(11008, seed=1)
        >>> spike = np.eye(1, 11008)
        >>> round(float(abs(V.apply(spike)).max() * 11008**0.5), 6)
        1.0
        >>> bool(np.allclose(V.undo(V.apply(spike)), spike))
        True

    Reference:
        Tseng, Chee, Sun, Kuleshov, De Sa, "QuIP#", 2024, arXiv 2402.04396, section 3.
    """

    n: int
    seed: int
    tuned: Array | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no transform."""
        signs(self.n, self.seed)
        if self.tuned is not None and tuple(self.tuned.shape) != (self.n,):
            raise ModelError(
                f"tuned signs have shape {tuple(self.tuned.shape)}; use {(self.n,)} for a "
                f"transform of size {self.n}"
            )

    def apply(self, x: Array, /, *, divisor: Array | None = None, dtype: Any = None) -> Array:
        """``V (x / divisor)`` for each vector of ``x``: on a GPU in one launch.

        Arguments:
            x: [..., n], float32 or float64; with ``dtype`` also of 16 bits.
            divisor: [n], in the library and on the device of ``x``; None: ones.
            dtype: of the result; None: that of ``x``. What is between has 32 bits or more.

        Returns:
            [..., n].
        """
        kernel = on_kernel(x, self.n)
        if kernel is None or dtype is None:
            check_vectors(x, self.n, narrow=dtype is not None)
        if kernel is not None and not _trained(self.tuned, divisor):
            return random_hadamard(
                x, kernel, before=self._narrow_signs(x), divisor=divisor, dtype=dtype
            )
        few = few_vectors(x, self.tuned, divisor) if by_products(self.n) else None
        if few is not None:
            z, (tuned, divided) = few
            z = z if divided is None else z / divided
            before = (
                unit_signs(self.n, self.seed, z.dtype) if tuned is None else tuned * unit(self.n)
            )
            return as_given(flat_of_few(z, before), x, dtype)
        y = _widened(x)
        y = y if divisor is None else y / _beside(divisor, y)
        return _rounded(flat(y, self._signs(y)), dtype)

    def undo(
        self, x: Array, /, *, factor: Array | None = None, bias: Array | None = None,
        dtype: Any = None,
    ) -> Array:  # fmt: skip
        """``V' (factor x) + bias`` for each vector of ``x``: on a GPU in one launch.

        Arguments:
            x: [..., n], float32 or float64; with ``dtype`` also of 16 bits.
            factor: [n] or [1], in the library and on the device of ``x``; None: ones.
            bias: [n], likewise; None: zeros.
            dtype: of the result; None: that of ``x``. What is between has 32 bits or more.

        Returns:
            [..., n].
        """
        kernel = on_kernel(x, self.n)
        if kernel is None or dtype is None:
            check_vectors(x, self.n, narrow=dtype is not None)
        if kernel is not None and not _trained(self.tuned, factor, bias):
            return random_hadamard(
                x, kernel, transposed=True, before=factor, after=self._narrow_signs(x), bias=bias,
                dtype=dtype,
            )  # fmt: skip
        few = few_vectors(x, self.tuned, factor, bias) if by_products(self.n) else None
        if few is not None:
            z, (tuned, times, added) = few
            z = flat_of_few(z if times is None else z * times, unit(self.n), transposed=True)
            z *= signs_of(self.n, self.seed, z.dtype) if tuned is None else tuned
            return as_given(z if added is None else z + added, x, dtype)
        y = _widened(x)
        y = y if factor is None else y * _beside(factor, y)
        y = flat(y, transposed=True) * self._signs(y)
        return _rounded(y if bias is None else y + _beside(bias, y), dtype)

    def _signs(self, x: Array) -> Array:
        if self.tuned is None and on_gpu(x):
            return _beside(self._narrow_signs(x), x)
        given = signs(self.n, self.seed) if self.tuned is None else self.tuned
        return _beside(given, x)

    def _narrow_signs(self, x: Array) -> Array:
        """The signs where ``x`` is, of as few bits as they have."""
        if self.tuned is None:
            return kept(signs, (self.n, self.seed), None, str(x.device))
        if getattr(self.tuned, "device", None) == x.device:
            return self.tuned
        return to_device(array_namespace(x).asarray(self.tuned), device(x))


@dataclass(frozen=True, slots=True, eq=False)
class KroneckerOrthogonal:
    """A permutation, a Kronecker product of two orthogonal matrices, and a permutation (QuIP).

    ``V x = (A kron B) x[first]``, reordered by ``second``. The factors are data: a file that uses
    this matrix stores its four arrays, because a decomposition rounds differently elsewhere.

    Attributes:
        left: A [p, p], orthogonal.
        right: B [q, q], orthogonal.
        first: integers [p q]: entry i of the reordered vector is entry ``first[i]`` of x.
        second: integers [p q], likewise, after the product.

    Raises:
        ModelError: the shapes do not fit together.
    """

    left: Array
    right: Array
    first: Array
    second: Array

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        n = self.left.shape[0] * self.right.shape[0]
        shapes = [tuple(a.shape) for a in (self.left, self.right, self.first, self.second)]
        p, q = shapes[0][0], shapes[1][0]
        if shapes != [(p, p), (q, q), (n,), (n,)]:
            raise ModelError(
                f"factors and permutations have shapes {', '.join(map(str, shapes))}; use (p, p), "
                f"(q, q), (p q,) and (p q,)"
            )

    @property
    def n(self) -> int:
        """The size, p q."""
        return int(self.left.shape[0] * self.right.shape[0])

    def apply(self, x: Array, /) -> Array:
        """``V x`` for each vector of ``x`` [..., n], float32 or float64; same shape and type.

        Raises:
            ModelError: x is of another size or type.
        """
        check_vectors(x, self.n)
        few = few_vectors(x, self.left, self.right)
        if few is not None:
            z, (left, right) = few
            z = z[..., np.asarray(self.first)].reshape(*x.shape[:-1], len(left), len(right))
            z = (left @ z @ right.T).reshape(x.shape)
            return as_given(z[..., np.asarray(self.second)], x, None)
        xp, left, right, first, second = self._beside(x)
        y = xp.reshape(xp.take(x, first, axis=-1), (*x.shape[:-1], left.shape[0], right.shape[0]))
        y = xp.reshape(left @ y @ right.T, x.shape)
        return xp.take(y, second, axis=-1)

    def undo(self, x: Array, /) -> Array:
        """``V' x`` for each vector of ``x`` [..., n], float32 or float64; same shape and type.

        Raises:
            ModelError: x is of another size or type.
        """
        check_vectors(x, self.n)
        few = few_vectors(x, self.left, self.right)
        if few is not None:
            z, (left, right) = few
            y = np.empty_like(z)
            y[..., np.asarray(self.second)] = z
            y = y.reshape(*x.shape[:-1], len(left), len(right))
            z = np.empty_like(z)
            z[..., np.asarray(self.first)] = (left.T @ y @ right).reshape(x.shape)
            return as_given(z, x, None)
        xp, left, right, first, second = self._beside(x)
        y = xp.take(x, xp.argsort(second), axis=-1)
        y = xp.reshape(y, (*x.shape[:-1], left.shape[0], right.shape[0]))
        return xp.take(xp.reshape(left.T @ y @ right, x.shape), xp.argsort(first), axis=-1)

    def _beside(self, x: Array) -> tuple[Any, Array, Array, Array, Array]:
        """Return the library of ``x``, and the four arrays in it, where ``x`` is."""
        xp: Any = array_namespace(x)
        factors = (_beside(a, x) for a in (self.left, self.right))
        orders = (xp.asarray(a, device=device(x)) for a in (self.first, self.second))
        return (xp, *factors, *orders)


@dataclass(frozen=True, slots=True, eq=False)
class BlockDiagonal:
    """Smaller orthogonal matrices, one after the other: what a layer in shards needs.

    With tensor parallelism each device holds a slice of the columns or rows, and a transform over
    all of them would have the devices talk before every product.

    Attributes:
        blocks: at least one; their sizes add up to n.

    Raises:
        ModelError: there is no block.

    Example:
        >>> from quincunx.solvers.linalg import BlockDiagonal, RandomHadamard
        >>> BlockDiagonal(tuple(RandomHadamard(2752, seed) for seed in range(4))).n
        11008
    """

    blocks: tuple[Orthogonal, ...]

    def __post_init__(self) -> None:
        """Refuse to be empty."""
        if not self.blocks:
            raise ModelError("there are no blocks; give at least one")

    @property
    def n(self) -> int:
        """The size."""
        return sum(block.n for block in self.blocks)

    def apply(self, x: Array, /) -> Array:
        """``V x`` for each vector of ``x`` [..., n], floating; same shape and type."""
        return self._join(x, (b.apply(y) for b, y in zip(self.blocks, self._cut(x), strict=True)))

    def undo(self, x: Array, /) -> Array:
        """``V' x`` for each vector of ``x`` [..., n], floating; same shape and type."""
        return self._join(x, (b.undo(y) for b, y in zip(self.blocks, self._cut(x), strict=True)))

    def _cut(self, x: Array) -> list[Array]:
        check_vectors(x, self.n)
        ends = np.cumsum([block.n for block in self.blocks]).tolist()
        starts = [0, *ends[:-1]]
        return [x[..., start:end] for start, end in zip(starts, ends, strict=True)]

    def _join(self, x: Array, parts: Iterable[Array]) -> Array:
        xp: Any = array_namespace(x)
        return xp.concat(list(parts), axis=-1)


def random_kronecker(n: int, seed: int) -> KroneckerOrthogonal:
    """Draw the transform of QuIP, with factors of sizes as near to sqrt(n) as divide n.

    A vector costs ``n (p + q)`` operations, so n^2 for a prime: :class:`RandomHadamard` has no
    such sizes.

    Arguments:
        n: the size, at least 1.
        seed: 0 <= seed < 2^64.

    Returns:
        Factors drawn from Haar's measure, float64, and two random permutations, int64.

    Raises:
        ModelError: the size or the seed is out of range.

    Reference:
        Chee, Cai, Kuleshov, De Sa, "QuIP", 2023, arXiv 2307.13304, section 4.
    """
    first, second = permutations(n, seed)
    p, q = kronecker_sizes(n)
    left = _haar(p, normal(Kind.LEFT_FACTOR, n, seed, p * p))
    right = _haar(q, normal(Kind.RIGHT_FACTOR, n, seed, q * q))
    return KroneckerOrthogonal(left, right, first, second)


def permutations(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw both permutations of :func:`random_kronecker`: the same on every machine."""
    return permutation(Kind.FIRST_PERMUTATION, n, seed), permutation(
        Kind.SECOND_PERMUTATION, n, seed
    )


def kronecker_sizes(n: int) -> tuple[int, int]:
    """Return the sizes of the factors of :func:`random_kronecker`, the smaller first."""
    p = next(k for k in range(math.isqrt(n), 0, -1) if n % k == 0)
    return p, n // p


def _haar(size: int, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make normal numbers an orthogonal matrix; the signs of R make it uniform, and unique."""
    orthogonal, triangle = np.linalg.qr(numbers.reshape(size, size))
    return np.asarray(orthogonal * np.where(np.diag(triangle) < 0, -1.0, 1.0))


def _beside(values: Array, x: Array) -> Array:
    """Convert values to the library, type and device of ``x``; gradients flow within a library."""
    xp: Any = array_namespace(x)
    if array_namespace(values) is xp:
        return to_device(xp.astype(values, x.dtype), device(x))
    # A copy, in memory that begins where the library likes: products round differently elsewhere.
    return xp.asarray(values, dtype=x.dtype, device=device(x), copy=True)


def _trained(*vectors: Array | None) -> bool:
    """Whether a gradient is wanted for one of them, which kernels do not give."""
    return any(getattr(vector, "requires_grad", False) for vector in vectors)


def _widened(x: Array) -> Array:
    """Return numbers of 16 bits with 32, others as they are."""
    xp: Any = array_namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def _rounded(x: Array, dtype: Any) -> Array:
    """Convert to a type, if there is one."""
    xp: Any = array_namespace(x)
    return x if dtype is None else xp.astype(x, dtype, copy=False)


def check_vectors(x: Array, n: int, *, narrow: bool = False) -> None:
    """Refuse what a transform of size n cannot be multiplied with.

    Arguments:
        x: any array.
        n: the size.
        narrow: numbers of 16 bits will do.

    Raises:
        ModelError: the last axis is not n long, or the numbers are not float32 or float64.
    """
    xp: Any = array_namespace(x)
    if x.ndim < 1 or x.shape[-1] != n:
        raise ModelError(f"a transform of size {n} needs [..., {n}], not {tuple(x.shape)}")
    if narrow and xp.isdtype(x.dtype, "real floating"):
        return
    if x.dtype not in (xp.float32, xp.float64):
        raise ModelError(f"a transform needs float32 or float64, not {x.dtype}; convert it first")
