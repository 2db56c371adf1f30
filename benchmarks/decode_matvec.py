"""Matrix-vector products with compressed weights on the processor, beside torch's with plain ones.

    python -m benchmarks.decode_matvec [--quick] [--note TEXT]

Writes ``benchmarks/results/decode-matvec.md`` and ``.json``. Needs torch. Codes are random bytes:
no time depends on them.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks._harness import environment, interleave, median, options, publish, table
from quincunx.kernels.e8p_matmul import _numba as e8p_loops
from quincunx.kernels.e8p_matmul import reference as e8p_plain
from quincunx.kernels.few_rows import operands
from quincunx.kernels.grid_matmul import _numba as grid_loops
from quincunx.kernels.packing import row_size
from quincunx.kernels.threads import _threads
from quincunx.kernels.trellis_matmul import compiled_product

SHAPE, ROUNDS, BUDGET = (4096, 11008), 25, 100.0
CODES = ("mul1", "1mad", "3inst", "hyb", "lookup")

TEXT = """
One vector, weights {m} x {n}, {threads} threads on both sides. Milliseconds are medians of
{rounds} rounds in which every product and every loop is run once, one after the other, so that a
busy moment of the machine hits all of them. *float32* and *bfloat16* say how many times as fast as
torch's product of that type it is; torch took {float32:.2f} and {bfloat16:.2f} ms. *of decoding*:
the rate in percent of that of the same loop with the product left out, which only adds up what it
decodes. *GB/s*: of codes that are read. Torch's times are those of `torch.nn.functional.linear`, or
of `torch.mv` where that is faster. After torch's products all rest for 20 ms, in which its threads
cease to wait busily. In {cpu:.1f} s of products with
mul1 the process was given {share:.2f} processors.

{table}

With more vectors, k = 2, milliseconds; torch by `linear`:

{more}
"""


def main() -> None:
    """Run, and write the results."""
    given = options(__doc__.splitlines()[0], "a tenth of the rows, few rounds").parse_args()
    where = environment(["numpy", "numba", "llvmlite", "torch"])
    shape = (416, SHAPE[1]) if given.quick else SHAPE
    rounds = 3 if given.quick else ROUNDS
    torch.set_num_threads(_threads())
    peers = _peers(shape, 1)
    codes = {f"{name} {bits}": _loops(name, bits, shape, 1) for name, bits in _cases()}
    works: dict[str, Callable[[], Any]] = {**peers, "rest": lambda: time.sleep(0.02)}
    for name, (product, sums) in codes.items():
        works |= {name: product, f"{name}, decoding": sums}
    for work in works.values():
        work()  # compiled, and pages touched
    times = interleave(works, rounds, BUDGET)
    middle = {name: 1e3 * median(found) for name, found in times.items()}
    plain = {kind: min(middle[f"{kind} {way}"] for way in ("mv", "linear")) for kind in KINDS}
    rows = []
    for name in codes:
        own, bits = middle[name], int(name.split()[1])
        size = shape[0] * shape[1] * bits / 8
        rows.append(
            [name, f"{own:.2f}", *[f"{plain[kind] / own:.2f}" for kind in KINDS],
             f"{100 * middle[f'{name}, decoding'] / own:.0f} %", f"{size / own / 1e6:.2f}"]
        )  # fmt: skip
    several = _several(shape, rounds)
    cpu, share = _share(codes["mul1 2"][0])
    head = ["code, bits", "ms", "float32", "bfloat16", "of decoding", "GB/s"]
    page = TEXT.format(
        m=shape[0], n=shape[1], threads=_threads(), rounds=len(times["float32 mv"]), **plain,
        cpu=cpu, share=share,
        table=table(head, rows),
        more=table(
            ["", *[f"{count} vectors" for count in several]],
            [[name, *[f"{found[name]:.2f}" for found in several.values()]] for name in several[2]],
        ),
    )  # fmt: skip
    data = {
        "shape": shape,
        "threads": _threads(),
        "seconds": times,
        "processors": share,
        "ms_of_several": several,
    }
    publish("decode_matvec", "Products with compressed weights", given, where, [page], data)
    print(page)


KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _cases() -> list[tuple[str, int]]:
    trellis = [
        (code, bits) for bits in (2, 3, 4) for code in CODES if bits == 2 or code != "lookup"
    ]
    return [*trellis, *[(name, bits) for name in ("grid", "e8p") for bits in (2, 3, 4)]]


def _several(shape: tuple[int, int], rounds: int) -> dict[int, dict[str, float]]:
    """Milliseconds with more vectors."""
    found = {}
    for count in (2, 4, 8):
        works = {k: v for k, v in _peers(shape, count).items() if "linear" in k}
        works |= {
            f"{name} 2": _loops(name, 2, shape, count)[0] for name in ("mul1", "hyb", "grid", "e8p")
        }
        for work in works.values():
            work()
        times = interleave(works, rounds // 3, BUDGET / 5)
        found[count] = {name: 1e3 * median(seconds) for name, seconds in times.items()}
    return found


def _share(work: Callable[[], Any]) -> tuple[float, float]:
    """How long many runs took, and how many processors the process had meanwhile."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(50):
        work()
    wall = time.perf_counter() - wall
    return wall, (time.process_time() - cpu) / wall


def _peers(shape: tuple[int, int], count: int) -> dict[str, Callable[[], Any]]:
    """Torch's products."""
    works: dict[str, Callable[[], Any]] = {}
    generator = torch.Generator().manual_seed(0)
    for name, kind in KINDS.items():
        weights = torch.randn(shape, generator=generator).to(kind)
        x = torch.randn(count, shape[1], generator=generator).to(kind)
        works[f"{name} linear"] = lambda w=weights, x=x: torch.nn.functional.linear(x, w)
        if count == 1:
            works[f"{name} mv"] = lambda w=weights, x=x: torch.mv(w, x[0])
    return works


def _loops(
    name: str, bits: int, shape: tuple[int, int], count: int
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A product with random codes, and the same loop without the product."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, shape[1])).astype(np.float32)
    rows, columns, widths = shape[0], shape[1], (bits,)
    if name == "e8p":
        columns, widths = columns // 8, e8p_plain.WIDTHS[bits]
    elif name != "grid":
        rows, columns, widths = -(-rows // 32), columns // 8, (8,) * 32 * bits
    packed = rng.integers(0, 256, (rows, row_size(columns, widths)), dtype=np.uint8)
    given = operands(x, packed, shape[1])
    assert given is not None
    if name == "grid":
        return tuple(
            lambda s=s: grid_loops.product(given, bits=bits, sums=s) for s in (False, True)
        )
    if name == "e8p":
        return tuple(
            lambda s=s: e8p_loops.product(given, bits=bits, ratio=2.0, sums=s)
            for s in (False, True)
        )
    return tuple(
        lambda s=s: compiled_product(given, shape[0], bits=bits, code=name, tile=(32, 8), sums=s)
        for s in (False, True)
    )


if __name__ == "__main__":
    main()
