"""Fused transforms on a GPU: right first, then timed against a copy and a dense product.

    python -m benchmarks.gpu_hadamard [--quick] [--note TEXT]

Writes ``benchmarks/results/gpu-hadamard.md`` and ``.json``. Needs a GPU of NVIDIA, torch and
Triton; without a GPU it says so and ends with code 2. A wrong transform ends it with code 1, before
any time is taken.
"""

import math
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import environment, in_processes, lacks_gpu, options, publish, table
from benchmarks.gpu_matmul import copy_rate, replayed
from quincunx.solvers.linalg import RandomHadamard
from quincunx.solvers.linalg.flat import flat

SIZES = (2048, 4096, 5120, 8192, 11008, 13824, 14336, 18944, 28672)
CHECKED = (1, 2, 7, 12, 60, 96, 101, 560, 804, 1000, 4099, 14784, 29568, 32768, 53248, *SIZES)
QUICK = (2, 60, 101, 4099, 4096, 11008)  # one for each way: kernels take long to compile
BATCHES = (1, 8, 256, 4096)
# What a number may be off by: in shares of sum |Q| |x|, and of itself.
# Tensor cores cut sums off instead of rounding them, so more than on a processor; a lost third of
# a number that is cut in three would be 1.5e-5.
SINGLE = 4e-6
ROUNDED = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8}
CACHE = 256 << 20  # bytes that a timed loop walks through: more than any cache
MOST_CALLS = 4096  # of a graph
MOST_DENSE = 16384  # beyond, the dense matrix is not made

TEXT = """
On {device}. *apply* multiplies bfloat16 by signs and the matrix, *undo* by the transposed matrix
and signs and adds a bias, both to bfloat16 and in one launch. Times are medians of replays of a
CUDA graph that holds 2 to 4096 calls, each with other inputs, so that launches do not count and
inputs come from memory, but for one row and few, which stay in the cache; microseconds a call.
*copy* is torch's copy of the same bytes, *dense* its product with the matrix in bfloat16, timed
likewise in the same run. A large copy within the device moved {copied:.2f} TB/s, reads and writes
counted.

Before that {checked} transforms were compared with products of float64: beyond what rounding to the
results' type explains, the largest difference was {worst:.1e} of sum |Q| |x|.

{table}
"""


def main() -> int:
    given = options(__doc__.splitlines()[0], "two sizes only; fewer checks").parse_args()
    if lacks_gpu():
        return 2
    import torch

    where = environment(("quincunx", "torch", "triton"))
    checked, worst = check(QUICK if given.quick else CHECKED)
    print(f"{checked} transforms checked; the largest difference is {worst:.1e}", flush=True)
    if not worst <= SINGLE:
        print("Wrong beyond what rounding explains; nothing is timed.", file=sys.stderr)
        return 1
    rows, data = [], {}
    sizes = SIZES[1:6:4] if given.quick else SIZES
    in_processes(compile_timed, list(product(sizes, BATCHES)))
    for n in sizes:
        for batch in BATCHES:
            try:
                found = times(n, batch)
            except Exception as error:  # the other cases still count
                print(f"{n} {batch}: {error!r}", file=sys.stderr)
                continue
            us = {name: "" if t is None else f"{t * 1e6:.2f}" for name, t in found.items()}
            dense = "" if found["dense"] is None else f"{found['dense'] / found['apply']:.1f}"
            rows.append((
                n, batch, *us.values(), f"{found['apply'] / found['copy']:.2f}", dense,
                f"{4 * n * batch / found['apply'] / 1e9:.0f}",
            ))  # fmt: skip
            data[f"{n}, rows={batch}"] = found
            print(*rows[-1], flush=True)
    head = (
        "n", "rows", "apply, us", "undo, us", "copy, us", "dense, us", "apply / copy",
        "dense / apply", "GB/s",
    )  # fmt: skip
    text = TEXT.format(
        device=torch.cuda.get_device_name(), copied=copy_rate() / 1e12, checked=checked,
        worst=worst, table=table(head, rows),
    )  # fmt: skip
    data = {"device": torch.cuda.get_device_name(), "seconds": data, "worst": worst}
    publish("gpu_hadamard", "Fused transforms on a GPU", given, where, [text], data)
    return 0


def check(sizes: tuple[int, ...]) -> tuple[int, float]:
    """Compare transforms of sizes, in all types; return how many, and the largest difference."""
    found = in_processes(compared, sizes)
    return sum(checked for checked, _ in found), max(worst for _, worst in found)


def compared(n: int) -> tuple[int, float]:
    """Compare transforms of a size; return how many, and the largest difference."""
    import torch

    checked, worst = 0, 0.0
    V = RandomHadamard(n, seed=n)
    factor, bias = torch.rand(n, device="cuda") + 0.5, torch.randn(n, device="cuda")
    for rows, name in product((1, 3, 33), ROUNDED):
        dtype = getattr(torch, name)
        x = (torch.randn(rows, n, device="cuda") + 1).to(dtype)
        try:
            shares = []
            for divisor in (None, factor):
                got = V.apply(x, divisor=divisor, dtype=dtype)
                again = torch.equal(got, V.apply(x, divisor=divisor, dtype=dtype))
                given = x.double() if divisor is None else x.double() / divisor.double()
                shares.append(beyond(got, V.apply(given), given) if again else math.inf)
            got = V.undo(x, factor=factor, bias=bias, dtype=dtype)
            given = x.double() * factor.double()
            shares.append(beyond(got, V.undo(given) + bias.double(), given, bias))
        except Exception as error:  # the other cases still tell something
            print(f"n={n}, {rows} rows, {name}: {error!r}", flush=True)
            shares = [math.inf]
        if not max(shares) <= SINGLE:
            print(f"n={n}, {rows} rows, {name}: off by {shares}", flush=True)
        checked, worst = checked + len(shares), max(worst, *shares)
    return checked, worst


def beyond(got: Any, expected: Any, given: Any, bias: Any = 0) -> float:
    """The largest difference that rounding of results does not explain, as a share."""
    n = expected.shape[-1]
    most = given.abs().sum(-1, keepdim=True) / math.sqrt(n) + abs(bias)
    rounded = ROUNDED[str(got.dtype).removeprefix("torch.")] * expected.abs()
    wrong = (got.double() - expected).abs() - rounded
    return float((wrong / most).nan_to_num(nan=float("inf")).max())


def times(n: int, batch: int) -> dict[str, float | None]:
    """Seconds of a call, by what is done."""
    import torch

    copies = min(MOST_CALLS, max(2, -(-CACHE // (4 * n * batch))))
    x, apply, undo = transforms(n, batch, copies)
    y = torch.empty_like(x)
    found: dict[str, float | None] = {
        "apply": replayed([partial(apply, v) for v in x]),
        "undo": replayed([partial(undo, v) for v in x]),
        "copy": replayed([lambda v=v, w=w: w.copy_(v) for v, w in zip(x, y, strict=True)]),
        "dense": None,
    }
    if n <= MOST_DENSE:
        matrix = torch.tensor(flat(np.eye(n, dtype=np.float32)), device="cuda").to(x.dtype)
        found["dense"] = replayed([lambda v=v: v @ matrix for v in x])
    return found


def compile_timed(case: tuple[int, int]) -> None:
    """Compile what :func:`times` needs, for Triton's cache on disk."""
    import torch

    try:
        x, apply, undo = transforms(*case, 1)
        apply(x[0]), undo(x[0])
        torch.cuda.synchronize()
    except Exception as error:  # it comes again where it is timed
        print(f"{case}: {error!r}", file=sys.stderr)


def transforms(n: int, batch: int, copies: int) -> tuple[Any, Any, Any]:
    """Return inputs of bfloat16, the transform with its signs, and the way back with a bias."""
    import torch

    V = RandomHadamard(n, seed=1)
    x = torch.randn(copies, batch, n, device="cuda").to(torch.bfloat16)
    bias = torch.randn(n, device="cuda", dtype=torch.bfloat16)
    return x, partial(V.apply, dtype=x.dtype), partial(V.undo, bias=bias, dtype=x.dtype)


if __name__ == "__main__":
    sys.exit(main())
