"""The trellis search at speed, against plain compiled loops.

    python -m benchmarks.viterbi_speed [--quick] [--note TEXT]

Writes ``benchmarks/results/viterbi-speed.md`` and ``.json``.
"""

import sys
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numba
import numpy as np

from benchmarks._harness import environment, interleave, median, options, publish, table
from quincunx.solvers.trellis import Bitshift, viterbi
from quincunx.solvers.trellis.viterbi import _in_16_bits

ROUNDS = 7
CASES = (("mul1", 1), ("mul1", 2), ("mul1", 3), ("mul1", 4), ("hyb", 2), ("mul1", 8))
SEQUENCES, QUICK = 64, 8

TEXT = """
Sequences of 256 numbers, states of 16 bits, tail-biting by two full passes ("paper"). *One thread*
is the compiled search alone; *all* is `viterbi` on all cores, with everything around it. *Plain
loops* are the same recursion in float32, loops over states and over nodes that compilers can make
vectors of, compiled by Numba, with back pointers of one byte, on one thread too. Weights a second,
medians over rounds in which all take turns.

{speeds}

One pass takes 65,536 states a step: each is a subtraction, a multiplication, an addition and a
comparison at least, of 32 states by one instruction of AVX-512. *Cycles* are for 32 states, of the
processor's clock as measured by a chain of dependent additions.
"""


@numba.njit(nogil=True, cache=True)
def plain(x: Any, values: Any, length: int, shift: int, states: Any) -> None:
    """Two passes as published, in loops that compilers make vectors of where they can."""
    steps, nodes, width = x.shape[1], 1 << (length - shift), x.shape[2]
    costs, total = np.zeros(nodes, np.float32), np.zeros(1 << length, np.float32)
    back = np.zeros((steps, nodes), np.uint8)
    for s in range(len(x)):
        for turn in range(2):
            offset = 0 if turn else steps - steps // 2
            joint = states[s, 0] >> shift
            for q in range(nodes):
                costs[q] = 0 if turn == 0 or q == joint else np.float32(1e30)
            for i in range(steps):
                t = (offset + i) % steps
                for state in range(1 << length):
                    total[state] = costs[state >> shift]
                for v in range(width):
                    number = x[s, t, v]
                    for state in range(1 << length):
                        total[state] += (values[v, state] - number) ** 2
                for q in range(nodes):
                    costs[q], back[i, q] = total[q], 0
                for way in range(1, 1 << shift):
                    for q in range(nodes):
                        cost = total[way * nodes + q]
                        back[i, q] = way if cost < costs[q] else back[i, q]
                        costs[q] = cost if cost < costs[q] else costs[q]
            node = joint if turn else np.argmin(costs)
            for i in range(steps - 1, -1, -1):
                states[s, (offset + i) % steps] = back[i, node] * nodes + node
                node = states[s, (offset + i) % steps] >> shift


@numba.njit
def chain(start: int, times: int) -> int:
    """Additions that wait for each other, and cannot be guessed."""
    for i in range(times):
        start = (start ^ i) + 1
    return start


def main() -> None:
    given = options(__doc__.split("\n")[0], "few sequences").parse_args()
    where = environment(("quincunx", "numpy", "numba"))
    count = QUICK if given.quick else SEQUENCES
    x = np.random.default_rng(0).standard_normal((count, 256))
    rows, data = [], {}
    for code, bits in CASES:
        trellis = Bitshift.of_code(code, bits)
        works = searches(trellis, x)
        times = {k: median(t) for k, t in interleave(works, ROUNDS).items()}
        sizes = {"one": count, "all": count, "plain": 1}
        speed = {k: 256 * sizes[k] / times[k] for k in sizes}
        steps = 2 * 256 // trellis.width * (1 << 16) / 32
        cycles = times["one"] / count / steps * 2e6 / times["clock"]
        data[f"{code}, {bits}"] = speed
        rows.append(
            (
                f"{code}, {bits} bits",
                *(f"{speed[k]:,.0f}" for k in ("one", "all", "plain")),
                f"**{speed['one'] / speed['plain']:.1f}x**",
                f"{cycles:.1f}",
            )
        )
        print(*rows[-1], flush=True)
    head = ("code", "one thread", "all", "plain loops", "one thread / plain", "cycles")
    text = TEXT.format(speeds=table(head, rows))
    publish("viterbi_speed", "The trellis search at speed", given, where, [text], data)


def searches(trellis: Bitshift, x: np.ndarray) -> dict[str, Any]:
    from quincunx.kernels.viterbi._numba import search

    bits = trellis.shift // trellis.width
    numbers = x.reshape(len(x), -1, trellis.width)
    find = search(trellis.state_bits, trellis.shift, trellis.width, max(bits - 3, 0))
    short, small = _in_16_bits(numbers, 8192), _in_16_bits(trellis.values.T, 8192)
    turns, states = np.zeros(0, np.int64), np.zeros(numbers.shape[:2], np.int32)
    single = numbers[:1].astype(np.float32)
    columns = np.ascontiguousarray(trellis.values.T)
    found = np.zeros((1, numbers.shape[1]), np.int64)
    half = numbers.shape[1] // 2
    works = {
        "one": lambda: find(short, small, half, turns, states, 0, len(x)),
        "all": lambda: viterbi(x, trellis),
        "plain": lambda: plain(single, columns, 16, trellis.shift, found),
        "clock": lambda: chain(1, 1_000_000),  # two cycles each
    }
    for work in works.values():
        work()  # compile
    error = ((columns[:, found[0]].T - numbers[0]) ** 2).sum()
    ours = ((columns[:, states[0]].T - numbers[0]) ** 2).sum()
    assert abs(ours / error - 1) < 0.02, "the two searches disagree"
    return works


if __name__ == "__main__":
    main()
