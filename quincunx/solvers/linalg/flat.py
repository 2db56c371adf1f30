"""A fixed orthogonal matrix for every size, its entries as equal as can be had at low cost.

The matrix of size n is a Kronecker product: Sylvester's Hadamard matrix of a power of two, an
orthogonal matrix of an odd size where one is needed, and stored Hadamard matrices. Its *flatness*
is ``max |Q_ij| sqrt(n)``, which is 1 for Hadamard matrices and never less:

| the odd part of n | the matrix for it | flatness | operations a row |
| --- | --- | --- | --- |
| goes into stored orders, with four for each | Hadamard | 1 | K n |
| p, a prime from 7 | circulant of Legendre symbols | 1 + 1 / sqrt(p) | n log n |
| any other | Hartley's transform | at most sqrt(2) | n log n |

The last two go by FFT, and by a product with the matrix where it is small.

Of several ways the flattest is taken, then the one with the fewest operations. The choice is part
of what a seed means, and of every file that names one: it must never change.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.hadamard import Kronecker, random_hadamard, serves
from quincunx.kernels.kept import kept
from quincunx.kernels.select import on_gpu, shared
from quincunx.kernels.threads import in_rows
from quincunx.solvers.linalg.hadamard import ORDERS, hadamard_matrix

LEAST_LEGENDRE = 7  # for the primes 3 and 5 Hartley's transform is flatter
MOST_DENSE = 512  # up to this odd size a product with the matrix is faster than two FFTs


@dataclass(frozen=True, slots=True)
class Factors:
    """A size written as ``power * odd * product of cores``.

    Attributes:
        power: a power of two, of Sylvester's matrix.
        odd: an odd number, 1 where stored Hadamard matrices take all of the odd part.
        cores: orders of stored Hadamard matrices, ascending.
    """

    power: int
    odd: int
    cores: tuple[int, ...]

    @property
    def flatness(self) -> float:
        """A bound on ``max |Q_ij| sqrt(n)``, met but for Hartley's sqrt(2)."""
        if self.odd == 1:
            return 1.0
        return 1 + self.odd**-0.5 if _is_legendre(self.odd) else math.sqrt(2)


@cache
def factors(n: int) -> Factors:
    """Choose the factors of the matrix of size n.

    Raises:
        ModelError: n is not positive.

    Example:
        >>> from quincunx.solvers.linalg.flat import factors
        >>> factors(11008)
        Factors(power=64, odd=1, cores=(172,))
        >>> round(factors(4099).flatness, 4)
        1.0156
    """
    if n < 1:
        raise ModelError(f"a transform has a size of at least 1, not {n}")
    odd = n
    while odd % 2 == 0:
        odd //= 2
    ways = (
        Factors(n // odd // 4 ** len(w), odd // (math.prod(w) // 4 ** len(w)), w)
        for w in _cores(odd, n // odd, 0)
    )
    return min(ways, key=lambda way: (way.flatness, sum(way.cores), way.cores))


def _cores(odd: int, power: int, least: int) -> Iterator[tuple[int, ...]]:
    """Yield all ascending tuples of stored orders whose odd and even parts go into the size."""
    yield ()
    for order in ORDERS if power >= 4 else ():
        if order >= least and odd % (order // 4) == 0:
            for others in _cores(odd // (order // 4), power // 4, order):
                yield (order, *others)


def flat(x: Array, before: Array | float = 1.0, *, transposed: bool = False) -> Array:
    """Multiply by the matrix of size n, along the last axis.

    Compiled loops serve NumPy arrays and torch tensors on the processor, and a kernel those on a
    GPU, with their gradients; all others go through the same steps in their own library, on their
    device. For these, numbers of less than 32 bits are not precise enough: convert them first.
    On a GPU no step copies from the processor or waits for it, but in the first call.

    Arguments:
        x: [..., n], float32 or float64, of any array library.
        before: what x is multiplied with first: a number, or [n] in the type of ``x``.
        transposed: multiply by the transposed matrix, which is the inverse.

    Returns:
        ``(x before) @ Q'``, or ``(x before) @ Q``, of the shape and type of ``x``.
    """
    n = x.shape[-1]
    kernel = on_kernel(x, n)
    if kernel is not None:
        if isinstance(before, int | float):
            x, before = x if before == 1 else x * before, None
        elif before.requires_grad:
            x, before = x * before, None
        return random_hadamard(x, kernel, transposed=transposed, before=before)
    xp: Any = array_namespace(x)
    way = factors(n)
    y = xp.reshape(x, (-1, n)) * (before * unit(n))
    y = _walsh_hadamard(xp, y, way.power)
    inner = n // way.power
    if way.odd > 1:
        inner //= way.odd
        if way.odd <= MOST_DENSE:
            y = _times_matrix(xp, y, _dense, way.odd, inner, transposed)
        else:
            y = _by_fourier(xp, xp.reshape(y, (-1, way.odd, inner)), transposed)
    for order in way.cores:
        inner //= order
        y = _times_matrix(xp, y, hadamard_matrix, order, inner, transposed)
    return xp.reshape(y, x.shape)


def flat_of_few(
    x: NDArray[Any], before: NDArray[Any] | float, *, transposed: bool = False
) -> NDArray[Any]:
    """Multiply a few vectors by the matrix of size n, as :func:`flat` does.

    To ask which library an array is of, and to copy matrices there, takes longer than the work. The
    results are those of :func:`flat` for NumPy's arrays, bit by bit where n has a power of two that
    is no part of a stored matrix, and else but for the order of a product's sums.

    Arguments:
        x: [..., n], float32 or float64.
        before: what x is multiplied with first, with :func:`unit` in it; in the type of ``x``.
        transposed: multiply by the transposed matrix.

    Returns:
        [..., n], in the type of ``x``; never memory of ``x``.

    Raises:
        ModelError: the size has an odd factor that goes by FFT (:func:`by_products`).
    """
    from quincunx.kernels.hadamard._numba import walsh_hadamard

    n = x.shape[-1]
    way = factors(n)
    if not by_products(n):
        raise ModelError(f"the odd factor {way.odd} of the size {n} goes by FFT; use flat")
    y = np.ascontiguousarray(x.reshape(-1, n) * before)
    inner = n // way.power
    if way.power > 1:
        walsh_hadamard(y, inner, 0, len(y))
    odd = ((_dense, way.odd),) if way.odd > 1 else ()
    for make, k in (*odd, *((hadamard_matrix, order) for order in way.cores)):
        inner //= k
        matrix = _matrix(make, k, y.dtype)
        matrix = matrix.T if transposed else matrix
        y = y.reshape(-1, k) @ matrix.T if inner == 1 else matrix @ y.reshape(-1, k, inner)
    return y.reshape(x.shape)


def by_products(n: int) -> bool:
    """Say whether the matrix of size n is multiplied with by products alone, without FFT."""
    return factors(n).odd <= MOST_DENSE


def unit(n: int) -> float:
    """What Sylvester's matrix is multiplied with in the matrix of size n."""
    return math.sqrt(factors(n).odd / n)


@cache
def _matrix(make: Callable[[int], NDArray[Any]], k: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.array(make(k), dtype=dtype)


def on_kernel(x: Array, n: int) -> Kronecker | None:
    """Return the matrix of size n as a GPU's kernel takes it, or None where that does not serve."""
    if not on_gpu(x):
        return None
    way = factors(n)
    if way.odd > MOST_DENSE or not serves(x, way.power, (way.odd,) * (way.odd > 1) + way.cores):
        return None
    return kronecker(n)


@cache
def kronecker(n: int) -> Kronecker:
    """Return the matrix of size n by its factors; an odd one is written out, however large."""
    way = factors(n)
    odd = (_dense(way.odd),) if way.odd > 1 else ()
    cores = tuple(hadamard_matrix(order) for order in way.cores)
    return Kronecker(way.power, odd + cores, unit(n))


def _walsh_hadamard(xp: Any, y: Array, size: int) -> Array:
    """Multiply [rows, size * inner] by Sylvester's matrix; ``y`` may be overwritten."""
    rows, n = y.shape
    if shared(y) is not None and size > 1:
        if getattr(y, "requires_grad", False):
            from quincunx.kernels.hadamard._torch import differentiable

            return differentiable(lambda z: _by_loop(z, size), y)
        return _by_loop(y, size)
    half = n // size
    while half < n:
        pairs = xp.reshape(y, (-1, 2, half))
        a, b = pairs[:, 0, :], pairs[:, 1, :]
        y = xp.stack((a + b, a - b), axis=1)
        half *= 2
    return xp.reshape(y, (rows, n))


def _by_loop(y: Array, size: int) -> Array:
    """Multiply in place, in compiled code on threads."""
    from quincunx.kernels.hadamard._numba import walsh_hadamard

    view = shared(y)
    assert view is not None
    stride = view.shape[1] // size
    in_rows(lambda first, last: walsh_hadamard(view, stride, first, last), len(view))
    return y


def _times_matrix(
    xp: Any, y: Array, make: Callable[[int], NDArray[Any]], k: int, inner: int, transposed: bool
) -> Array:
    """Multiply along the middle axis of [-1, k, inner] by a matrix [k, k]."""
    beside = _beside(xp, y, y.dtype, make, k)
    if transposed:
        beside = beside.T
    if inner == 1:  # one large product is faster than many small ones
        return xp.reshape(y, (-1, k)) @ beside.T
    return beside @ xp.reshape(y, (-1, k, inner))


def _beside(xp: Any, y: Array, dtype: Any, make: Callable[[int], NDArray[Any]], k: int) -> Array:
    """Return what ``make`` makes for a size, in a type, where ``y`` is."""
    if on_gpu(y):
        return kept(make, (k,), dtype, str(device(y)))
    # A copy, in memory that begins where the library likes: products round differently elsewhere.
    return xp.asarray(make(k), dtype=dtype, device=device(y), copy=True)


@cache
def _dense(odd: int) -> NDArray[np.float64]:
    """Return the matrix of an odd size [odd, odd], whose products are faster where it is small."""
    unit: NDArray[np.float64] = np.eye(odd)
    return np.asarray(_by_fourier(array_namespace(unit), unit[None], False)[0])


def _by_fourier(xp: Any, y: Array, transposed: bool) -> Array:
    """Multiply along the middle axis of [-1, odd, inner] by the matrix of an odd size."""
    return _legendre(xp, y, transposed) if _is_legendre(y.shape[1]) else _hartley(xp, y)


def _legendre(xp: Any, y: Array, transposed: bool) -> Array:
    """Multiply along the middle axis of [-1, p, inner] by the circulant of Legendre symbols.

    ``Q_ij = chi(i - j) / sqrt(p) + 1 / p``. By Gauss's sum its eigenvalues are 1, and chi(k) or
    -i chi(k) for p = 1 or 3 modulo 4: all of modulus 1, so Q is orthogonal.
    """
    p = y.shape[1]
    spectrum = xp.fft.rfft(y, axis=1)
    phases = _beside(xp, y, spectrum.dtype, _eigenvalues, p)
    if transposed:
        phases = xp.conj(phases)
    return xp.fft.irfft(spectrum * phases[:, None], n=p, axis=1)


def _eigenvalues(p: int) -> NDArray[np.complex128]:
    """Return the first half of them, that of 1 first."""
    eigenvalues = _characters(p)[: p // 2 + 1] * (1 if p % 4 == 1 else -1j)
    eigenvalues[0] = 1
    return eigenvalues


def _characters(p: int) -> NDArray[np.complex128]:
    """Return the Legendre symbols of 0 to p - 1: 1 for squares modulo p, -1 for others."""
    chi = np.full(p, -1.0 + 0j)
    chi[np.arange(p) ** 2 % p] = 1
    chi[0] = 0
    return chi


def _hartley(xp: Any, y: Array) -> Array:
    """Multiply along the middle axis of [-1, b, inner], b odd, by Hartley's matrix.

    ``Q_ij = (cos t + sin t) / sqrt(b)`` with ``t = 2 pi i j / b``: symmetric, its own inverse.
    """
    spectrum = xp.fft.rfft(y, axis=1)
    real, imaginary = xp.real(spectrum), xp.imag(spectrum)
    mirrored = xp.flip((real + imaginary)[:, 1:, :], axis=1)
    return xp.concat((real - imaginary, mirrored), axis=1) / math.sqrt(y.shape[1])


def _is_legendre(odd: int) -> bool:
    """Whether an odd number is a prime for which Legendre symbols are flatter than Hartley."""
    prime = all(odd % k for k in range(3, math.isqrt(odd) + 1, 2))
    return odd >= LEAST_LEGENDRE and prime
