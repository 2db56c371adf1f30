"""Make the Hadamard matrices of quincunx/solvers/linalg/data/hadamard.npz anew, from theory.

Run from anywhere: python tools/make_hadamard.py

One matrix for every order 4 b with b odd and below 64, and for two larger ones that models use:
284 (Falcon's 4544 = 71 x 64) and 428 (Qwen's 13696 = 107 x 128). Transforms are rebuilt from these
matrices when a file is loaded, so none of them may ever change. Constructions, first that applies:

- Paley I, order q + 1 for a prime q = 3 mod 4, and Paley II, order 2 (q + 1) for q = 1 mod 4, a
  prime or a prime's square (Paley, "On orthogonal matrices", 1933).
- Four sequences of length b whose periodic autocorrelations add up to zero, in the array of
  Goethals and Seidel ("A skew Hadamard matrix of order 36", 1970). They come from sequences of
  Turyn type by T-sequences, or from unions of orbits of a group of multipliers, found by search.
"""

from collections.abc import Iterator
from itertools import product
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "quincunx" / "solvers" / "linalg" / "data" / "hadamard.npz"
ORDERS = (*(4 * b for b in range(3, 64, 2)), 284, 428)

Matrix = NDArray[np.int64]

# Sequences of Turyn type (X, Y, Z, W) of lengths (n, n, n, n - 1), one hexadecimal digit a
# position, bits from the highest: X, Y, Z, W; set: -1. The last digit has X, Y, Z alone. From
# Kharaghani and Tayfeh-Rezaie, "A Hadamard matrix of order 428", 2005, 10.1002/jcd.20043 (n = 36)
# and Best, Djokovic, Kharaghani, Ramp, "Turyn-type sequences", 2012, arXiv 1206.4107.
TURYN_TYPE = (
    "06e5c4d1",
    "0001f4a961",
    "0000778e52de5561",
    "000038e2739c7a0b6951",
    "060989975b685d8fc80750b21c0212eceb26",
)
# Elements of order three modulo b, whose orbits the search joins.
MULTIPLIERS = {39: 16, 43: 6}


def main() -> None:
    """Construct, check and write all matrices."""
    packed: dict[str, Any] = {}
    for order in ORDERS:
        matrix = hadamard(order)
        if not np.array_equal(matrix @ matrix.T, order * np.eye(order, dtype=int)):
            raise SystemExit(f"the matrix of order {order} is not orthogonal")
        packed[str(order)] = np.packbits(matrix < 0, axis=1)
    DATA.parent.mkdir(exist_ok=True)
    np.savez(DATA, **packed)
    print(f"{DATA.name}: {len(packed)} matrices, {DATA.stat().st_size:,} bytes")


def hadamard(order: int) -> Matrix:
    """Return a Hadamard matrix by the first construction that applies."""
    half = order // 2
    if is_prime(order - 1):
        return paley_one(order - 1)
    if is_prime(half - 1) or (isqrt(half - 1) ** 2 == half - 1 and is_prime(isqrt(half - 1))):
        return paley_two(half - 1)
    for digits in TURYN_TYPE:
        if 3 * len(digits) - 1 == order // 4:
            return goethals_seidel(from_turyn_type(digits))
    return goethals_seidel(from_orbits(order // 4, MULTIPLIERS[order // 4]))


def is_prime(number: int) -> bool:
    return number > 1 and all(number % k for k in range(2, isqrt(number) + 1))


def paley_one(q: int) -> Matrix:
    """Order q + 1, for q = 3 mod 4: I + S, where S = -S' borders the characters of differences."""
    return np.eye(q + 1, dtype=int) + bordered(q, -1)


def paley_two(q: int) -> Matrix:
    """Order 2 (q + 1), for q = 1 mod 4: from the symmetric conference matrix and its zeros."""
    conference = bordered(q, 1)
    signs, corner = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    return np.kron(conference, signs) + np.kron(np.eye(q + 1, dtype=int), corner)


def bordered(q: int, sign: int) -> Matrix:
    """A zero, a border of ones (times ``sign`` on the left), and chi(x - y) for x, y in GF(q)."""
    out = np.ones((q + 1, q + 1), dtype=int)
    out[0, 0], out[1:, 0] = 0, sign
    out[1:, 1:] = characters_of_differences(q)
    return out


def characters_of_differences(q: int) -> Matrix:
    """chi(x - y) for all x and y of GF(q): 1 for squares, -1 for others, 0 for zero.

    For q = p^2 an element is a + b t with t^2 = r, where r is no square modulo p, and has the
    number a + p b.
    """
    p = q if is_prime(q) else isqrt(q)
    low, high = np.arange(q) % p, np.arange(q) // p
    r = min(set(range(2, p)) - {x * x % p for x in range(p)}) if q > p else 0
    squares = (low * low + r * high * high) % p + p * (2 * low * high % p)
    chi = np.full(q, -1)
    chi[squares] = 1
    chi[0] = 0
    difference = (low[:, None] - low) % p + p * ((high[:, None] - high) % p)
    return chi[difference]


def goethals_seidel(rows: Matrix) -> Matrix:
    """Order 4 b from four rows [4, b] of signs whose periodic autocorrelations cancel."""
    b = rows.shape[1]
    shift = (np.arange(b) - np.arange(b)[:, None]) % b
    a, *others = (row[shift] for row in rows)
    (p, q, r), (pt, qt, rt) = ([x[:, ::-1] for x in others], [x.T[:, ::-1] for x in others])
    return np.block([[a, p, q, r], [-p, a, rt, -qt], [-q, -rt, a, pt], [-r, qt, -pt, a]])


def from_turyn_type(digits: str) -> Matrix:
    """Four rows of length 3 n - 1: base sequences, T-sequences, and these joined by signs."""
    n = len(digits)
    bits = [f"{int(digit, 16):04b}" for digit in digits[:-1]]
    bits.append(f"{int(digits[-1], 16):03b}0")
    x, y, z, w = 1 - 2 * np.array([[int(bit) for bit in digit] for digit in bits]).T
    rows = np.zeros((4, 3 * n - 1), dtype=int)
    rows[0, :n], rows[1, n : 2 * n - 1] = z, w[: n - 1]
    rows[2, 2 * n - 1 :], rows[3, 2 * n - 1 :] = (x + y) // 2, (x - y) // 2
    return np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) @ rows


def from_orbits(b: int, multiplier: int) -> Matrix:
    """Four rows of signs that are constant on the orbits of x -> multiplier x modulo b.

    Autocorrelations of such rows are constant on orbits, too. All of them are listed, and two
    pairs whose sums are opposite are found by sorting.
    """
    orbits = {frozenset(x * multiplier**k % b for k in range(3)) for x in range(b)}
    ordered = sorted(map(sorted, orbits))
    members = np.array([[x in orbit for x in range(b)] for orbit in ordered], dtype=int)
    rows = np.array(list(product((1, -1), repeat=len(members) - 1))) @ members[1:] + members[0]
    spectra = np.abs(np.fft.fft(rows)) ** 2
    useful = spectra.max(axis=1) <= 4 * b + 0.5  # as four spectra add up to 4 b everywhere
    rows, spectra = rows[useful], spectra[useful]
    correlations = np.rint(np.fft.ifft(spectra).real).astype(int)[:, [o[0] for o in ordered[1:]]]
    kept, first = np.unique(correlations, axis=0, return_index=True)
    rows = rows[first]
    for left, right in opposite_pairs(kept):
        return rows[[*left, *right]]
    raise SystemExit(f"no four rows of length {b} on the orbits of {multiplier}")


def opposite_pairs(vectors: Matrix) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield pairs of pairs of vectors whose sum is zero, by a linear hash and then exactly."""
    weights = np.random.Generator(np.random.PCG64(1)).integers(1, 2**40, vectors.shape[1])
    i, j = np.triu_indices(len(vectors))
    sums = (vectors @ weights)[i] + (vectors @ weights)[j]
    for value in np.intersect1d(sums, -sums):
        k, m = np.flatnonzero(sums == value)[0], np.flatnonzero(sums == -value)[0]
        if not (vectors[i[k]] + vectors[j[k]] + vectors[i[m]] + vectors[j[m]]).any():
            yield (int(i[k]), int(j[k])), (int(i[m]), int(j[m]))


if __name__ == "__main__":
    main()
