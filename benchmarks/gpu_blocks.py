"""Other ways to cut up products with coded weights on a GPU: what the defaults were chosen by.

    python -m benchmarks.gpu_blocks [--quick] [--note TEXT]

Writes ``benchmarks/results/gpu-blocks.md`` and ``.json``. Needs a GPU of NVIDIA, torch and Triton;
without a GPU it says so and ends with code 2. Results are not checked: ``benchmarks.gpu_matmul``
does that.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, in_processes, lacks_gpu, options, publish, table
from benchmarks.gpu_matmul import CACHE, coded_calls, replayed, torch_time
from quincunx.kernels.gpu_parts import Blocks

SHAPES = (
    (1024, 4096), (4096, 4096), (12288, 4096), (22016, 4096), (4096, 11008), (4096, 14336),
    (8192, 28672),
)  # fmt: skip
LARGE = (4096, 14336)  # for many rows

TEXT = """
On {device}. Microseconds a product with random codes and inputs in bfloat16, the median of replays
of a CUDA graph; *torch* is its product with bfloat16 weights. *warps*, *height*, *along*, *batch*
and *programs* are as `quincunx.kernels.gpu_parts.Blocks` says: warps of a program, its rows of W,
columns of W that are decoded at a time, rows of inputs, and programs that sums are split for.

## One row of inputs

{vector}

## More rows, {shape} weights

The fastest first.

{matrix}
"""


class Case(NamedTuple):
    """A product and how it is cut up."""

    code: str
    bits: int
    rows: int
    shape: tuple[int, int]
    blocks: Blocks


def cases() -> list[Case]:
    """What is timed: one row of inputs for all shapes, more for one."""
    found = [
        Case(code, bits, 1, shape, Blocks(warps, height, 256, 8, 1))
        for code, bits in (("mul1", 2), ("mul1", 4))
        for height in (16, 32)
        for warps in (4, 8, 16)
        for shape in SHAPES
    ]
    for rows in (16, 32, 64, 128, 256):
        for height in (64, 128):
            for warps in (4, 8):
                for programs in (132, 264, 528, 1056):
                    blocks = Blocks(warps, height, 64, rows, programs)
                    if height * rows * 2 >= 2048 * warps and height * rows <= 32768:
                        found.append(Case("mul1", 2, rows, LARGE, blocks))
                        if rows == 256 and programs <= 264:
                            found += [Case(c, k, rows, LARGE, blocks) for c, k in OTHERS]
    return found


OTHERS = (("e8p", 2), ("grid", 4))


def main() -> int:
    given = options(__doc__.splitlines()[0], "a tenth of the cases").parse_args()
    if lacks_gpu():
        return 2
    import torch

    where = environment(("quincunx", "torch", "triton"))
    chosen = cases()[:: 10 if given.quick else 1]
    in_processes(compiled, chosen)
    times = [(case, timed(case)) for case in chosen]
    plain = {(rows, LARGE): torch_time(LARGE, rows) for rows in (16, 32, 64, 128, 256)}
    plain |= {(1, shape): torch_time(shape, 1) for shape in SHAPES}
    device = torch.cuda.get_device_name()
    seconds = [(case, time) for case, time in times if time is not None]
    data = {
        "device": device,
        "seconds": [[*case, time] for case, time in seconds],
        "torch": [[*key, time] for key, time in plain.items()],
    }
    publish(
        "gpu_blocks", "How products on a GPU are cut up", given, where,
        [written(device, seconds, plain)], data,
    )  # fmt: skip
    return 0


def compiled(case: Case) -> None:
    """Compile what :func:`timed` needs, for Triton's cache on disk."""
    import torch

    try:
        coded_calls(case.shape, case.rows, case.code, case.bits, 1, case.blocks)[0]()
        torch.cuda.synchronize()
    except Exception as error:  # too many registers or too much shared memory
        print(f"{case}: {error!r}", file=sys.stderr)


def timed(case: Case) -> float | None:
    """Return seconds of a product, or None where it does not fit the GPU."""
    size = case.shape[0] * case.shape[1] * case.bits // 8
    copies = max(2, -(-CACHE // size)) if case.rows == 1 else 4
    calls = coded_calls(case.shape, case.rows, case.code, case.bits, copies, case.blocks)
    try:
        return replayed(calls, 10)
    except Exception:
        return None


def written(
    device: str,
    seconds: Iterable[tuple[Case, float]],
    plain: dict[tuple[int, tuple[int, int]], float],
) -> str:
    """Write the tables."""
    seconds = list(seconds)
    shapes = [shape for rows, shape in plain if rows == 1]
    lines: dict[tuple[object, ...], dict[tuple[int, int], str]] = {}
    for case, time in seconds:
        if case.rows == 1:
            way = case.code, case.bits, case.blocks.warps, case.blocks.height, case.blocks.programs
            lines.setdefault(way, {})[case.shape] = f"{time * 1e6:.2f}"
    body = [(*way, *(found.get(s, "") for s in shapes)) for way, found in lines.items()]
    body.append(("torch", 16, "", "", "", *(f"{plain[1, s] * 1e6:.1f}" for s in shapes)))
    head = ("code", "k", "warps", "height", "programs", *(f"{m} x {n}" for m, n in shapes))
    many = sorted(
        ((c, t) for c, t in seconds if c.rows > 1), key=lambda x: (x[0].rows, x[0].code, x[1])
    )
    more = [
        (
            c.code, c.bits, c.rows, *c.blocks, f"{t * 1e6:.1f}",
            f"{plain[c.rows, c.shape] / t:.2f}" if (c.rows, c.shape) in plain else "",
        )
        for c, t in many
    ]  # fmt: skip
    also = ("code", "k", "rows", *Blocks._fields, "us", "torch / ours")
    return TEXT.format(
        device=device, vector=table(head, body), matrix=table(also, more),
        shape=" x ".join(map(str, LARGE)),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
