"""Registers and instructions of the fused transforms, and which limit of a GPU binds.

    python -m benchmarks.hadamard_cost [--quick] [--note TEXT]

Writes ``benchmarks/results/hadamard-cost.md`` and ``.json``. Needs Triton and torch, and no GPU:
the kernels of ``quincunx.kernels.hadamard`` are compiled as they are launched, and disassembled.
"""

import sys
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, options, publish, table
from benchmarks.matmul_cost import ARCHITECTURE, DEVICES, TYPES, disassembled
from quincunx.kernels.hadamard._triton import Plan, constants, plan
from quincunx.kernels.hadamard.kronecker import Kronecker
from quincunx.solvers.linalg.flat import kronecker

SIZES = (2048, 4096, 5120, 8192, 11008, 13824, 14336, 18944, 28672)  # of models' layers
QUICK = (4096, 11008)
WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4}  # bytes a number
# What a layer does on either side of its product: types of inputs and outputs, and which vectors
# are multiplied before, divided by, multiplied after and added.
USES = {
    "apply": ("bfloat16", "bfloat16", ("int8", None, None, None)),
    "apply, divided": ("bfloat16", "bfloat16", ("int8", "float32", None, None)),
    "undo": ("bfloat16", "bfloat16", (None, None, "int8", "bfloat16")),
    "undo, from float32": ("float32", "bfloat16", ("float32", None, "int8", "bfloat16")),
}

TEXT = """
The kernels are compiled with Triton for sm_{sm} and disassembled with nvdisasm, as a layer calls
them with inputs and outputs in bfloat16: *apply* multiplies by signs of a byte first, *undo* last,
and adds a bias. *Instructions* are those of a thread, with a loop's as often as it is run, times
the threads of a program, divided by the outputs that it writes. *Programs* are those for one row,
each of which writes a block of outputs and reads the whole row. *Spills* are bytes of stack and
local memory, *shared* bytes of shared memory, for both uses the larger.

Numbers a second, in 10^12: what memory allows where inputs are read once and outputs written once,
and what the instructions of *apply* allow; the lower binds. Issue slots are the only limit of
computation that is counted: not latencies, not tensor cores, not shared memory.

{table}
"""


def main() -> None:
    given = options(__doc__.splitlines()[0], "two sizes only").parse_args()
    where = environment(("quincunx", "triton"))
    found: dict[str, Any] = {}
    rows = []
    for n in QUICK if given.quick else SIZES:
        way = planned(kronecker(n))
        costs = {use: measured(n, use) for use in USES}
        found |= {key(n, use): cost for use, cost in costs.items()}
        apply, undo = costs["apply"], costs["undo"]
        limits = []
        for bandwidth, issue in DEVICES.values():
            most = bandwidth / 4, issue / apply["instructions"]
            limits += [f"{rate / 1e12:.2f}" for rate in most]
            limits.append("memory" if most[0] <= most[1] else "issue")
        rows.append((
            n, " x ".join(map(str, factors_of(n))), -(-way.order // way.block), way.warps,
            apply["registers"], undo["registers"], max(c["spills"] for c in costs.values()),
            max(c["shared"] for c in costs.values()), f"{apply['instructions']:.1f}",
            f"{undo['instructions']:.1f}", *limits,
        ))  # fmt: skip
        print(*rows[-1], flush=True)
    head = (
        "n", "factors", "programs", "warps", "registers, apply", "undo", "spills", "shared",
        "instructions, apply", "undo", "H200: memory", "issue", "binds",
        "RTX 4090: memory", "issue", "binds",
    )  # fmt: skip
    text = TEXT.format(sm=ARCHITECTURE, table=table(head, rows))
    publish("hadamard_cost", "What a fused transform costs", given, where, [text],
            {"costs": found})  # fmt: skip


def key(n: int, use: str) -> str:
    """Name a case in the results."""
    return f"{n}, {use}"


def planned(matrix: Kronecker) -> Plan:
    """Return how a product is cut up."""
    way = plan(matrix.power, matrix.orders)
    assert way is not None
    return way


def factors_of(n: int) -> tuple[int, ...]:
    """Return the power of two and the other orders, without ones."""
    matrix = kronecker(n)
    return tuple(k for k in (matrix.power, *matrix.orders) if k > 1)


def measured(n: int, use: str, architecture: int = ARCHITECTURE) -> dict[str, Any]:
    """Compile the kernel that a transform of size n would launch, and count."""
    way = planned(kronecker(n))
    kernel = compiled(n, use, architecture)
    inside, once, used = disassembled(kernel)
    run = once + -(-way.order // way.chunk) * sum(inside.values())
    written = way.rows * n / -(-way.order // way.block)  # by a program
    return used | {
        "instructions": run * 32 * way.warps / written,
    }


def compiled(n: int, use: str, architecture: int) -> Any:
    """Compile for sizes that are multiples of 16 and for aligned arrays."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from quincunx.kernels.hadamard import _kernels

    matrix = kronecker(n)
    way = planned(matrix)
    given, wanted, vectors = USES[use]
    shape = constants(way, matrix, given, list(vectors))
    pointer = TYPES | {"int8": "*i8"}
    signature = {"x_ptr": pointer[given], "y_ptr": pointer[wanted]}
    for name, kind in zip(("before", "divisor", "after", "bias"), vectors, strict=True):
        signature[f"{name}_ptr"] = pointer[kind or given]
    if way.order > 1:
        whole = [m.dtype.kind == "i" for m in matrix.matrices]
        dense = all(whole[way.small :])
        small = [dense] * (2 - way.small) + whole[: way.small]
        for name, signs in zip(("dense", "first", "second"), (dense, *small), strict=True):
            signature[f"{name}_ptr"] = "*i8" if signs else "*fp32"
    addresses = len(signature)
    signature |= {"rows": "i32", "stride": "i32", "scale": "fp32"}
    even = [*range(addresses), addresses + 1] if n % 16 == 0 else range(addresses)
    source = ASTSource(
        fn=_kernels.power if way.order == 1 else _kernels.product,
        signature=signature | dict.fromkeys(shape, "constexpr"),
        constexprs=shape,
        attrs={(place,): [["tt.divisibility", 16]] for place in even},
    )
    return triton.compile(
        source,
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": way.warps, "num_stages": way.stages, "enable_fp_fusion": True},
    )


if __name__ == "__main__":
    main()
