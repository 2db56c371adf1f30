"""Registers and instructions of the products with coded weights, and which limit of a GPU binds.

    python -m benchmarks.matmul_cost [--quick] [--note TEXT]

Writes ``benchmarks/results/matmul-cost.md`` and ``.json``. Needs Triton and torch, and no GPU: the
kernels of ``quincunx.kernels``' products are compiled as they are launched, and disassembled.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, options, publish, table
from quincunx.kernels import gpu_rows, trellis_codes
from quincunx.kernels.gpu_parts import FEW, Blocks
from quincunx.kernels.trellis_matmul import _triton as trellis

# Each with the bits that are counted: codes of trellises, then what is coded row by row.
CASES = {code: (1, 2, 3, 4, 8) for code in trellis_codes.NAMES} | {
    "e8p": (2, 3, 4),
    "grid": (2, 3, 4, 8),
}
ROWS = ("e8p", "grid")
DEFAULTS = (("mul1", 2), ("hyb", 2), ("e8p", 2), ("grid", 4))
BATCHES = (1, 2, 4, 8)
MANY = (16, 32, 64, 128, 256)
ARCHITECTURE = 90
TILE = (32, 8)
TYPES = {"float16": "*fp16", "bfloat16": "*bf16", "float32": "*fp32"}
# bytes a second, measured by copying, and instructions a second of all lanes
DEVICES = {"H200": (4.3e12, 3.1e13), "RTX 4090": (1.0e12, 4.1e13)}

TEXT = """
The kernels are compiled with Triton for sm_{sm} as for inputs in float16 and tiles of 32 x 8, and
disassembled with nvdisasm; *e8p* and *grid* as for one scale a row and rows of whole units.
*Instructions* are all of the loop over the columns, loads, addresses and the inputs' conversion
among them, divided by the weights that a thread decodes in one pass. *Once* are those outside the
loop. *Spills* are bytes of stack and local memory.

## One row of inputs

Weights a second, in 10^12: what memory allows, and what instructions do; the lower binds. Issue
slots are the only limit of computation that is counted: not latencies, not the rate at which a
table is read, not what some instructions cost beyond a slot.

{vector}

## More rows

Up to {few} rows are multiplied without tensor cores; with more, a block of W is decoded once for as
many rows as the last column says.

{batches}
"""


def main() -> None:
    given = options(__doc__.splitlines()[0], "k = 2 and the default codes only").parse_args()
    where = environment(("quincunx", "triton"))
    cases = CASES
    if given.quick:
        cases = {code: (k,) for code, k in DEFAULTS}
    found: dict[str, Any] = {}
    rows = []
    for code, bits in cases.items():
        for k in bits:
            cost = found[key(code, k, 1)] = measured(code, k, 1)
            rates = roofline(cost["instructions"], k)
            limits = [f"{rates[d][w] / 1e12:.1f}" for d in DEVICES for w in ("memory", "issue")]
            binds = ["memory" if rates[d]["memory"] <= rates[d]["issue"] else "issue"
                     for d in DEVICES]  # fmt: skip
            share = f"{100 * min(1, rates['H200']['issue'] / rates['H200']['memory']):.0f} %"
            rows.append((
                code, k, k / 8, cost["registers"], cost["spills"], f"{cost['instructions']:.2f}",
                cost["once"], *limits[:2], binds[0], share, *limits[2:], binds[1],
            ))  # fmt: skip
            print(*rows[-1], flush=True)
    more = []
    for code, k in DEFAULTS:
        for batch in (*BATCHES, *MANY):
            cost = found[key(code, k, batch)] = measured(code, k, batch)
            more.append((
                code, k, batch, cost["registers"], cost["spills"], f"{cost['instructions']:.2f}",
                cost["once"], cost["rows"],
            ))  # fmt: skip
            print(*more[-1], flush=True)
    head = (
        "code", "k", "bytes a weight", "registers", "spills", "instructions", "once",
        "H200: memory", "issue", "binds", "of memory's rate", "RTX 4090: memory", "issue", "binds",
    )  # fmt: skip
    text = TEXT.format(
        sm=ARCHITECTURE,
        few=FEW,
        vector=table(head, rows),
        batches=table(
            ("code", "k", "rows", "registers", "spills", "instructions", "once", "rows a program"),
            more,
        ),
    )
    publish("matmul_cost", "What a product with coded weights costs", given, where, [text],
            {"costs": found})  # fmt: skip


def key(code: str, bits: float, batch: int) -> str:
    """Name a case in the results."""
    return f"{code}, k={bits:g}, rows={batch}"


def roofline(instructions: float, bits: float) -> dict[str, dict[str, float]]:
    """Return weights a second by device and limit."""
    return {
        name: {"memory": bandwidth / (bits / 8), "issue": issue / instructions}
        for name, (bandwidth, issue) in DEVICES.items()
    }


def measured(
    code: str,
    bits: float,
    batch: int,
    dtype: str = "float16",
    architecture: int = ARCHITECTURE,
    tile: tuple[int, int] = TILE,
    load: str = "units",
) -> dict[str, Any]:
    """Compile the kernel that a product would launch, and count; ``load`` is of rows of codes."""
    few = batch <= FEW
    if code in ROWS:
        blocks = gpu_rows.chosen(batch, dtype, int(bits), load=load, architecture=architecture)
        kernel, shape = compiled_rows(code, int(bits), batch, dtype, architecture, blocks, load)
        weights = 32 * blocks.height if few else blocks.height * blocks.along / (32 * blocks.warps)
    else:
        blocks = trellis.chosen(batch, dtype, bits=bits, architecture=architecture)
        kernel, shape = compiled(code, bits, batch, dtype, architecture, tile, blocks)
        weights = blocks.height * blocks.along / (32 * blocks.warps)
        weights = 256 / shape["EACH"] if few else weights
    inside, once, used = disassembled(kernel)
    return used | {
        "instructions": sum(inside.values()) / weights,
        "once": once,
        "rows": shape["BATCH"],
        "weights": weights,
        "names": {name: count / weights for name, count in inside.most_common(12)},
    }


def disassembled(kernel: Any) -> tuple[Counter[str], int, dict[str, int]]:
    """Return instructions of a compiled kernel's longest loop, of the rest, and what it takes."""
    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        listing, usage = (
            subprocess.run([tools / name, option, cubin], capture_output=True, text=True,
                           check=True).stdout
            for name, option in (("nvdisasm", "-c"), ("cuobjdump", "--dump-resource-usage"))
        )  # fmt: skip
    used = dict(part.split(":")[:2] for part in usage.split() if ":" in part)
    inside, once = longest_loop(listing)
    return inside, once, {
        "registers": int(used["REG"]),
        "spills": int(used["STACK"]) + int(used["LOCAL"]),
        "shared": kernel.metadata.shared,
    }  # fmt: skip


def compiled(
    code: str,
    bits: float,
    batch: int,
    dtype: str,
    architecture: int,
    tile: tuple[int, int],
    blocks: Blocks,
) -> tuple[Any, dict[str, Any]]:
    """Compile for sizes that are multiples of 16; return the kernel and its constants."""
    from quincunx.kernels.trellis_matmul import _kernels

    few = batch <= FEW
    shape = trellis.constants(batch, bits, code, tile, dtype, blocks)
    entries = "*fp32"
    if code == "hyb":
        entries = "*i64" if few or dtype == "float32" else "*i32"
    signature = {"x_ptr": TYPES[dtype], "words_ptr": "*i32", "table_ptr": entries}
    sizes = ("batch", "tile_rows", "tile_columns", "part")
    if few:
        signature["scales_ptr"] = "*fp32"
        sizes = ("units", "part", "width", "batch", "m")
    signature |= {"out_ptr": "*fp32", **dict.fromkeys(sizes, "i32")}
    odd = ("batch",)
    kernel = _kernels.vector if few else _kernels.matrix
    launch = trellis.launching(dtype, blocks)
    return assembled(kernel, signature, shape, odd, architecture, launch), shape


def compiled_rows(
    kind: str,
    bits: int,
    batch: int,
    dtype: str,
    architecture: int,
    blocks: Blocks,
    load: str,
) -> tuple[Any, dict[str, Any]]:
    """Compile likewise for what is coded row by row."""
    from quincunx.kernels import gpu_row_kernels

    shape = gpu_rows.constants(batch, kind, bits, dtype, blocks, load=load)
    signature = {
        "x_ptr": TYPES[dtype],
        "words_ptr": "*u8" if load == "bytes" else "*i32",
        "table_ptr": "*i32",
        "scales_ptr": "*fp32",
        "out_ptr": TYPES[dtype],
        "ratio": "fp32",
        **dict.fromkeys(("batch", "m", "units", "size", "part"), "i32"),
    }
    odd = ("ratio", "batch") if load == "units" else ("ratio", "batch", "m", "size")
    kernel = gpu_row_kernels.vector if batch <= FEW else gpu_row_kernels.matrix
    launch = {"num_warps": blocks.warps, "enable_fp_fusion": True}
    return assembled(kernel, signature, shape, odd, architecture, launch), shape


def assembled(
    kernel: Any,
    signature: dict[str, str],
    shape: dict[str, Any],
    odd: tuple[str, ...],
    architecture: int,
    launch: dict[str, Any],
) -> Any:
    """Compile with all arguments but the odd ones multiples of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(
        fn=kernel,
        signature=signature | dict.fromkeys(shape, "constexpr"),
        constexprs=shape,
        attrs={
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(signature)
            if name not in odd
        },
    )
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=launch)


def longest_loop(listing: str) -> tuple[Counter[str], int]:
    """Return the instructions of the longest loop by name, and how many others there are."""
    places: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    for line in listing.splitlines():
        if label := re.match(r"^(\.L_x_\d+):", line):
            places[label[1]] = len(found)
        elif got := re.match(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)([^;]*)", line):
            found.append((got[1], got[2]))
    first = last = 0
    for place, (name, rest) in enumerate(found):
        target = re.search(r"\.L_x_\d+", rest) if name == "BRA" else None
        start = places.get(target[0], place) if target else place
        if place + 1 - start > last - first and start < place:
            first, last = start, place + 1
    names = Counter(name for name, _ in found[first:last] if name != "NOP")
    others = sum(name != "NOP" for name, _ in found) - sum(names.values())
    return names, others


if __name__ == "__main__":
    main()
