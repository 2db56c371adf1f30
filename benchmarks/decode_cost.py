"""Instructions that decoding a weight takes on a GPU, by disassembly, beside each code's error.

    python -m benchmarks.decode_cost [--quick] [--note TEXT]

Writes ``benchmarks/results/decode-cost.md`` and ``.json``. Needs Triton and torch, and no GPU: the
kernels are compiled for sm_90 and counted, and before that run by Triton's interpreter, without
inline assembly, to see that they give the numbers of ``quincunx.kernels.trellis_codes``.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import triton
import triton.language as tl

from benchmarks._harness import RESULTS, ROOT, environment, options, publish, table
from quincunx.kernels import packing, trellis_codes

CODES, BITS = ("1mad", "2mad", "3inst", "mcg", "mul1", "hyb"), (1, 2, 3, 4, 8)
AFFINE = ("1mad", "2mad", "mul1")  # codes whose value is a sum of bytes, moved and scaled
ARCHITECTURE, WARPS = 90, 4
THREADS = 32 * WARPS
FEW, MORE = 64, 128  # weights of a thread; what the further ones cost is counted
IDLE = ("NOP", "BRA", "EXIT")

TEXT = """
A kernel reads words of packed weights, cuts out the 16-bit states, decodes them and writes
float16. The words hold the bytes of `quincunx.kernels.packing` with the first as the highest. It is
compiled with Triton for sm_{sm}, once with {few} weights a thread and once with {more}, and
disassembled with nvdisasm; the further instructions are divided by the further weights, so that
what a thread does once does not count. Loads, stores, addresses and packing do, {idle} do
not. HYB reads its pairs from global memory, by addresses of 64 bits.

*Assembly*: the sum of bytes is one instruction, dp4a, and 3INST's two halves of two weights are
masked and added together; inline, so that Triton's interpreter cannot run it. *Folded*: the number
1 + sum / 1024 is written as it is, for a product that subtracts and scales once for all weights.
Bandwidth and not instructions would limit a matrix-vector product on an H200 below about 1.8, 2.7,
3.6 and 7.2 instructions a weight at 2, 3, 4 and 8 bits.

Without assembly the same kernels give, in the interpreter, the values of
`quincunx.kernels.trellis_codes` rounded to float16, bit for bit, and 1 + sum / 1024 when folded:
{checked} cases. The branches with assembly have not been run. Errors are mean squared errors on
normal numbers, from `trellis-codes.json` where that is there.

{table}
"""

# Of 1 + sum / 1024: mul1's numbers, whose bits its definition gives, for 1024 + sum; and 1024 over
# 147.8, whose rest in half precision makes the product right to the last bit.
MUL1_FACTOR = tl.constexpr(1024 * float(np.uint16(0x1EEE).view(np.float16)))
MUL1_OFFSET = tl.constexpr(float(np.uint16(0xC931).view(np.float16)))
MAD_FACTOR = tl.constexpr(float(np.float16(1024 / 147.800537109375)))
MAD_REST = tl.constexpr(1024 / 147.800537109375 - float(np.float16(1024 / 147.800537109375)))


@triton.jit
def _decode(
    words_ptr,
    pairs_ptr,
    out_ptr,
    CODE: tl.constexpr,
    BITS: tl.constexpr,
    FOLD: tl.constexpr,
    ASM: tl.constexpr,
    UNITS: tl.constexpr,
):
    """Decode UNITS words, or times three; a tile has 8 BITS words."""
    STEP: tl.constexpr = 2 * BITS if CODE == "hyb" else BITS  # bits from state to state
    SPAN: tl.constexpr = 3 if BITS == 3 else 1  # words of a unit
    RUN: tl.constexpr = 96 // STEP if BITS == 3 else 32 // STEP  # states of a unit
    TYPE: tl.constexpr = tl.int32 if CODE == "hyb" else tl.float16  # a state's numbers
    TILE: tl.constexpr = 8 * BITS
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    word = unit * SPAN
    before = word // TILE * TILE + (word + TILE - 1) % TILE
    out = out_ptr.to(tl.pointer_type(TYPE)) + unit[:, None] * RUN
    high = tl.load(words_ptr + before)
    low = tl.load(words_ptr + word)
    if BITS == 3:
        PLACES: tl.constexpr = 24 // STEP  # states in 24 bits, which lie in two words
        place = tl.arange(0, PLACES)
        for part in tl.static_range(4):
            if part == 1 or part == 2:
                high = low
                low = tl.load(words_ptr + word + part)
            pair = (high.to(tl.uint64) << 32) | low.to(tl.uint64)
            shift = ((32 - 24 * (part + 1) % 32) % 32) + 24 - (place + 1) * STEP
            state = (pair[:, None] >> shift[None, :].to(tl.uint64)).to(tl.uint32) & 0xFFFF
            values = _value(state, pairs_ptr, CODE, FOLD, ASM)
            tl.store(out + part * PLACES + place[None, :], values)
    else:
        # Two states 16 bits apart are the halves of one word.
        HALF: tl.constexpr = 16 // STEP
        PLACES: tl.constexpr = min(HALF, 4 if CODE == "hyb" else 8)
        place = tl.arange(0, PLACES)
        pair = (high.to(tl.uint64) << 32) | low.to(tl.uint64)
        for part in tl.static_range(HALF // PLACES):
            shift = 16 - (part * PLACES + place + 1) * STEP
            both = (pair[:, None] >> shift[None, :].to(tl.uint64)).to(tl.uint32)
            to = out + part * PLACES + place[None, :]
            tl.store(to, _value(both >> 16, pairs_ptr, CODE, FOLD, ASM))
            tl.store(to + HALF, _value(both & 0xFFFF, pairs_ptr, CODE, FOLD, ASM))


@triton.jit
def _value(state, pairs_ptr, CODE: tl.constexpr, FOLD: tl.constexpr, ASM: tl.constexpr):
    """What states stand for: float16, or for HYB two of them as an int32."""
    if CODE == "hyb":
        mixed = state * state + state
        pair = tl.load(pairs_ptr + ((mixed >> 6) & 511))
        return pair ^ (mixed & 0x8000).to(tl.int32)
    elif CODE == "3inst" or CODE == "mcg":
        mixed = state * 89226354 + 64248484 if CODE == "3inst" else state * 0xCBAC1FED
        if ASM:
            return tl.inline_asm_elementwise(
                """
                {
                    .reg .b32 a, b, low, high;
                    lop3.b32 a, $1, 0x8FFF8FFF, 0x3B603B60, 0x6A;
                    lop3.b32 b, $2, 0x8FFF8FFF, 0x3B603B60, 0x6A;
                    prmt.b32 low, a, b, 0x5410;
                    prmt.b32 high, a, b, 0x7632;
                    add.f16x2 $0, high, low;
                }
                """,
                "=r,r,r",
                [mixed],
                dtype=tl.float16,
                is_pure=True,
                pack=2,
            )
        mixed = (mixed & 0x8FFF8FFF) ^ 0x3B603B60  # (a & b) ^ c is 0x6A above
        low = mixed.to(tl.uint16).to(tl.float16, bitcast=True)
        return low + (mixed >> 16).to(tl.uint16).to(tl.float16, bitcast=True)
    else:
        if CODE == "mul1":
            mixed = state * 0x83DCD12D
        elif CODE == "1mad":
            mixed = state * 34038481 + 76625530
        else:
            mixed = state * 264435761 + 1013904223
            mixed += tl.umulhi(mixed, 1664525)
        if ASM:
            sums = tl.inline_asm_elementwise(
                "dp4a.u32.u32 $0, $1, 0x01010101, 0x3C00;",
                "=r,r",
                [mixed],
                dtype=tl.uint32,
                is_pure=True,
                pack=1,
            )
        else:
            two = (mixed & 0x00FF00FF) + ((mixed >> 8) & 0x00FF00FF)
            sums = ((two + (two >> 16)) & 0x7FF) + 0x3C00
        number = sums.to(tl.uint16).to(tl.float16, bitcast=True)  # 1 + sum / 1024
        if FOLD:
            return number
        elif CODE == "mul1":
            factor = tl.full(number.shape, MUL1_FACTOR, tl.float16)
            return tl.fma(number, factor, tl.full(number.shape, MUL1_OFFSET, tl.float16))
        else:
            number -= 1534 / 1024
            factor = tl.full(number.shape, MAD_FACTOR, tl.float16)
            return tl.fma(number, factor, number * tl.full(number.shape, MAD_REST, tl.float16))


def main() -> None:
    given = options(__doc__.split("\n")[0], "2 bits only").parse_args()
    where = environment(("quincunx", "numpy", "triton"))
    bits = (2,) if given.quick else BITS
    checked = check_in_a_fresh_process(bits)
    errors = known_errors()
    rows, data = [], {}
    for code in CODES:
        for folded in (False, True)[: 1 + (code in AFFINE)]:
            ways = (False,) if code == "hyb" else (True, False)
            for asm in ways:
                name = code + ", assembly" * asm + ", folded" * folded
                here = [k for k in bits if (code, k) != ("hyb", 8)]
                data[name] = {k: per_weight(code, k, folded, asm) for k in here}
                totals = {k: sum(data[name][k].values()) for k in here}
                found = [f"{totals[k]:.2f}" if k in totals else "-" for k in bits]
                known = [errors.get(code, {}).get(str(k)) for k in bits]
                found += ["-" if error is None else f"{error:.5f}" for error in known]
                rows.append((name, *found))
                print(*rows[-1], flush=True)
    head = ("code", *(f"k={k}" for k in bits), *(f"error, k={k}" for k in bits))
    text = TEXT.format(
        sm=ARCHITECTURE,
        few=FEW,
        more=MORE,
        idle=", ".join(IDLE),
        checked=checked,
        table=table(head, rows),
    )
    data = {"instructions per weight": data, "checked": checked}
    publish("decode_cost", "What decoding a weight costs", given, where, [text], data)


def per_weight(code: str, bits: int, folded: bool, asm: bool) -> dict[str, float]:
    """Return how many instructions a further weight takes, by name, the most frequent first."""
    more, few = (count(code, bits, folded, asm, units(bits, n)) for n in (MORE, FEW))
    names = [name for name, _ in more.most_common()] + sorted(few.keys() - more.keys())
    return {name: (more[name] - few[name]) / (MORE - FEW) for name in names}


def units(bits: int, weights: int) -> int:
    """Return how many units a program has, if a thread has so many weights."""
    return THREADS * weights // (32 if bits == 3 else 32 // bits)


def count(code: str, bits: int, folded: bool, asm: bool, some: int) -> Counter[str]:
    """Compile a decoder and count its instructions."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    shape = {"CODE": code, "BITS": bits, "FOLD": folded, "ASM": asm, "UNITS": some}
    pointers = {"words_ptr": "*u32", "pairs_ptr": "*i32", "out_ptr": "*fp16"}
    source = ASTSource(
        fn=_decode,
        signature=pointers | dict.fromkeys(shape, "constexpr"),
        constexprs=shape,
        attrs={(place,): [["tt.divisibility", 16]] for place in range(3)},
    )
    kernel = triton.compile(
        source,
        target=GPUTarget("cuda", ARCHITECTURE, 32),
        options={"num_warps": WARPS, "enable_fp_fusion": False},
    )
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(kernel.asm["cubin"])
        run = subprocess.run([tool, "-c", cubin], capture_output=True, text=True, check=True)
    found = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)", run.stdout, re.M)
    return Counter(name for name in found if name not in IDLE)


def check_in_a_fresh_process(bits: tuple[int, ...]) -> int:
    """Run :func:`check` with Triton's interpreter, which has to be asked for before the import."""
    code = f"from benchmarks.decode_cost import check; print(check({bits!r}))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(run.stdout.split()[-1])


def check(bits: tuple[int, ...]) -> int:
    """Decode random bytes and compare; return how many decoders were checked."""
    import torch

    checked = 0
    for code in CODES:
        for k in bits:
            if (code, k) == ("hyb", 8):  # 16 bits a step: more than halves of a word
                continue
            width = trellis_codes.width(code)
            tiles = 64
            codes = np.random.default_rng(k).integers(0, 256, (tiles, 32 * k), dtype=np.uint8)
            words = torch.asarray(codes.view(">u4").astype(np.uint32).reshape(-1))
            pairs = trellis_codes.table().astype(np.float16).view(np.int32).reshape(-1)
            states = packing.unpack(codes, 256 // width, width * k, 16)
            values = trellis_codes.values(code)[states].reshape(tiles, 256).astype(np.float16)
            for folded in (False, True)[: 1 + (code in AFFINE)]:
                out = torch.zeros((tiles, 256), dtype=torch.float16)
                some = units(k, FEW)
                grid = (len(words) // (some * (3 if k == 3 else 1)),)
                _decode[grid](words, torch.asarray(pairs), out, code, k, folded, False, some)
                expected = values
                if folded:
                    expected = 1 + _sums(code)[states].reshape(tiles, 256) / 1024
                np.testing.assert_array_equal(out.numpy(), expected)
                checked += 1
    return checked


def _sums(code: str) -> np.ndarray:
    """The sums of bytes behind a code's values, [2^16]."""
    values = trellis_codes.values(code).astype(np.float64)
    if code == "mul1":
        return np.rint((values - MUL1_OFFSET.value) / MUL1_FACTOR.value * 1024) - 1024
    return np.rint(values * 147.800537109375) + 510


def known_errors() -> dict[str, dict[str, float]]:
    path = RESULTS / "trellis-codes.json"
    return dict(json.loads(path.read_text())["errors"]) if path.exists() else {}


if __name__ == "__main__":
    main()
