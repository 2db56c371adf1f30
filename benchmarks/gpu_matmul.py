"""Products with coded weights on a GPU: right first, then timed against torch's bfloat16.

    python -m benchmarks.gpu_matmul [--quick] [--note TEXT]

Writes ``benchmarks/results/gpu-matmul.md`` and ``.json``. Needs a GPU of NVIDIA, torch and Triton;
without a GPU it says so and ends with code 2. A wrong product ends it with code 1, before any time.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks._harness import environment, in_processes, lacks_gpu, options, publish, table
from quincunx.kernels import packing, trellis_codes
from quincunx.kernels.e8p_matmul.reference import WIDTHS
from quincunx.kernels.e8p_matmul.reference import e8p_matmul as e8p_plain
from quincunx.kernels.gpu_parts import Blocks
from quincunx.kernels.grid_matmul.reference import grid_matmul as grid_plain

SHAPES = ((4096, 4096), (4096, 14336), (8192, 28672))
BATCHES = (1, 256)
TIMED = (
    *((code, bits) for code in ("mul1", "hyb", "3inst") for bits in (2, 3, 4)),
    ("e8p", 2),
    ("grid", 4),
)
RATIO = 1.75  # of stages of E8P: any will do
QUICK = (("mul1", 2), ("hyb", 2), ("e8p", 2), ("grid", 4))  # checked where little time is left
CHECKED = ((256, 512), (100, 333))  # shapes; the second is not made of whole tiles
BOUNDS = {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}
CACHE = 256 << 20  # bytes of weights that a timed loop walks through: more than any cache

TEXT = """
On {device}. Products y = W x with random codes, those of trellises in tiles of 32 x 8; inputs in
bfloat16. Times are medians of replays of a CUDA graph that holds {loops} or more calls, each with
other weights, so that weights come from memory and launches do not count; microseconds a call, the
parts' sum and the scales included. *torch* is its product with bfloat16 weights, timed likewise in
the same run. *GB/s* counts the bytes of the codes. A device-to-device copy moved {copied:.2f} TB/s,
reads and writes counted.

Before that {checked} products were compared with decoded weights{all}: the largest
differences are {worst} of sum |w| |x|.

{table}
"""


def main() -> int:
    given = options(__doc__.splitlines()[0], "one shape, mul1 at k = 2; fewer checks").parse_args()
    if lacks_gpu():
        return 2
    import torch

    where = environment(("quincunx", "torch", "triton"))
    checked, worst = check(quick=given.quick)
    print(f"{checked} products checked; largest differences {worst}", flush=True)
    wrong = {name: value for name, value in worst.items() if not value <= BOUNDS[name]}
    if wrong:
        print(f"Wrong beyond what rounding explains: {wrong}; nothing is timed.", file=sys.stderr)
        return 1
    rows, data = [], {}
    shapes, codes = SHAPES[: 1 if given.quick else None], TIMED[: 1 if given.quick else None]
    in_processes(compile_timed, [(s, b, *code) for code in codes for b in BATCHES for s in shapes])
    for shape in shapes:
        for batch in BATCHES:
            dense = torch_time(shape, batch)
            for code, bits in codes:
                try:
                    ours = coded_time(shape, batch, code, bits)
                except Exception as error:  # the other cases still count
                    print(f"{shape} {batch} {code} {bits}: {error!r}", file=sys.stderr)
                    ours = float("nan")
                rate = shape[0] * shape[1] * bits / 8 / ours / 1e9
                name = f"{shape[0]} x {shape[1]}"
                rows.append((
                    name, batch, code, bits, f"{ours * 1e6:.1f}", f"{dense * 1e6:.1f}",
                    f"{dense / ours:.2f}", f"{rate:.0f}",
                ))  # fmt: skip
                data[f"{name}, rows={batch}, {code}, k={bits}"] = [ours, dense]
                print(*rows[-1], flush=True)
    head = ("weights", "rows", "code", "k", "ours, us", "torch, us", "ratio", "GB/s")
    text = TEXT.format(
        device=torch.cuda.get_device_name(), loops=2, copied=copy_rate() / 1e12, checked=checked,
        all="" if given.quick else ", all codes among them",
        worst=", ".join(f"{value:.1e} in {name}" for name, value in worst.items()),
        table=table(head, rows),
    )  # fmt: skip
    data = {"device": torch.cuda.get_device_name(), "seconds": data, "worst": worst}
    publish("gpu_matmul", "Products with coded weights on a GPU", given, where, [text], data)
    return 0


@dataclass(frozen=True)
class Case:
    """Products that are compared with decoded weights; a tile is None for rows of codes."""

    code: str
    bits: int
    shape: tuple[int, int]
    tile: tuple[int, int] | None
    dtype: str


def cases() -> list[Case]:
    """All codes, bits, shapes and types of inputs: trellises, then rows of codes."""
    found = []
    for number, code in enumerate(trellis_codes.NAMES):
        for bits in range(1, 9):
            tile = ((32, 8), (16, 16))[(number + bits) // 2 % 2]
            found += [Case(code, bits, CHECKED[bits % 2], tile, name) for name in BOUNDS]
    for kind, widths in (("e8p", (2, 3, 4)), ("grid", range(1, 9))):
        for bits in widths:
            found += [Case(kind, bits, s, None, name) for s in CHECKED for name in BOUNDS]
    return found


def check(*, quick: bool = False) -> tuple[int, dict[str, float]]:
    """Compare products of all codes; return how many, and the largest difference by type.

    Nearly all of the time goes into compiling some 700 kernels; quick, of few codes, about 80.
    """
    chosen = [case for case in cases() if not quick or (case.code, case.bits) in QUICK]
    checked, worst = 0, dict.fromkeys(BOUNDS, 0.0)
    for case, (count, share) in zip(chosen, in_processes(compared, chosen), strict=True):
        checked += count
        worst[case.dtype] = max(worst[case.dtype], share)
    return checked, worst


def compared(case: Case) -> tuple[int, float]:
    """Compare a case's products; return how many, and the largest difference as a share."""
    import torch

    shape = case.shape
    if case.tile is None:
        qweight, weights = rows_problem(shape, case.bits, case.code)
        product = rows_product(shape, case.bits, case.code)
    else:
        qweight, weights = problem(shape, case.bits, case.code, case.tile)
        product = partial(
            trellis_product(), shape=shape, bits=case.bits, code=case.code, tile=case.tile
        )
    scales = torch.rand(shape[0], device="cuda") + 0.5
    checked, worst = 0, 0.0
    for batch in (1, 3, 8, 16, 33, 256) if case.bits in (2, 3) else (2, 17):
        checked += 1
        try:
            x = torch.randn(batch, shape[1], device="cuda").to(getattr(torch, case.dtype)) + 1
            y = product(x, qweight, scales)
            again = torch.equal(y, product(x, qweight, scales))
        except Exception as error:  # the other cases still tell something
            print(f"{case}, {batch} rows: {error!r}", flush=True)
            worst = float("inf")
            continue
        exact = x.double() @ weights.T * scales
        most = x.double().abs() @ weights.T.abs() * scales
        share = float(((y.double() - exact).abs() / most).nan_to_num(nan=float("inf")).max())
        if not again or not share <= BOUNDS[case.dtype]:
            print(f"{case}, {batch} rows: off by {share:.1e}, equal calls equal: {again}")
        worst = max(worst, share if again else float("inf"))
    return checked, worst


def trellis_product() -> Any:
    """Return the product for trellises; Triton is imported where it runs."""
    from quincunx.kernels.trellis_matmul._triton import trellis_matmul

    return trellis_matmul


def rows_problem(shape: tuple[int, int], bits: int, kind: str) -> tuple[Any, Any]:
    """Return random rows of codes, and the weights they stand for in float64, on the GPU."""
    import torch

    packed = np.random.default_rng(bits).integers(0, 256, (shape[0], row_bytes(shape, bits, kind)))
    packed = packed.astype(np.uint8)
    one = np.eye(shape[1], dtype=np.float32)
    if kind == "e8p":
        weights = e8p_plain(one, packed, shape, bits=bits, ratio=RATIO).T
    else:
        weights = grid_plain(one, packed, shape, bits=bits).T
    weights = torch.tensor(np.ascontiguousarray(weights), dtype=torch.float64, device="cuda")
    return torch.tensor(packed, device="cuda"), weights


def rows_product(shape: tuple[int, int], bits: int, kind: str) -> Any:
    """Return the product for a kind of rows."""
    from quincunx.kernels.e8p_matmul._triton import e8p_matmul
    from quincunx.kernels.grid_matmul._triton import grid_matmul

    if kind == "e8p":
        return partial(e8p_matmul, shape=shape, bits=bits, ratio=RATIO)
    return partial(grid_matmul, shape=shape, bits=bits)


def row_bytes(shape: tuple[int, int], bits: int, kind: str) -> int:
    """Bytes of a row of codes."""
    if kind == "e8p":
        return packing.row_size(-(-shape[1] // 8), WIDTHS[bits])
    return packing.row_size(shape[1], (bits,))


def problem(shape: tuple[int, int], bits: int, code: str, tile: tuple[int, int]) -> tuple[Any, Any]:
    """Return random codes, and the weights they stand for in float64, on the GPU."""
    import torch

    rows, columns = -(-shape[0] // tile[0]), -(-shape[1] // tile[1])
    width = trellis_codes.width(code)
    packed = np.random.default_rng(bits).integers(0, 256, (rows, columns * 32 * bits), np.uint8)
    states = packing.unpack(packed.reshape(rows * columns, -1), 256 // width, width * bits, 16)
    tiles = trellis_codes.values(code)[states].reshape(rows, columns, *tile)
    weights = tiles.transpose(0, 2, 1, 3).reshape(rows * tile[0], columns * tile[1])
    weights = torch.tensor(weights[: shape[0], : shape[1]], dtype=torch.float64, device="cuda")
    return torch.tensor(packed, device="cuda"), weights


def coded_time(shape: tuple[int, int], batch: int, code: str, bits: int) -> float:
    """Seconds of a product with coded weights."""
    size = shape[0] * shape[1] * bits // 8
    return replayed(coded_calls(shape, batch, code, bits, max(2, -(-CACHE // size))))


def compile_timed(case: tuple[tuple[int, int], int, str, int]) -> None:
    """Compile what :func:`coded_time` needs, for Triton's cache on disk."""
    import torch

    try:
        coded_calls(*case, 1)[0]()
        torch.cuda.synchronize()
    except Exception as error:  # it comes again where it is timed
        print(f"{case}: {error!r}", file=sys.stderr)


def coded_calls(
    shape: tuple[int, int],
    batch: int,
    code: str,
    bits: int,
    copies: int,
    blocks: Blocks | None = None,
) -> list[Callable[[], Any]]:
    """Return products with coded weights, each with others."""
    import torch

    rows = (shape[0] // 32, shape[1] // 8 * 32 * bits)
    product = partial(trellis_product(), shape=shape, bits=bits, code=code)
    if code in ("e8p", "grid"):
        rows, product = (shape[0], row_bytes(shape, bits, code)), rows_product(shape, bits, code)
    codes = torch.randint(0, 256, (copies, *rows), dtype=torch.uint8, device="cuda")
    x = torch.randn(batch, shape[1], device="cuda", dtype=torch.bfloat16)
    scales = torch.ones(shape[0], device="cuda")
    return [partial(product, x, q, scales, blocks=blocks) for q in codes]


def torch_time(shape: tuple[int, int], batch: int) -> float:
    """Seconds of torch's product in bfloat16."""
    import torch

    copies = max(2, -(-CACHE // (2 * shape[0] * shape[1])))
    weights = torch.randn(copies, *shape, device="cuda", dtype=torch.bfloat16)
    x = torch.randn(batch, shape[1], device="cuda", dtype=torch.bfloat16)
    return replayed([lambda w=w: torch.nn.functional.linear(x, w) for w in weights])


def replayed(calls: list[Any], repeats: int = 20) -> float:
    """Seconds a call: the median of replays of all of them as one graph."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls[:2]:  # compiles, and makes what is made once
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    for _ in range(3):
        graph.replay()
    return median_seconds(graph.replay, repeats) / len(calls)


def copy_rate() -> float:
    """Bytes a second of a copy within the device, reads and writes counted."""
    import torch

    first = torch.randint(0, 256, (1 << 30,), dtype=torch.uint8, device="cuda")
    second = torch.empty_like(first)
    return 2 * first.numel() / median_seconds(lambda: second.copy_(first), 20)


def median_seconds(work: Any, repeats: int) -> float:
    import torch

    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
