"""Kernels of Triton that multiply with rows of codes, grids and E8P: few rows and many rows.

A thread reads a unit at a time, 32 consecutive weights, of one row of W or of several: what they
are is in :mod:`quincunx.kernels.gpu_row_fields`.
"""

# Tuples grow by addition: Triton unpacks none within another, and mypy wants one length.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment, var-annotated"

import triton
import triton.language as tl

from quincunx.kernels.gpu_functions import eight, four, side_by_side, swap
from quincunx.kernels.gpu_row_fields import SMALL, UP, factor_of, folded, group

UNIT = tl.constexpr(32)


def _words(
    words_ptr: tl.tensor, unit: tl.tensor, size: tl.tensor,
    COUNT: tl.constexpr, LOAD: tl.constexpr, SPREAD: tl.constexpr, SWAP: tl.constexpr,
    ASM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The unit's words; of those behind the row's end, any.

    Arguments:
        words_ptr: the row; spread: each unit's.
        unit: [P].
        size: words or bytes of a row.
        COUNT: of a unit.
        LOAD: as in :func:`_vector`.
        SPREAD: whether units are of several rows.
        SWAP: return words with their first byte highest.
        ASM: inline assembly.
    """
    words = ()
    first = unit * COUNT
    if LOAD == "bytes":
        for piece in tl.static_range(COUNT):
            word = tl.zeros(unit.shape, tl.uint32)
            for byte in tl.static_range(4):
                at = tl.minimum(4 * (first + piece) + byte, size - 1)
                word |= tl.load(words_ptr + at).to(tl.uint32) << (8 * byte)
            words = words + (word,)
    elif LOAD == "words":
        for piece in tl.static_range(COUNT):
            word = tl.load(words_ptr + tl.minimum(first + piece, size - 1))
            words = words + (word.to(tl.uint32, bitcast=True),)
    else:  # whole units, vectors of words
        WIDE: tl.constexpr = 4 if COUNT % 4 == 0 else (2 if COUNT % 2 == 0 else 1)
        for piece in tl.static_range(COUNT // WIDE):
            if WIDE == 1:
                loaded = (tl.load(words_ptr + (first + piece)),)
            else:
                at = first[:, None] + (WIDE * piece + tl.arange(0, WIDE)[None, :])
                if SPREAD:
                    loaded = tl.load(words_ptr[:, None] + at)
                else:
                    loaded = tl.load(words_ptr + at)
                loaded = four(loaded) if WIDE == 4 else tl.split(loaded)
            for i in tl.static_range(WIDE):
                words = words + (loaded[i].to(tl.uint32, bitcast=True),)
    if SWAP:
        swapped = ()
        for i in tl.static_range(COUNT):
            swapped = swapped + (swap(words[i], ASM),)
        words = swapped
    return words


def _inputs(x_ptr: tl.tensor, at: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """Eight consecutive inputs, float32, by loads of 16 bytes; 0 where they are not inside."""
    WIDE: tl.constexpr = 4 if x_ptr.dtype.element_ty == tl.float32 else 8
    found = ()
    for piece in tl.static_range(8 // WIDE):
        place = at[:, None] + (WIDE * piece + tl.arange(0, WIDE)[None, :])
        x = tl.load(x_ptr + place, mask=inside[:, None], other=0.0).to(tl.float32)
        found = found + (four(x) if WIDE == 4 else eight(x))
    return found


def _sum_of_eight(x: tl.tensor, FIRST: tl.constexpr) -> tl.tensor:
    """The sum of eight of a tuple."""
    even = (x[FIRST] + x[FIRST + 4]) + (x[FIRST + 2] + x[FIRST + 6])
    return even + ((x[FIRST + 1] + x[FIRST + 5]) + (x[FIRST + 3] + x[FIRST + 7]))


def _vector(
    x_ptr: tl.tensor, words_ptr: tl.tensor, table_ptr: tl.tensor, scales_ptr: tl.tensor,
    out_ptr: tl.tensor, ratio: tl.tensor, batch: tl.tensor, m: tl.tensor, units: tl.tensor,
    size: tl.tensor, part: tl.tensor,
    KIND: tl.constexpr, BITS: tl.constexpr, LOAD: tl.constexpr, ASM: tl.constexpr,
    FOLD: tl.constexpr, BATCH: tl.constexpr, ROWS: tl.constexpr, THREADS: tl.constexpr,
    LAST: tl.constexpr, EACH: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply some rows of W, a part of their columns, with up to 8 rows of inputs.

    Arguments, the first five addresses:
        x_ptr: [batch, 32 units].
        words_ptr: int32 or uint8 [m, size].
        table_ptr: int32 [512], fields of rows of E8P, and of points of E81B; or nothing.
        scales_ptr: float32 [1] or [m].
        out_ptr: float32 [parts, batch, m]; the last step: [batch, m] in the outputs' type; written.
        ratio: 1 / ratio of E8P's stages.
        batch: rows of inputs.
        m: rows of W.
        units: of a row, the last filled up where W has fewer columns.
        size: words, with LOAD "bytes" bytes, of a row.
        part: units of a program, a multiple of THREADS.
        KIND: "e8p" or "grid".
        BITS: a weight.
        LOAD: "units", of which a row has whole ones, "words" or "bytes": what may be read at once.
        ASM: inline assembly.
        FOLD: fields are multiplied as they are, and corrected by sums of inputs.
        BATCH: batch or more, 1, 2, 4 or 8.
        ROWS: of W of a program.
        THREADS: of the program, one a unit.
        LAST: there is one part: scale, and round to the outputs' type.
        EACH: a scale a row.
    """
    TWO: tl.constexpr = FOLD and KIND == "e8p" and BITS > 2
    SWAP: tl.constexpr = KIND == "grid" and 8 % BITS != 0
    lane = tl.arange(0, THREADS)
    width = units * UNIT
    if LOAD == "units":
        size = units * BITS
    first_row = tl.program_id(0) * ROWS
    first = tl.program_id(1) * part
    sums = ()
    for _ in tl.static_range(ROWS * BATCH):
        sums = sums + (tl.zeros([THREADS], tl.float32),)
    seconds = sums
    totals = ()
    for _ in tl.static_range(BATCH):
        totals = totals + (tl.zeros([THREADS], tl.float32),)
    for start in range(first, tl.minimum(first + part, units), THREADS):
        unit = start + lane
        inside = unit < units
        unit = tl.minimum(unit, units - 1)
        words = ()
        for row in tl.static_range(ROWS):
            at = tl.minimum(first_row + row, m - 1).to(tl.int64) * size
            words = words + load_words(words_ptr + at, unit, size, BITS, LOAD, False, SWAP, ASM)
        for g in tl.static_range(4):
            x = ()
            for b in tl.static_range(BATCH):
                line = x_ptr + tl.minimum(b, batch - 1).to(tl.int64) * width
                x = x + load_inputs(line, unit * UNIT + 8 * g, inside)
            if FOLD:
                eights = ()
                more = ()
                larger = ()
                for b in tl.static_range(BATCH):
                    eight_sum = sum_of_eight(x, 8 * b)
                    eights = eights + (eight_sum,)
                    more = more + (totals[b] + eight_sum,)
                    for i in tl.static_range(8):
                        scale = factor_of(UP, 8 * g + i, KIND, BITS)
                        larger = larger + (x[8 * b + i] * scale,)
                x = larger
                totals = more
            after = ()
            later = ()
            for row in tl.static_range(ROWS):
                if FOLD:
                    values = folded(words, table_ptr, row * BITS, g, KIND, BITS, ASM)
                else:
                    values = group(words, table_ptr, ratio, row * BITS, g, KIND, BITS, ASM)
                for b in tl.static_range(BATCH):
                    total = sums[row * BATCH + b]
                    for i in tl.static_range(8):
                        total = tl.fma(values[i], x[8 * b + i], total)
                    if FOLD and KIND == "e8p":
                        total = tl.fma(values[8], eights[b] * -(2.0 ** (UP - 1)), total)
                    after = after + (total,)
                    if TWO:
                        total = seconds[row * BATCH + b]
                        for i in tl.static_range(8):
                            total = tl.fma(values[9 + i], x[8 * b + i], total)
                        move = 2.0 ** (UP - 1) if BITS == 3 else -(2.0 ** (UP - 1))
                        total = tl.fma(values[17], eights[b] * move, total)
                        later = later + (total,)
            sums = after
            if TWO:
                seconds = later
    found = tl.reshape(tl.sum(side_by_side(sums, ROWS * BATCH), 0), [ROWS, BATCH])
    if FOLD:
        ZERO: tl.constexpr = -3.25 if KIND == "e8p" else (1 - (1 << BITS)) / 2
        total = tl.sum(side_by_side(totals, BATCH), 0)
        found = found * 2.0 ** (149 - UP) + (total * ZERO)[None, :]
        if TWO:
            second = tl.reshape(tl.sum(side_by_side(seconds, ROWS * BATCH), 0), [ROWS, BATCH])
            middle = -2.0 if BITS == 3 else -3.25
            found += ratio * (second * 2.0 ** (149 - UP) + (total * middle)[None, :])
    else:
        found *= 2.0**-SMALL
    row = first_row + tl.arange(0, ROWS)[:, None]
    b = tl.arange(0, BATCH)[None, :]
    inside = (row < m) & (b < batch)
    if LAST:
        if EACH:
            found *= tl.load(scales_ptr + row, row < m, 0.0)
        else:
            found *= tl.load(scales_ptr)
        tl.store(out_ptr + b.to(tl.int64) * m + row, found.to(out_ptr.dtype.element_ty), inside)
    else:
        place = (tl.program_id(1) * batch + b).to(tl.int64)
        tl.store(out_ptr + place * m + row, found, inside)


def _matrix(
    x_ptr: tl.tensor, words_ptr: tl.tensor, table_ptr: tl.tensor, scales_ptr: tl.tensor,
    out_ptr: tl.tensor, ratio: tl.tensor, batch: tl.tensor, m: tl.tensor, units: tl.tensor,
    size: tl.tensor, part: tl.tensor,
    KIND: tl.constexpr, BITS: tl.constexpr, LOAD: tl.constexpr, ASM: tl.constexpr,
    WIDEN: tl.constexpr, BATCH: tl.constexpr, HEIGHT: tl.constexpr, ALONG: tl.constexpr,
    LAST: tl.constexpr, EACH: tl.constexpr, EVEN: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply blocks of W with blocks of inputs on tensor cores.

    Arguments that :func:`_vector` does not have, or has otherwise:
        part: units of a program, a multiple of ALONG / 32.
        WIDEN: operands are made single-precision numbers: the interpreter's product takes the
            bits of bfloat16 for whole numbers.
        BATCH: rows of inputs of a program.
        HEIGHT: rows of W of a program.
        ALONG: columns of W that are decoded at a time.
        EVEN: a row is a whole number of these, so that nothing beyond it is read.
    """
    TYPE: tl.constexpr = x_ptr.dtype.element_ty
    SWAP: tl.constexpr = KIND == "grid" and 8 % BITS != 0
    UNITS: tl.constexpr = ALONG // UNIT
    width = units * UNIT
    if LOAD == "units":
        size = units * BITS
    place = tl.arange(0, HEIGHT * UNITS)
    row = tl.minimum(tl.program_id(0) * HEIGHT + place // UNITS, m - 1)
    words_ptr += row.to(tl.int64) * size
    b = tl.program_id(1) * BATCH + tl.arange(0, BATCH)
    column = tl.arange(0, ALONG)
    x_ptr += tl.minimum(b, batch - 1).to(tl.int64)[:, None] * width
    sums = tl.zeros([HEIGHT, BATCH], tl.float32)
    first = tl.program_id(2) * part
    for start in range(first, tl.minimum(first + part, units), UNITS):
        unit = tl.minimum(start + place % UNITS, units - 1)
        words = load_words(words_ptr, unit, size, BITS, LOAD, True, SWAP, ASM)
        values = ()
        for g in tl.static_range(4):
            values = values + group(words, table_ptr, ratio, 0, g, KIND, BITS, ASM)
        weights = ()
        for i in tl.static_range(UNIT):
            if TYPE == tl.float16:  # which has no numbers as small
                weights = weights + ((values[i] * 2.0**-SMALL).to(TYPE),)
            else:
                weights = weights + (values[i].to(TYPE),)
        weights = tl.reshape(side_by_side(weights, UNIT), [HEIGHT, ALONG])
        at = start * UNIT + column
        if EVEN:
            x = tl.load(x_ptr + at[None, :])
        else:
            x = tl.load(x_ptr + at[None, :], (at < width)[None, :], 0.0)
        if TYPE == tl.float32:
            sums = tl.dot(weights, tl.trans(x), sums, input_precision="tf32x3")
        elif WIDEN:
            wide = tl.trans(x.to(tl.float32))
            sums = tl.dot(weights.to(tl.float32), wide, sums, input_precision="ieee")
        else:
            sums = tl.dot(weights, tl.trans(x), sums)
    if TYPE != tl.float16:
        sums *= 2.0**-SMALL
    row = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    inside = (row < m)[:, None] & (b < batch)[None, :]
    if LAST:
        if EACH:
            sums *= tl.load(scales_ptr + row, row < m, 0.0)[:, None]
        else:
            sums *= tl.load(scales_ptr)
        out_ptr += b.to(tl.int64)[None, :] * m + row[:, None]
        tl.store(out_ptr, sums.to(out_ptr.dtype.element_ty), inside)
    else:
        out_ptr += (tl.program_id(2) * batch + b).to(tl.int64)[None, :] * m + row[:, None]
        tl.store(out_ptr, sums, inside)


load_words = triton.jit(_words)
load_inputs = triton.jit(_inputs)
sum_of_eight = triton.jit(_sum_of_eight)
vector = triton.jit(_vector)
matrix = triton.jit(_matrix)
