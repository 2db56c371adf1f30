"""E8P's nearest point: ours against scans of all points, of the reduced grid, and of a metric.

    python -m benchmarks.e8p_nearest

Writes ``benchmarks/results/e8p-nearest.md`` and ``.json``. With torch installed, the scan of all
points by matrix products is its; else it is NumPy's.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numba
import numpy as np

from benchmarks._harness import describe, environment, interleave, median, table, write_results
from quincunx.kernels.e8 import reference
from quincunx.kernels.threads import in_rows
from quincunx.solvers.rounding.codebooks import E8P

ROUNDS, SECONDS = 7, 60.0
SCALE = 1.0

TEXT = """
# The nearest point of E8P

{where}

Standard normal vectors in float32, scale {scale}; medians of {rounds} rounds in which the methods
take turns, threads as many as cores. Each method is given as many vectors as it does in a fraction
of a second. All were checked to find equal distances on the vectors that they share.

{plain}

The same in a metric, the first block of the block LDL decomposition of a random Hessian with
decaying spectrum, condition {condition:.1f}:

{weighed}

- scan of all points: `argmin` of a matrix product with all 65,536 points, in chunks, in {library}.
- scan, compiled: a loop over the 65,536 points, compiled like ours.
- reduced grid: as QuIP# searches: signs are taken off first, so that {reduced} rows remain for each
  of the two moves; our writing of that idea, compiled like ours.
- array API: ours for devices, here on NumPy: what a GPU would run, not what NumPy users get.
"""


def reduced_grid() -> np.ndarray:
    """Return rows with signs such that every point is one of them but for pairs of signs."""
    found = []
    for row in reference.absolute_rows():
        for turned in (None, *np.flatnonzero(row[:7] == 0.5)):
            signed = row.copy()
            if turned is not None:
                signed[turned] *= -1
            if signed.sum() % 2:
                signed[7] *= -1
            found.append(signed)
    return np.array(found, dtype=np.float32)


@numba.njit(nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def scan(x, points, offsets, least, first, last):
    for n in range(first, last):
        best = np.float32(np.inf)
        for k in range(points.shape[1]):
            score = offsets[k]
            for i in range(8):
                score -= x[n, i] * points[i, k]
            best = min(best, score)
        least[n] = best


@numba.njit(nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def scan_reduced(x, rows, offsets, least, first, last):
    u = np.empty(8, dtype=np.float32)
    for n in range(first, last):
        least[n] = np.inf
        for move in (np.float32(0.25), np.float32(-0.25)):
            odd, total = False, np.float32(0.0)
            for i in range(8):
                y = x[n, i] - move
                total += y * y
                odd ^= y < 0.0
                u[i] = abs(y)
            u[7] = -u[7] if odd else u[7]
            best = np.float32(np.inf)
            for k in range(rows.shape[1]):
                score = offsets[k]
                for i in range(8):
                    score -= u[i] * rows[i, k]
                best = min(best, score)
            least[n] = min(least[n], total + 2 * best)


def by_compiled_scan(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the least ``|x - q|^2 - |x|^2``, halved, of all points."""
    least, offsets = np.empty(len(x), np.float32), (points**2).sum(axis=1) / 2
    columns = np.ascontiguousarray(points.T)
    in_rows(partial(scan, x, columns, offsets, least), len(x))
    return least


def by_reduced_grid(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    least, offsets = np.empty(len(x), np.float32), (rows**2).sum(axis=1) / 2
    columns = np.ascontiguousarray(rows.T)
    in_rows(partial(scan_reduced, x, columns, offsets, least), len(x))
    return least


def by_product(x: Any, weighed: Any, offsets: Any, argmin: Callable[..., Any]) -> list[Any]:
    return [argmin(offsets - x[s : s + 64] @ weighed, 1) for s in range(0, len(x), 64)]


def product_scan(metric: np.ndarray | None) -> tuple[str, Callable[[np.ndarray], Any]]:
    points = reference.points().astype(np.float32)
    weighed = points if metric is None else (points @ metric).astype(np.float32)
    offsets, columns = (weighed * points).sum(axis=1) / 2, np.ascontiguousarray(weighed.T)
    if find_spec("torch"):
        import torch

        held = torch.asarray(columns), torch.asarray(offsets)
        return "torch", lambda x: torch.cat(by_product(torch.asarray(x), *held, torch.argmin))
    return "numpy", lambda x: np.concatenate(by_product(x, columns, offsets, np.argmin))


def hessian_block() -> np.ndarray:
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(256, 256)))[0]
    hessian = (basis * np.arange(1, 257) ** -1.2) @ basis.T
    hessian += 0.01 * np.trace(hessian) / 256 * np.eye(256)
    corner = np.linalg.cholesky(hessian)[:8, :8]
    return corner @ corner.T


def check(x: np.ndarray, metric: np.ndarray, rows: np.ndarray) -> None:
    points, book = reference.points().astype(np.float32), E8P(scale=SCALE)
    ours = ((x - book.quantize(x)[0]) ** 2).sum(axis=1)
    whole = (x**2).sum(axis=1) + 2 * by_compiled_scan(x, points)
    scanned = ((x - points[np.asarray(product_scan(None)[1](x))]) ** 2).sum(axis=1)
    for other in (whole, by_reduced_grid(x, rows), scanned):
        np.testing.assert_allclose(other, ours, rtol=1e-4, atol=1e-4)
    ours, other = book.quantize(x, metric=metric)[0], points[product_scan(metric)[1](x)]
    losses = [((x - q) @ metric * (x - q)).sum(axis=1) for q in (ours, other)]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-4)


def rates(works: dict[str, tuple[Callable[[Any], Any], int]], x: np.ndarray) -> dict[str, float]:
    """Return vectors a second, by name."""
    for work, _ in works.values():
        work(x[:100])  # compiled and warm
    calls = {name: partial(work, x[:count]) for name, (work, count) in works.items()}
    times = interleave(calls, ROUNDS, SECONDS)
    return {name: works[name][1] / median(seconds) for name, seconds in times.items()}


def shown(found: dict[str, float]) -> str:
    ours = next(iter(found.values()))
    rows = [
        (name, f"{rate:,.0f}", f"{1e9 / rate:,.0f}", f"**{ours / rate:,.1f}x**")
        for name, rate in found.items()
    ]
    return table(("method", "vectors / s", "ns / vector", "ours / this"), rows)


def in_arrays(x: np.ndarray) -> Any:
    from quincunx.solvers.rounding.codebooks.e8p_nearest import nearest_in_array

    return nearest_in_array(x)


def main() -> None:
    where = environment(("quincunx", "numpy", "numba", "torch"))
    x = np.random.default_rng(0).normal(size=(1 << 20, 8)).astype(np.float32)
    points, rows = reference.points().astype(np.float32), reduced_grid()
    metric, book = hessian_block(), E8P(scale=SCALE)
    check(x[:1000], metric, rows)
    library, scan_all = product_scan(None)
    plain = rates(
        {
            "quincunx": (book.quantize, 1 << 20),
            "quincunx, array API": (in_arrays, 1 << 16),
            "reduced grid": (lambda part: by_reduced_grid(part, rows), 1 << 16),
            "scan, compiled": (lambda part: by_compiled_scan(part, points), 1 << 11),
            "scan of all points": (scan_all, 1 << 11),
        },
        x,
    )
    weighed = rates(
        {
            "quincunx": (partial(book.quantize, metric=metric), 1 << 17),
            "scan of all points": (product_scan(metric)[1], 1 << 11),
        },
        x,
    )
    text = TEXT.format(
        where=describe(where),
        scale=SCALE,
        rounds=ROUNDS,
        plain=shown(plain),
        weighed=shown(weighed),
        condition=np.linalg.cond(metric),
        library=library,
        reduced=len(rows),
    )
    print(text)
    write_results("e8p-nearest", text, {"where": where, "plain": plain, "metric": weighed})


if __name__ == "__main__":
    main()
