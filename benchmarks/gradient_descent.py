"""Orbits of gradient descent on logistic losses, against NumPy and plain Numba loops.

    python -m benchmarks.gradient_descent [--quick] [--note TEXT]

Writes ``benchmarks/results/gradient-descent.md`` and ``.json``.
"""

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numba
import numpy as np
from scipy.special import expit

from benchmarks._harness import environment, interleave, median, options, publish, table, timed
from quincunx.kernels.gradient_descent._simd import LANES
from quincunx.kernels.gradient_descent._simd import sigmoids as sigmoids_of
from quincunx.kernels.threads import in_rows
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.orbits import settle, tails

POINTS = (2, 10, 100)
STEPS, ITERATIONS, ROUNDS, SECONDS = 2000, 2000, 41, 25.0
QUICK_STEPS, QUICK_ROUNDS = 200, 3
PEERS = ("NumPy", "Numba", "Numba, 16 steps")
TARGETS = {"NumPy": {2: 10.0, 10: 3.0, 100: 3.0}, "Numba": {2: 1.5, 10: 1.5, 100: 1.5}}
ROWS, SWEEPS = 32, 5000  # rows of LANES numbers, 8 KiB a thread, and how often they are gone over
STARTS = 10_000
# Rows of the plane's known cycles: counts of (0, 1) and (0, -1), the outlier, gamma, the period.
PLANE = ((3, 2, "64", "25.6", 0.899213258830, 27), (5, 4, "128", "51.2", 0.3, 26),
         (8, 7, "256", "102.4", 0.1, 30), (4, 2, "128", "25.6", 0.7, 26))  # fmt: skip
FAMILY = ((500, 600, 400, 300, 30, 7.18), (500, 600, 400, 600, 60, 4.0),
          (5000, 6000, 4000, 200000, 200, 0.08))  # fmt: skip

TEXT = """
A bifurcation diagram's work: gradient descent with {steps} steps of gamma = 1 to 3, {iterations}
iterations from one start, in one dimension. *NumPy* is `scipy.special.expit` on all steps at once
and a product with the weights, in buffers that are used again. *Numba* is a loop over steps,
iterations and points with `math.exp`, in which additions may be reordered; in *16 steps* the
innermost loop goes over 16 steps. All have a point and its negative merged, double precision, and,
but for NumPy, {threads} threads. Times are medians of up to {rounds} rounds in which all take
turns; ratios are theirs over ours. Targets: over NumPy {numpy};
over Numba {numba}.

{table}
"""

RATE = """
## Against the sigmoids that the machine can compute

The sigmoid of the orbits over {kib} KiB a thread in cache, and nothing else, in the same rounds:
{limit:.2f} billion a second on {threads} threads. `numpy.exp` on one thread makes {exp:.2f}
billion, `scipy.special.expit` {expit:.2f} billion. A map evaluation at n points takes n sigmoids.
Target: at most twice the time of the sigmoids alone.

{table}
"""

ENDS = """
## Where {starts} orbits end

`settle` from {starts} starts of the trapping ball: one run each, compiled before. Rows are the
known cycles of the plane; *share* is that of the starts that end on a cycle of the known period.

{table}
"""


def main() -> None:
    given = options(__doc__.split("\n")[0], "few steps, a few seconds").parse_args()
    where = environment(("quincunx", "numpy", "scipy", "numba", "llvmlite"))
    steps = QUICK_STEPS if given.quick else STEPS
    rounds = QUICK_ROUNDS if given.quick else ROUNDS
    speeds = {n: measured(n, steps, rounds) for n in POINTS}
    rates = exponentials()
    text = [
        TEXT.format(
            steps=steps, iterations=ITERATIONS, threads=threads(), rounds=rounds,
            numpy=targets("NumPy"), numba=targets("Numba"), table=speed_table(speeds),
        ),
        RATE.format(
            kib=8 * ROWS * LANES // 1024, threads=threads(), limit=rate(speeds[2]["sigmoids"]),
            exp=rates["numpy.exp"], expit=rates["expit"], table=rate_table(speeds, steps),
        ),
    ]  # fmt: skip
    data: dict[str, Any] = {"seconds": speeds, "billions a second": rates}
    ends = list(settled(1000 if given.quick else STARTS))
    head = ("problem", "gamma", "seconds", "cycles", "known period", "share", "unresolved")
    text.append(ENDS.format(starts=1000 if given.quick else STARTS, table=table(head, ends)))
    data["ends"] = [dict(zip(head, row, strict=True)) for row in ends]
    print("\n".join(text))
    publish("gradient_descent", "Gradient descent on logistic losses", given, where, text, data)


def problem_of(n: int) -> Logistic:
    """Points of both signs, none the negative of another."""
    if n == 2:
        return Logistic([1, -3])
    rng = np.random.default_rng(n)
    sizes = np.exp(rng.normal(size=n)).round(6)
    return Logistic(sizes * np.where(np.arange(n) % 3, 1, -1))


def measured(n: int, steps: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of each, after a check that all compute the same."""
    problem = problem_of(n)
    sizes = np.linspace(1, 3, steps) / problem.sharpness
    works = {name: work(problem, sizes) for name, work in WORKS.items()}
    # Few iterations: where an orbit is chaotic, rounding soon makes it another.
    first, *others = (work(10) for work in works.values())
    sigmoids()
    for other in others:
        np.testing.assert_allclose(first, other, rtol=0, atol=1e-9)
    runs: dict[str, Callable[[], Any]] = {
        name: (lambda work=work: work(ITERATIONS)) for name, work in works.items()
    }
    runs["sigmoids"] = sigmoids
    return {name: median(times) for name, times in interleave(runs, rounds, SECONDS).items()}


def ours(problem: Logistic, sizes: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda iterations: tails(problem, sizes, [1.0], iterations)[0, :, 0]


def by_numpy(problem: Logistic, sizes: np.ndarray) -> Callable[[int], np.ndarray]:
    merged = problem.merged
    z, pull = merged.directions, merged.pull[0]
    weighted = z[:, 0] * merged.weights

    def run(iterations: int) -> np.ndarray:
        w, t = np.ones(len(sizes)), np.empty((len(z), len(sizes)))
        for _ in range(iterations):
            np.multiply(z, w, out=t)
            expit(t, out=t)
            w -= sizes * (weighted @ t - pull)
        return w

    return run


def by_numba(loop: Callable[..., None]) -> Callable[..., Callable[[int], np.ndarray]]:
    def work(problem: Logistic, sizes: np.ndarray) -> Callable[[int], np.ndarray]:
        merged = problem.merged
        z, pull = merged.directions[:, 0].copy(), merged.pull[0]
        weighted = z * merged.weights

        def run(iterations: int) -> np.ndarray:
            w = np.ones(len(sizes))
            in_rows(lambda a, b: loop(w, sizes, z, weighted, pull, iterations, a, b), len(w))
            return w

        return run

    return work


@numba.njit(fastmath=True, nogil=True, error_model="numpy")
def plain(w: Any, steps: Any, z: Any, c: Any, pull: float, iterations: int, a: int, b: int) -> None:
    for i in range(a, b):
        x = w[i]
        for _ in range(iterations):
            gradient = -pull
            for k in range(len(z)):
                gradient += c[k] / (1 + math.exp(-z[k] * x))
            x -= steps[i] * gradient
        w[i] = x


@numba.njit(fastmath=True, nogil=True, error_model="numpy")
def blocks(
    w: Any, steps: Any, z: Any, c: Any, pull: float, iterations: int, a: int, b: int
) -> None:
    gradient = np.empty(16)
    for first in range(a, b, 16):
        count = min(16, b - first)
        x, step = w[first : first + count], steps[first : first + count]
        for _ in range(iterations):
            gradient[:] = -pull
            for k in range(len(z)):
                for i in range(count):
                    gradient[i] += c[k] / (1 + math.exp(-z[k] * x[i]))
            for i in range(count):
                x[i] -= step[i] * gradient[i]


WORKS: dict[str, Callable[[Logistic, np.ndarray], Callable[[int], np.ndarray]]] = {
    "ours": ours,
    "NumPy": by_numpy,
    "Numba": by_numba(plain),
    "Numba, 16 steps": by_numba(blocks),
}


def sigmoids() -> None:
    """Compute sigmoids and nothing else, on all threads."""

    def run(first: int, last: int) -> None:
        sweep(np.ones((ROWS, LANES)), (last - first) * SWEEPS)

    in_rows(run, threads(), least=1)


@numba.njit(nogil=True)
def sweep(values: Any, times: int) -> None:
    for _ in range(times):
        for i in range(len(values)):
            sigmoids_of(np.uintp(values[i].ctypes.data), 0)


def rate(seconds: float) -> float:
    """Billions a second of :func:`sigmoids`."""
    return threads() * SWEEPS * ROWS * LANES / seconds / 1e9


def exponentials() -> dict[str, float]:
    """What others make, in billions a second, one thread, in cache."""
    x = np.linspace(-5, 5, ROWS * LANES)
    out = np.empty_like(x)
    works = {"numpy.exp": lambda: repeat(np.exp, x, out), "expit": lambda: repeat(expit, x, out)}
    times = interleave(works, ROUNDS)
    return {name: 200 * len(x) / median(t) / 1e9 for name, t in times.items()}


def repeat(function: Callable[..., Any], x: np.ndarray, out: np.ndarray) -> None:
    for _ in range(200):
        function(x, out=out)


def threads() -> int:
    """How many ranges :func:`in_rows` makes."""
    ranges: list[int] = []
    in_rows(lambda first, last: ranges.append(first), 1024, least=1)
    return len(ranges)


def targets(peer: str) -> str:
    return ", ".join(f"{factor:g}x at {n}" for n, factor in TARGETS[peer].items())


def speed_table(speeds: dict[int, dict[str, float]]) -> str:
    rows = []
    for n, times in speeds.items():
        ratios = [f"**{times[peer] / times['ours']:.1f}x**" for peer in PEERS]
        rows.append((n, *(f"{1e3 * times[name]:.1f}" for name in WORKS), *ratios))
    head = ("n", *(f"{name} (ms)" for name in WORKS), *(f"{peer} / ours" for peer in PEERS))
    return table(head, rows)


def rate_table(speeds: dict[int, dict[str, float]], steps: int) -> str:
    rows = []
    for n, times in speeds.items():
        maps = steps * ITERATIONS / times["ours"] / 1e9
        limit = rate(times["sigmoids"])
        made = maps * len(problem_of(n).merged.weights)
        rows.append((n, f"{1e3 * maps:.1f}", f"{made:.2f}", f"{limit:.2f}", f"{limit / made:.2f}"))
    head = ("n", "maps (millions/s)", "sigmoids (billions/s)", "limit (billions/s)", "times")
    return table(head, rows)


def settled(starts: int) -> Iterable[tuple[object, ...]]:
    """Rows of the table of ends."""
    problems: list[tuple[str, Logistic, float, int]] = []
    for up, down, m, h, gamma, period in PLANE:
        problem = Logistic([(0, 1), (0, -1), (m, h), ("-" + m, h)], [up, down, 1, 1])
        name = f"(0,1)x{up} (0,-1)x{down} (+-{m},{h})"
        problems.append((name, problem, gamma / problem.sharpness, period))
    for a, up, down, m, h, step in FAMILY:
        points = [(1, 0), (-1, 0), (0, 1), (0, -1), (m, h), (-m, h)]
        problems.append((f"D({a},{up},{down},{m},{h})",
                         Logistic(points, [a, a, up, down, 1, 1]), step, 2))  # fmt: skip
    for name, problem, step, period in problems:
        drawn = problem.starts(starts, step, 0)
        settle(problem, step, drawn[:10], iterations=10)
        seconds, found = timed(lambda p=problem, s=step, w=drawn: settle(p, s, w))
        share = sum(cycle.share for cycle in found.cycles if cycle.period == period)
        gamma = f"{step * problem.sharpness:.6g}"
        yield (name, gamma, f"{seconds:.2f}", len(found.cycles), period, f"{share:.3f}",
               f"{found.unresolved:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
