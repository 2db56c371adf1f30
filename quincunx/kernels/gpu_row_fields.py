"""Weights of rows of codes, grids and E8P, inside kernels of Triton: from words to numbers.

A unit is 32 consecutive weights of a row, which are as many words as a weight has bits. Words are
the bytes of `qweight`, four at a time, lowest byte first.

A weight is a *field*: a few bits of a word. With all others masked out, the word's bits are those
of a single-precision number that is ``field 2^place 2^-149``: for places below 24 they stay below
the numbers' normal range, or next to it, where a multiply-add takes them at full speed. So a
weight is made by two instructions. Where one or two rows of inputs are multiplied, one is saved:
inputs are scaled by ``2^(80 - place)``, once for several rows of W, fields are multiplied as they
are, and the middle of the fields is corrected by the sum of the inputs.

E8P: coordinate i's field holds 3.5 + s r, with r the absolute value of the code's row and s its
sign, which turns over with all three bits. The mask that does so is made of four copies of the byte
of signs: one bit of each sign is kept, where a product with 7 spreads it over its field. The move
by 1/4, and the sign that shares its bit, follow the signs' parity. A point of E81B is a word of the
same form, of which the lowest bit says that all coordinates are halves.
"""

# Tuples grow by addition: Triton unpacks none within another, and mypy wants one length.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment, var-annotated"

import triton
import triton.language as tl

UP = tl.constexpr(80)  # inputs between 1e-15 and 1e13 keep their precision
SMALL = tl.constexpr(-40)  # weights are made times 2^-40, or a field's factor would be too large
SIGNS = tl.constexpr(0x11224488)  # where four copies of a byte have each sign, below its field
ONE = tl.constexpr(2.0**149)  # what makes 1 of the lowest bit


def _raw_place(i: int, kind: str, bits: int) -> int:
    """Where weight i's field begins, counted from its word's lowest bit; -1: between two words."""
    if kind == "e8p":
        return 24 - 7 * (i % 8 // 2) + 4 * (i % 2)
    if 8 % bits == 0:  # no weight is in two bytes
        return 8 * (i * bits // 8 % 4) + 8 - bits - i * bits % 8
    return max(-1, 32 - i * bits % 32 - bits)


def _width(kind: str, bits: int) -> int:
    """Bits of a field."""
    return 3 if kind == "e8p" else bits


raw_place_of = triton.constexpr_function(_raw_place)
width_of = triton.constexpr_function(_width)


def _place(i: int, kind: str, bits: int) -> int:
    """Where weight i's field is in what :func:`field` makes of its word."""
    raw, width = int(raw_place_of(i, kind, bits)), int(width_of(kind, bits))
    if raw == -1 or raw + width == 32:
        return 0
    return raw - 8 if raw + width > 24 else raw


place_of = triton.constexpr_function(_place)


def _factor(exponent: int, i: int, kind: str, bits: int) -> float:
    """What moves weight i's field from its place to that of 2^exponent."""
    return 2.0 ** (exponent - int(place_of(i, kind, bits)))


def _permute(byte: int) -> str:
    """Assembly that takes one byte of a word four times."""
    return f"prmt.b32 $0, $1, 0, {0x1111 * byte};"


factor_of = triton.constexpr_function(_factor)
permute_of = triton.constexpr_function(_permute)


def _field(
    word: tl.tensor, after: tl.tensor, AT: tl.constexpr, KIND: tl.constexpr, BITS: tl.constexpr
) -> tl.tensor:
    """Weight AT's field as a number, ``field 2^(place - 149)``."""
    RAW: tl.constexpr = raw_place_of(AT, KIND, BITS)
    WIDTH: tl.constexpr = width_of(KIND, BITS)
    MASK: tl.constexpr = (1 << WIDTH) - 1
    if RAW == -1:
        pair = (word.to(tl.uint64) << 32) | after.to(tl.uint64)
        bits = (pair >> (64 - AT * BITS % 32 - BITS)).to(tl.uint32) & MASK
    elif RAW + WIDTH == 32:
        bits = word >> RAW
    elif RAW + WIDTH > 24:
        bits = (word >> 8) & (MASK << (RAW - 8))
    else:
        bits = word & (MASK << RAW)
    return bits.to(tl.float32, bitcast=True)


def _grid_field(
    words: tl.tensor, FIRST: tl.constexpr, AT: tl.constexpr, BITS: tl.constexpr
) -> tl.tensor:
    """The field of weight AT of the unit that begins at word FIRST."""
    after = words[FIRST + (AT * BITS + BITS - 1) // 32]
    return field(words[FIRST + AT * BITS // 32], after, AT, "grid", BITS)


def _byte(words: tl.tensor, AT: tl.constexpr) -> tl.tensor:
    """The AT-th byte."""
    return (words[AT // 4] >> (8 * (AT % 4))) & 0xFF


def _parity(bits: tl.tensor, ASM: tl.constexpr) -> tl.tensor:
    """1 where an odd number of :data:`SIGNS` are ones."""
    if ASM:
        ones = tl.inline_asm_elementwise("popc.b32 $0, $1;", "=r,r", [bits], tl.uint32, True, 1)
        return ones & 1
    else:
        bits ^= bits >> 14
        bits ^= bits >> 7
        return ((bits >> 3) ^ (bits >> 7)) & 1


def _copies(words: tl.tensor, AT: tl.constexpr, ASM: tl.constexpr) -> tl.tensor:
    """The AT-th byte four times."""
    if ASM:
        PERMUTE: tl.constexpr = permute_of(AT % 4)
        return tl.inline_asm_elementwise(PERMUTE, "=r,r", [words[AT // 4]], tl.uint32, True, 1)
    else:
        return byte_of(words, AT) * 0x01010101


def _entry(table_ptr: tl.tensor, words: tl.tensor, AT: tl.constexpr) -> tl.tensor:
    """What the table has for the AT-th byte."""
    return tl.load(table_ptr + byte_of(words, AT)).to(tl.uint32, bitcast=True)


def _turned(a: tl.tensor, b: tl.tensor, c: tl.tensor, ASM: tl.constexpr) -> tl.tensor:
    """The exclusive or of three."""
    if ASM:
        return tl.inline_asm_elementwise(
            "lop3.b32 $0, $1, $2, $3, 0x96;", "=r,r,r,r", [a, b, c], tl.uint32, True, 1
        )
    else:
        return a ^ b ^ c


def _point(
    words: tl.tensor, table_ptr: tl.tensor, AT: tl.constexpr, ASM: tl.constexpr
) -> tl.tensor:
    """Fields of the code of E8P at bytes AT and AT + 1; and whether it moves down, 0 or 2^-149."""
    signs = copies(words, AT + 1, ASM) & SIGNS
    down = parity(signs, ASM)
    fields = turned(entry(table_ptr, words, AT), signs * 7, down * (7 << 24), ASM)
    return fields, down.to(tl.float32, bitcast=True)


def _short(words: tl.tensor, table_ptr: tl.tensor, AT: tl.constexpr) -> tl.tensor:
    """Fields of the code of E81B at byte AT; and whether coordinates are halves, 0 or 2^-149."""
    fields = entry(table_ptr + 256, words, AT)
    return fields, (fields & 1).to(tl.float32, bitcast=True)


def _group(
    words: tl.tensor, table_ptr: tl.tensor, ratio: tl.tensor,
    FIRST: tl.constexpr, G: tl.constexpr, KIND: tl.constexpr, BITS: tl.constexpr, ASM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The G-th eight weights, times 2^-40, of the unit that begins at word FIRST."""
    values = ()
    if KIND == "grid":
        for i in tl.static_range(8 * G, 8 * G + 8):
            value = grid_field(words, FIRST, i, BITS)
            scale = factor_of(149 + SMALL, i, KIND, BITS)
            values = values + (tl.fma(value, scale, (1 - (1 << BITS)) * 2.0 ** (SMALL - 1)),)
    else:
        fields, down = point(words, table_ptr, 4 * FIRST + G * BITS, ASM)
        rest = tl.fma(down, -0.5 * 2.0**SMALL * ONE, -3.25 * 2.0**SMALL)
        if BITS == 3:
            second, halves = short(words, table_ptr, 4 * FIRST + G * BITS + 2)
            rest += ratio * tl.fma(halves, 0.5 * 2.0**SMALL * ONE, -2.0 * 2.0**SMALL)
        elif BITS == 4:
            second, below = point(words, table_ptr, 4 * FIRST + G * BITS + 2, ASM)
            rest += ratio * tl.fma(below, -0.5 * 2.0**SMALL * ONE, -3.25 * 2.0**SMALL)
        for i in tl.static_range(8):
            scale = factor_of(149 + SMALL, i, KIND, BITS)
            value = tl.fma(field(fields, fields, i, KIND, BITS), scale, rest)
            if BITS > 2:
                value = tl.fma(field(second, second, i, KIND, BITS), ratio * scale, value)
            values = values + (value,)
    return values


def _folded(
    words: tl.tensor, table_ptr: tl.tensor,
    FIRST: tl.constexpr, G: tl.constexpr, KIND: tl.constexpr, BITS: tl.constexpr, ASM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Fields of the G-th eight weights of the unit that begins at word FIRST.

    Of E8P a ninth number says whether the point moves down, 0 or 2^-149; fields and such a number
    of the second stage follow.
    """
    values = ()
    if KIND == "grid":
        for i in tl.static_range(8 * G, 8 * G + 8):
            values = values + (grid_field(words, FIRST, i, BITS),)
    else:
        fields, down = point(words, table_ptr, 4 * FIRST + G * BITS, ASM)
        for i in tl.static_range(8):
            values = values + (field(fields, fields, i, KIND, BITS),)
        values = values + (down,)
        if BITS > 2:
            if BITS == 3:
                fields, down = short(words, table_ptr, 4 * FIRST + G * BITS + 2)
            else:
                fields, down = point(words, table_ptr, 4 * FIRST + G * BITS + 2, ASM)
            for i in tl.static_range(8):
                values = values + (field(fields, fields, i, KIND, BITS),)
            values = values + (down,)
    return values


field = triton.jit(_field)
grid_field = triton.jit(_grid_field)
byte_of = triton.jit(_byte)
parity = triton.jit(_parity)
entry = triton.jit(_entry)
turned = triton.jit(_turned)
copies = triton.jit(_copies)
point = triton.jit(_point)
short = triton.jit(_short)
group = triton.jit(_group)
folded = triton.jit(_folded)
