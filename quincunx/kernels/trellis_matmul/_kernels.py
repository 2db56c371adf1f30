"""Kernels of Triton that multiply with trellis-coded weights: few rows and many rows.

Words are the bytes of `qweight`, four at a time, lowest byte first; a path's bits are in them from
the first byte's highest bit on, so that a word's bytes are reversed before use.

Few rows: a thread has 64 or 128 consecutive weights of a tile, which are whole rows of it: as many
inputs as the tile has columns serve them all. Its sums are kept from tile to tile and added up at
the end, always in the same order. Many rows: a program decodes a block of W for the tensor cores.
"""

# Tuples grow by addition: Triton unpacks none within another, and mypy wants one length.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment, var-annotated"

import triton
import triton.language as tl

from quincunx.kernels.gpu_functions import four, side_by_side, swap
from quincunx.kernels.trellis_matmul._decode import (
    BACK,
    DOWN,
    MAD_FACTOR,
    MAD_ZERO,
    MUL1_FACTOR,
    MUL1_ZERO,
    UP,
    entry,
    rounded,
    single,
)


def _words(
    words_ptr: tl.tensor, unit: tl.tensor, ahead: tl.tensor, COUNT: tl.constexpr,
    EACH: tl.constexpr, ASM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The word before the unit's, on its tile's circle, and its own ``COUNT``; ``EACH`` a tile.

    Units are counted from the address, which is ``ahead`` units from a tile's beginning.
    """
    first = unit * COUNT
    before = tl.where((unit + ahead) % EACH == 0, first + (EACH * COUNT - 1), first - 1)
    words = (swap(tl.load(words_ptr + before), ASM),)
    if COUNT % 4 == 0:
        for piece in tl.static_range(COUNT // 4):
            at = first[:, None] + (4 * piece + tl.arange(0, 4)[None, :])
            words = words + four(swap(tl.load(words_ptr + at), ASM))
    elif COUNT % 2 == 0:
        for piece in tl.static_range(COUNT // 2):
            at = first[:, None] + (2 * piece + tl.arange(0, 2)[None, :])
            low, high = tl.split(swap(tl.load(words_ptr + at), ASM))
            words = words + (low, high)
    else:
        for piece in tl.static_range(COUNT):
            words = words + (swap(tl.load(words_ptr + first + piece), ASM),)
    return words


def _inputs(
    x_ptr: tl.tensor, at: tl.tensor, inside: tl.tensor, COUNT: tl.constexpr, NARROW: tl.constexpr
) -> tl.tensor:
    """``COUNT`` consecutive inputs of each unit, float32; 0 where the unit is not inside."""
    found = ()
    if NARROW:
        for piece in tl.static_range(COUNT // 8):
            place = at[:, None] + (8 * piece + tl.arange(0, 8)[None, :])
            x = tl.load(x_ptr + place, mask=inside[:, None], other=0.0).to(tl.float32)
            even, odd = tl.split(tl.reshape(x, [x.shape[0], 4, 2]))
            a, c, e, g = four(even)
            b, d, f, h = four(odd)
            found = found + (a, b, c, d, e, f, g, h)
    else:
        for piece in tl.static_range(COUNT // 4):
            place = at[:, None] + (4 * piece + tl.arange(0, 4)[None, :])
            found = found + four(tl.load(x_ptr + place, mask=inside[:, None], other=0.0))
    return found


def _state(
    words: tl.tensor, END: tl.constexpr, SHIFT: tl.constexpr, LOOSE: tl.constexpr
) -> tl.tensor:
    """The state whose last bit is bit ``END - 1`` of the unit; loose: with others above its 16."""
    WORD: tl.constexpr = (END - 1) // 32
    REST: tl.constexpr = END - 32 * WORD  # of the state's bits up to here, in this word
    cur = words[WORD + 1]
    if 16 % SHIFT == 0:  # two states are the halves of one word
        both = cur
        if REST % 16 != 0:
            pair = (words[WORD].to(tl.uint64) << 32) | cur.to(tl.uint64)
            both = (pair >> (16 - REST % 16)).to(tl.uint32)
        if REST <= 16:
            return both >> 16
        elif LOOSE:
            return both
        else:
            return both & 0xFFFF
    else:
        if REST >= 16:
            state = cur >> (32 - REST)
        else:
            pair = (words[WORD].to(tl.uint64) << 32) | cur.to(tl.uint64)
            state = (pair >> (32 - REST)).to(tl.uint32)
        if LOOSE or REST == 16:
            return state
        else:
            return state & 0xFFFF


def _row(
    words: tl.tensor, table_ptr: tl.tensor, ROW: tl.constexpr, COLUMNS: tl.constexpr,
    SHIFT: tl.constexpr, CODE: tl.constexpr, FOLD: tl.constexpr, ASM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The weights of one row of a unit."""
    values = ()
    if CODE == "hyb":
        for place in tl.static_range(COLUMNS // 2):
            state = state_at(words, (ROW * COLUMNS // 2 + place + 1) * SHIFT, SHIFT, True)
            pair = tl.load(table_ptr + entry(state))
            low = pair.to(tl.uint32).to(tl.float32, bitcast=True)
            high = (pair >> 32).to(tl.uint32).to(tl.float32, bitcast=True)
            values = values + (low, high)
    else:
        for place in tl.static_range(COLUMNS):
            state = state_at(words, (ROW * COLUMNS + place + 1) * SHIFT, SHIFT, False)
            values = values + (single(state, table_ptr, CODE, FOLD, ASM),)
    return values


def _numbers(
    state: tl.tensor, table_ptr: tl.tensor, CODE: tl.constexpr, ASM: tl.constexpr,
    TYPE: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """One or two operands of tensor cores; the state may have bits above its 16."""
    if CODE == "hyb":
        pair = tl.load(table_ptr + entry(state))
        if TYPE == tl.float32:
            low = pair.to(tl.uint32).to(TYPE, bitcast=True)
            return (low, (pair >> 32).to(tl.uint32).to(TYPE, bitcast=True))
        else:
            low = pair.to(tl.uint16).to(TYPE, bitcast=True)
            return (low, (pair >> 16).to(tl.uint16).to(TYPE, bitcast=True))
    else:
        return (rounded(state & 0xFFFF, table_ptr, CODE, ASM, TYPE),)


def _vector(
    x_ptr: tl.tensor, words_ptr: tl.tensor, table_ptr: tl.tensor, scales_ptr: tl.tensor,
    out_ptr: tl.tensor, units: tl.tensor, part: tl.tensor, width: tl.tensor, batch: tl.tensor,
    m: tl.tensor,
    BATCH: tl.constexpr, SHIFT: tl.constexpr, COUNT: tl.constexpr, EACH: tl.constexpr,
    COLUMNS: tl.constexpr,
    CODE: tl.constexpr, FOLD: tl.constexpr, ASM: tl.constexpr, NARROW: tl.constexpr,
    THREADS: tl.constexpr, APART: tl.constexpr, LAST: tl.constexpr, SCALES: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply one row of tiles, or a part of its rows, with up to 8 rows of inputs.

    Arguments, the first five addresses:
        x_ptr: [BATCH, width].
        words_ptr: int32 [rows of tiles, words].
        table_ptr: HYB's pairs of float32 as int64 [1024], a lookup's float32 [2^16], or nothing.
        scales_ptr: float32 [1] or [m].
        out_ptr: float32 [parts, BATCH, rows of tiles, rows of a tile]; the last step: [batch, m] in
            the outputs' type; written.
        units: in a row of tiles, or those of them that a program may have.
        part: units of a program, a multiple of THREADS.
        width: inputs of a row, whole tiles.
        batch: rows of outputs.
        m: outputs of a row.
        BATCH: rows of inputs, 1, 2, 4 or 8.
        SHIFT: bits from state to state.
        COUNT: words of a unit, which is the consecutive weights of a thread.
        EACH: units of a tile, 2 or 4.
        COLUMNS: of a tile, 8 or 16.
        CODE: name.
        FOLD: byte sums are multiplied as they are, and corrected by sums of inputs.
        ASM: inline assembly.
        NARROW: inputs have 16 bits.
        THREADS: of the program, one a unit.
        APART: each unit of a tile is another program's, which makes these more even in number.
        LAST: there is one part: scale, and round to the outputs' type.
        SCALES: a scale an output.
    """
    ROWS: tl.constexpr = 256 // EACH // COLUMNS
    SUMS: tl.constexpr = ROWS * BATCH
    STEP: tl.constexpr = EACH if APART else 1  # from a thread's unit to the next thread's
    HERE: tl.constexpr = EACH // STEP
    lane = tl.arange(0, THREADS)
    tiles = tl.program_id(0) // STEP
    words_ptr += (tiles.to(tl.int64) * units * STEP + tl.program_id(0) % STEP) * COUNT
    first = tl.program_id(1) * part
    sums = ()
    for _ in tl.static_range(SUMS):
        sums = sums + (tl.zeros([THREADS], tl.float32),)
    totals = ()
    for _ in tl.static_range(BATCH):
        totals = totals + (tl.zeros([THREADS], tl.float32),)
    for start in range(first, tl.minimum(first + part, units), THREADS):
        unit = start + lane
        inside = unit < units
        unit = tl.minimum(unit, units - 1) * STEP
        words = load_words(words_ptr, unit, tl.program_id(0) % STEP, COUNT, EACH, ASM)
        x = ()
        for b in tl.static_range(BATCH):
            x = x + load_inputs(x_ptr + b * width, unit // EACH * COLUMNS, inside, COLUMNS, NARROW)
        if FOLD:
            larger = ()
            for i in tl.static_range(BATCH * COLUMNS):
                larger = larger + (x[i] * UP,)
            x = larger
            more = ()
            for b in tl.static_range(BATCH):
                total = totals[b]
                for i in tl.static_range(COLUMNS):
                    total += x[b * COLUMNS + i]
                more = more + (total,)
            totals = more
        after = ()
        for row in tl.static_range(ROWS):
            weights = row_of(words, table_ptr, row, COLUMNS, SHIFT, CODE, FOLD, ASM)
            for b in tl.static_range(BATCH):
                total = sums[row * BATCH + b]
                for i in tl.static_range(COLUMNS):
                    total = tl.fma(weights[i], x[b * COLUMNS + i], total)
                after = after + (total,)
        sums = after
    if FOLD:
        FACTOR: tl.constexpr = MUL1_FACTOR if CODE == "mul1" else MAD_FACTOR
        ZERO: tl.constexpr = MUL1_ZERO if CODE == "mul1" else MAD_ZERO
        after = ()
        for i in tl.static_range(SUMS):
            after = after + (sums[i] * (BACK * FACTOR) + totals[i % BATCH] * (DOWN * ZERO),)
        sums = after
    found = tl.reshape(side_by_side(sums, SUMS), [THREADS // HERE, HERE, SUMS])
    found = tl.reshape(tl.sum(found, 0), [HERE * ROWS, BATCH])
    row = tl.program_id(0) * (HERE * ROWS) + tl.arange(0, HERE * ROWS)[:, None]
    b = tl.arange(0, BATCH)[None, :]
    if LAST:
        if SCALES:
            found *= tl.load(scales_ptr + row, row < m, 0.0)
        else:
            found *= tl.load(scales_ptr)
        out_ptr += b.to(tl.int64) * m + row
        tl.store(out_ptr, found.to(out_ptr.dtype.element_ty), (row < m) & (b < batch))
    else:
        place = (tl.program_id(1) * BATCH + b).to(tl.int64)
        tl.store(out_ptr + place * (tl.num_programs(0) * HERE * ROWS) + row, found)


def _matrix(
    x_ptr: tl.tensor, words_ptr: tl.tensor, table_ptr: tl.tensor, out_ptr: tl.tensor,
    batch: tl.tensor, tile_rows: tl.tensor, tile_columns: tl.tensor, part: tl.tensor,
    SHIFT: tl.constexpr, WORDS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    RUN: tl.constexpr, CODE: tl.constexpr, ASM: tl.constexpr, WIDEN: tl.constexpr,
    DOWN_TILES: tl.constexpr, ALONG_TILES: tl.constexpr, BATCH: tl.constexpr, EVEN: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply blocks of W with blocks of inputs on tensor cores.

    Arguments, the first four addresses:
        x_ptr: [batch, columns of W, whole tiles].
        words_ptr: int32 [tile_rows, tile_columns, WORDS].
        table_ptr: HYB's pairs in the type of x, as int32 or int64 [1024]; else as above.
        out_ptr: float32 [parts, batch, tile_rows ROWS], written.
        batch: rows of inputs.
        tile_rows: of W.
        tile_columns: of W.
        part: columns of tiles of a program, a multiple of ALONG_TILES.
        SHIFT: bits from state to state.
        WORDS: of a tile.
        ROWS: of a tile.
        COLUMNS: of a tile.
        RUN: weights that are cut from one window of 64 bits.
        CODE: name.
        ASM: inline assembly.
        WIDEN: operands are made single-precision numbers: the interpreter's product takes the
            bits of bfloat16 for whole numbers.
        DOWN_TILES: rows of tiles of a program.
        ALONG_TILES: columns of tiles that are decoded at a time.
        BATCH: rows of inputs of a program.
        EVEN: parts are whole numbers of ALONG_TILES, so that nothing beyond W is read.
    """
    TYPE: tl.constexpr = x_ptr.dtype.element_ty
    STATES: tl.constexpr = RUN // 2 if CODE == "hyb" else RUN  # of a window
    WINDOWS: tl.constexpr = 256 // RUN  # of a tile
    HEIGHT: tl.constexpr = DOWN_TILES * ROWS
    ALONG: tl.constexpr = ALONG_TILES * COLUMNS
    window = tl.arange(0, DOWN_TILES * ALONG_TILES * WINDOWS)
    end = (window % WINDOWS + 1) * (STATES * SHIFT)
    word = (end - 1) // 32
    before = tl.where(word == 0, WORDS - 1, word - 1)
    shift = (32 * (word + 1) - end).to(tl.uint64)
    down = tl.program_id(0) * DOWN_TILES + window // (WINDOWS * ALONG_TILES)
    down = tl.minimum(down, tile_rows - 1).to(tl.int64) * tile_columns
    along = window // WINDOWS % ALONG_TILES
    width = tile_columns * COLUMNS
    b = tl.program_id(1) * BATCH + tl.arange(0, BATCH)
    column = tl.arange(0, ALONG)
    x_ptr += tl.minimum(b, batch - 1).to(tl.int64)[:, None] * width
    sums = tl.zeros([HEIGHT, BATCH], tl.float32)
    first = tl.program_id(2) * part
    for start in range(first, tl.minimum(first + part, tile_columns), ALONG_TILES):
        tile = (down + tl.minimum(start + along, tile_columns - 1)) * WORDS
        high = swap(tl.load(words_ptr + tile + before), ASM).to(tl.uint64) << 32
        pair = high | swap(tl.load(words_ptr + tile + word), ASM).to(tl.uint64)
        pair = pair >> shift
        weights = ()
        for place in tl.static_range(STATES):
            state = (pair >> ((STATES - 1 - place) * SHIFT)).to(tl.uint32)
            weights = weights + numbers_of(state, table_ptr, CODE, ASM, TYPE)
        weights = side_by_side(weights, RUN)
        weights = tl.reshape(weights, [DOWN_TILES, ALONG_TILES, ROWS, COLUMNS])
        weights = tl.reshape(tl.permute(weights, [0, 2, 1, 3]), [HEIGHT, ALONG])
        at = start * COLUMNS + column
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
    height = tile_rows * ROWS
    row = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    place = out_ptr + (tl.program_id(2) * batch + b).to(tl.int64)[None, :] * height
    tl.store(place + row[:, None], sums, (row < height)[:, None] & (b < batch)[None, :])


load_words = triton.jit(_words)
load_inputs = triton.jit(_inputs)
state_at = triton.jit(_state)
row_of = triton.jit(_row)
numbers_of = triton.jit(_numbers)
vector = triton.jit(_vector)
matrix = triton.jit(_matrix)
