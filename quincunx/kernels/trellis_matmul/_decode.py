"""What states stand for, inside kernels of Triton, with or without inline assembly.

A byte sum s, 0 to 1020, has three forms that cost nothing to make. As a half-precision number
``0x6400 + s`` is 1024 + s, and as a single-precision number ``0x4B000000 + s`` is 2^23 + s. The
bits ``s`` are the single-precision number s 2^-149, below the normal numbers, which a multiply-add
takes at full speed; inputs are then scaled up by 2^96.
"""

import triton
import triton.language as tl

# Of a byte sum: value = s FACTOR + OFFSET. mul1's are half-precision numbers, 0x1EEE and 0xC931:
# their product with 1024 + s is exact in single precision, and so is the sum.
MUL1_FACTOR = tl.constexpr(0x2EE * 2.0**-18 + 2.0**-8)
MUL1_OFFSET = tl.constexpr(-(0x131 * 2.0**-7 + 8.0))
MUL1_ZERO = tl.constexpr(1024 * MUL1_FACTOR.value + MUL1_OFFSET.value)  # what s = 0 stands for
MAD_FACTOR = tl.constexpr(1 / 147.800537109375)
MAD_ZERO = tl.constexpr(-510 / 147.800537109375)
UP = tl.constexpr(2.0**96)
DOWN = tl.constexpr(2.0**-96)
BACK = tl.constexpr(2.0**53)  # 2^149 2^-96


def _mixed(state: tl.tensor, CODE: tl.constexpr) -> tl.tensor:
    """The product, 32 bits, of which a hash is made."""
    if CODE == "1mad":
        mixed = state * 34038481 + 76625530
    elif CODE == "2mad":
        mixed = state * 264435761 + 1013904223
        mixed += tl.umulhi(mixed, 1664525)
    elif CODE == "3inst":
        mixed = state * 89226354 + 64248484
    elif CODE == "mcg":
        mixed = state * 0xCBAC1FED
    else:
        mixed = state * 0x83DCD12D
    return mixed


def _byte_sum(mixed: tl.tensor, START: tl.constexpr, ASM: tl.constexpr) -> tl.tensor:
    """``START`` (0, 0x6400 or 0x4B000000) plus the sum of the four bytes, uint32."""
    if ASM:
        if START == 0:
            return tl.inline_asm_elementwise(
                "dp4a.u32.u32 $0, $1, 0x01010101, 0;", "=r,r", [mixed], tl.uint32, True, 1
            )
        elif START == 0x6400:
            return tl.inline_asm_elementwise(
                "dp4a.u32.u32 $0, $1, 0x01010101, 0x6400;", "=r,r", [mixed], tl.uint32, True, 1
            )
        else:
            return tl.inline_asm_elementwise(
                "dp4a.u32.u32 $0, $1, 0x01010101, 0x4B000000;", "=r,r", [mixed], tl.uint32, True, 1
            )
    else:
        two = (mixed & 0x00FF00FF) + ((mixed >> 8) & 0x00FF00FF)
        return ((two + (two >> 16)) & 0x7FF) + START


def _halves(mixed: tl.tensor, WIDE: tl.constexpr, ASM: tl.constexpr) -> tl.tensor:
    """The sum of the two half-precision numbers in a product's bits, float16, or widened.

    Widened within the assembly: half-precision results by themselves made ptxas spill registers.
    """
    if ASM:
        if WIDE:
            return tl.inline_asm_elementwise(
                """
                {
                    .reg .b32 a;
                    .reg .b16 low, high;
                    lop3.b32 a, $1, 0x8FFF8FFF, 0x3B603B60, 0x6A;
                    mov.b32 {low, high}, a;
                    add.f16 low, high, low;
                    cvt.f32.f16 $0, low;
                }
                """,
                "=f,r",
                [mixed],
                tl.float32,
                True,
                1,
            )
        else:
            return tl.inline_asm_elementwise(
                """
                {
                    .reg .b32 a;
                    .reg .b16 low, high;
                    lop3.b32 a, $1, 0x8FFF8FFF, 0x3B603B60, 0x6A;
                    mov.b32 {low, high}, a;
                    add.f16 $0, high, low;
                }
                """,
                "=h,r",
                [mixed],
                tl.float16,
                True,
                1,
            )
    else:
        mixed = (mixed & 0x8FFF8FFF) ^ 0x3B603B60  # (a & b) ^ c is 0x6A above
        low = mixed.to(tl.uint16).to(tl.float16, bitcast=True)
        both = low + (mixed >> 16).to(tl.uint16).to(tl.float16, bitcast=True)
        if WIDE:
            return both.to(tl.float32)
        else:
            return both


def _rounded_mul1(sums: tl.tensor, ASM: tl.constexpr) -> tl.tensor:
    """mul1's values of ``0x6400 + s``, float16: one rounding, whichever way."""
    raw = sums.to(tl.uint16).to(tl.float16, bitcast=True)
    if ASM:
        times = tl.full(raw.shape, MUL1_FACTOR, tl.float16)
        return tl.fma(raw, times, tl.full(raw.shape, MUL1_OFFSET, tl.float16))
    else:
        return (raw.to(tl.float32) * MUL1_FACTOR + MUL1_OFFSET).to(tl.float16)


def _single(
    state: tl.tensor,
    table_ptr: tl.tensor,
    CODE: tl.constexpr,
    FOLD: tl.constexpr,
    ASM: tl.constexpr,
) -> tl.tensor:
    """Values, float32; folded: s 2^-149. Not for HYB."""
    if CODE == "lookup":
        return tl.load(table_ptr + state)
    else:
        mixed = mix(state, CODE)
        if CODE == "3inst" or CODE == "mcg":
            return halves(mixed, True, ASM)
        elif FOLD:
            return byte_sum(mixed, 0, ASM).to(tl.float32, bitcast=True)
        else:
            sums = byte_sum(mixed, 0x6400, ASM)
            if CODE == "mul1":
                return rounded_mul1(sums, ASM).to(tl.float32)
            else:
                raw = sums.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32)
                return (raw - 1534.0) * MAD_FACTOR


def _exact_mul1(state: tl.tensor, ASM: tl.constexpr) -> tl.tensor:
    """mul1's values before they are rounded to half precision, float32: exact either way."""
    if ASM:
        raw = byte_sum(mix(state, "mul1"), 0x4B000000, ASM).to(tl.float32, bitcast=True)
        times = tl.full(raw.shape, MUL1_FACTOR, tl.float32)
        return tl.fma(raw, times, tl.full(raw.shape, MUL1_ZERO - 2.0**23 * MUL1_FACTOR, tl.float32))
    else:
        return byte_sum(mix(state, "mul1"), 0, ASM).to(tl.float32) * MUL1_FACTOR + MUL1_ZERO


def _rounded(
    state: tl.tensor,
    table_ptr: tl.tensor,
    CODE: tl.constexpr,
    ASM: tl.constexpr,
    TYPE: tl.constexpr,
) -> tl.tensor:
    """Values of type TYPE. Not for HYB.

    None goes from half precision to bfloat16: GPUs do that with a unit for few numbers at a time.
    """
    if TYPE == tl.bfloat16:
        if CODE == "mul1":
            return exact_mul1(state, ASM).to(TYPE)
        else:
            return single(state, table_ptr, CODE, False, ASM).to(TYPE)
    elif CODE == "3inst" or CODE == "mcg":
        return halves(mix(state, CODE), False, ASM).to(TYPE)
    elif CODE == "mul1":
        return rounded_mul1(byte_sum(mix(state, CODE), 0x6400, ASM), ASM).to(TYPE)
    else:
        return single(state, table_ptr, CODE, False, ASM).to(TYPE)


def _entry(state: tl.tensor) -> tl.tensor:
    """Which of HYB's 1024 pairs, signs among them; the state's bits above its 16 do not matter."""
    return ((state * state + state) >> 6) & 0x3FF


mix = triton.jit(_mixed)
byte_sum = triton.jit(_byte_sum)
halves = triton.jit(_halves)
rounded_mul1 = triton.jit(_rounded_mul1)
single = triton.jit(_single)
exact_mul1 = triton.jit(_exact_mul1)
rounded = triton.jit(_rounded)
entry = triton.jit(_entry)
