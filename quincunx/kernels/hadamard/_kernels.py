"""Kernels of Triton that multiply rows by a Kronecker product, with vectors before and after.

A tile of numbers lies in the registers of a program. Each factor of the product takes its turn as
the tile's last axis, and its result becomes the first: after as many turns as there are axes all
are back in their places. Of Sylvester's matrix one stage is a turn of its own, a sum and a
difference of neighbours; this order lets the compiler do several stages between two exchanges of
numbers by threads, where stages at growing distances would have an exchange each.

Matrices of other factors are multiplied on tensor cores. Entries of 1 and -1 are exact in any type,
so that numbers of single precision are cut into three of 8 bits each, without loss.
"""

# mypy: disable-error-code="assignment"

import triton
import triton.language as tl


def _butterflies(x: tl.tensor, STAGES: tl.constexpr) -> tl.tensor:
    """Multiply a flat tile's last 2^STAGES by Sylvester's matrix, and bring them to the front."""
    SIZE: tl.constexpr = x.shape[0]
    for _ in tl.static_range(STAGES):
        a, b = tl.split(tl.reshape(x, [SIZE // 2, 2]))
        x = tl.reshape(tl.permute(tl.join(a + b, a - b), [1, 0]), [SIZE])
    return x


def _times(
    x: tl.tensor, matrix: tl.tensor, sums: tl.tensor,
    EXACT: tl.constexpr, WHOLE: tl.constexpr, TYPE: tl.constexpr, WIDEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """``sums + x matrix``, float32.

    Arguments:
        x: float32 [M, K].
        matrix: [K, N].
        sums: float32 [M, N].
        EXACT: the matrix has entries of 1, -1 and 0.
        WHOLE: and x has the type TYPE without loss.
        TYPE: of 16 bits.
        WIDEN: operands stay single-precision numbers: for the interpreter, whose product takes the
            bits of bfloat16 for whole numbers.
    """
    if WIDEN:
        return tl.dot(x, matrix.to(tl.float32), sums, input_precision="ieee")
    elif not EXACT:
        return tl.dot(x, matrix.to(tl.float32), sums, input_precision="tf32x3")
    elif WHOLE:
        return tl.dot(x.to(TYPE), matrix.to(TYPE), sums)
    else:
        signs = matrix.to(tl.bfloat16)
        high = x.to(tl.bfloat16)
        x -= high.to(tl.float32)
        middle = x.to(tl.bfloat16)
        low = (x - middle.to(tl.float32)).to(tl.bfloat16)
        return tl.dot(low, signs, tl.dot(middle, signs, tl.dot(high, signs, sums)))


def _turned(
    x: tl.tensor, matrix_ptr: tl.tensor, WIDTH: tl.constexpr, EXACT: tl.constexpr,
    WIDEN: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Multiply a flat tile's last axis by a matrix [WIDTH, WIDTH], and bring it to the front."""
    SIZE: tl.constexpr = x.shape[0]
    entry = tl.arange(0, WIDTH)
    matrix = tl.load(matrix_ptr + entry[:, None] * WIDTH + entry[None, :])
    sums = tl.zeros([SIZE // WIDTH, WIDTH], tl.float32)
    x = tl.reshape(x, [SIZE // WIDTH, WIDTH])
    sums = times(x, matrix, sums, EXACT, False, tl.bfloat16, WIDEN)
    return tl.reshape(tl.permute(sums, [1, 0]), [SIZE])


def _inputs(
    x_ptr: tl.tensor, at: tl.tensor, place: tl.tensor, inside: tl.tensor,
    before_ptr: tl.tensor, divisor_ptr: tl.tensor, BEFORE: tl.constexpr, DIVISOR: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Inputs times a vector, over a vector, float32; 0 outside."""
    x = tl.load(x_ptr + at, inside, 0.0).to(tl.float32)
    if DIVISOR:
        x = x / tl.load(divisor_ptr + place, inside, 1.0).to(tl.float32)
    if BEFORE == "all":
        x = x * tl.load(before_ptr + place, inside, 0).to(tl.float32)
    elif BEFORE == "one":
        x = x * tl.load(before_ptr).to(tl.float32)
    return x


def _outputs(
    y_ptr: tl.tensor, at: tl.tensor, place: tl.tensor, inside: tl.tensor, y: tl.tensor,
    after_ptr: tl.tensor, bias_ptr: tl.tensor, AFTER: tl.constexpr, BIAS: tl.constexpr,
) -> None:  # fmt: skip
    """Write results times a vector, plus a vector, in the type of the outputs."""
    if AFTER:
        y = y * tl.load(after_ptr + place, inside, 0).to(tl.float32)
    if BIAS:
        y = y + tl.load(bias_ptr + place, inside, 0.0).to(tl.float32)
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), inside)


def _power(
    x_ptr: tl.tensor, y_ptr: tl.tensor, before_ptr: tl.tensor, divisor_ptr: tl.tensor,
    after_ptr: tl.tensor, bias_ptr: tl.tensor, rows: tl.tensor, stride: tl.tensor,
    scale: tl.tensor,
    ROWS: tl.constexpr, POWER: tl.constexpr, STAGES: tl.constexpr,
    BEFORE: tl.constexpr, DIVISOR: tl.constexpr, AFTER: tl.constexpr, BIAS: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply rows by Sylvester's matrix.

    Arguments, the first six addresses:
        x_ptr: rows of POWER numbers, ``stride`` apart.
        y_ptr: [rows, POWER], written.
        before_ptr: what inputs are multiplied with: [POWER], [1] or nothing, as BEFORE says.
        divisor_ptr: [POWER], what they are divided by, if DIVISOR.
        after_ptr: [POWER], what outputs are multiplied with, if AFTER.
        bias_ptr: [POWER], what is added to them in the end, if BIAS.
        rows: how many.
        stride: from row to row of the inputs.
        scale: what outputs are multiplied with, all of them.
        ROWS: of a program, a power of two.
        POWER: 2^STAGES.
        STAGES: of butterflies.
        BEFORE: "all", "one" or "none".
        DIVISOR: whether there is such a vector.
        AFTER: likewise.
        BIAS: likewise.
    """
    index = tl.arange(0, ROWS * POWER)
    place = index % POWER
    first = tl.program_id(0).to(tl.int64) * ROWS
    x_ptr += first * stride
    y_ptr += first * POWER
    inside = first + index // POWER < rows
    at = place
    if ROWS > 1:
        at = (index // POWER).to(tl.int64) * stride + place
    x = load(x_ptr, at, place, inside, before_ptr, divisor_ptr, BEFORE, DIVISOR)
    x = butterflies(x, STAGES)
    if ROWS > 1:  # rows are the last axis by now
        x = tl.reshape(tl.permute(tl.reshape(x, [POWER, ROWS]), [1, 0]), [ROWS * POWER])
    store(y_ptr, index, place, inside, x * scale, after_ptr, bias_ptr, AFTER, BIAS)


def _product(
    x_ptr: tl.tensor, y_ptr: tl.tensor, before_ptr: tl.tensor, divisor_ptr: tl.tensor,
    after_ptr: tl.tensor, bias_ptr: tl.tensor, dense_ptr: tl.tensor, first_ptr: tl.tensor,
    second_ptr: tl.tensor, rows: tl.tensor, stride: tl.tensor, scale: tl.tensor,
    ROWS: tl.constexpr, POWER: tl.constexpr, STAGES: tl.constexpr,
    FIRST: tl.constexpr, FIRST_WIDTH: tl.constexpr, FIRST_EXACT: tl.constexpr,
    SECOND: tl.constexpr, SECOND_WIDTH: tl.constexpr, SECOND_EXACT: tl.constexpr,
    ORDER: tl.constexpr, WIDTH: tl.constexpr, EXACT: tl.constexpr, WHOLE: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, WIDEN: tl.constexpr,
    BEFORE: tl.constexpr, DIVISOR: tl.constexpr, AFTER: tl.constexpr, BIAS: tl.constexpr,
) -> None:  # fmt: skip
    """Multiply rows by a Kronecker product of Sylvester's matrix and up to three others.

    A program has all numbers of its outputs' axes but for the last, of which it makes a block: the
    last matrix is multiplied first, straight from the inputs, and the others in registers.

    Arguments as above, and the addresses of three matrices:
        dense_ptr: [chunks CHUNK, WIDTH], the last matrix, transposed, zeros around it.
        first_ptr: [FIRST_WIDTH, FIRST_WIDTH], likewise, if FIRST > 1.
        second_ptr: [SECOND_WIDTH, SECOND_WIDTH], likewise, if SECOND > 1.
        FIRST: the order of the first matrix; 1: there is none.
        FIRST_WIDTH: the power of two that it takes in a tile.
        FIRST_EXACT: whether its entries are 1 and -1.
        SECOND: likewise of the second.
        SECOND_WIDTH: likewise.
        SECOND_EXACT: likewise.
        ORDER: of the last matrix.
        WIDTH: its columns with zeros, whole blocks.
        EXACT: whether its entries are 1 and -1.
        WHOLE: inputs times ``before`` fit in the inputs' type.
        CHUNK: inputs of the last axis at a time.
        BLOCK: outputs of the last axis of a program.
        WIDEN: see ``_times``.
    """
    INNER: tl.constexpr = FIRST_WIDTH * SECOND_WIDTH
    TALL: tl.constexpr = ROWS * POWER * INNER
    LENGTH: tl.constexpr = POWER * FIRST * SECOND * ORDER
    m = tl.arange(0, TALL)
    first = tl.program_id(0).to(tl.int64) * ROWS
    x_ptr += first * stride
    y_ptr += first * LENGTH
    row = m // (POWER * INNER)
    i, j = m // SECOND_WIDTH % FIRST_WIDTH, m % SECOND_WIDTH
    there = (first + row < rows) & (i < FIRST) & (j < SECOND)
    place = ((m // INNER % POWER * FIRST + i) * SECOND + j) * ORDER
    source, goal = place, place
    if ROWS > 1:
        source = place + row.to(tl.int64) * stride
        goal = place + row * LENGTH
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros([TALL, BLOCK], tl.float32)
    for start in range(0, ORDER, CHUNK):
        k = start + tl.arange(0, CHUNK)
        x = load(
            x_ptr, source[:, None] + k[None, :], place[:, None] + k[None, :],
            there[:, None] & (k < ORDER)[None, :], before_ptr, divisor_ptr, BEFORE, DIVISOR,
        )  # fmt: skip
        matrix = tl.load(dense_ptr + k[:, None] * WIDTH + column[None, :])
        sums = times(x, matrix, sums, EXACT, WHOLE, x_ptr.dtype.element_ty, WIDEN)
    x = tl.reshape(tl.permute(sums, [1, 0]), [TALL * BLOCK])
    if SECOND > 1:
        x = turned(x, second_ptr, SECOND_WIDTH, SECOND_EXACT, WIDEN)
    if FIRST > 1:
        x = turned(x, first_ptr, FIRST_WIDTH, FIRST_EXACT, WIDEN)
    x = butterflies(x, STAGES)
    if ROWS > 1:  # rows are the last axis by now
        x = tl.permute(tl.reshape(x, [POWER * INNER * BLOCK, ROWS]), [1, 0])
    y = tl.reshape(x, [TALL, BLOCK]) * scale
    store(
        y_ptr, goal[:, None] + column[None, :], place[:, None] + column[None, :],
        there[:, None] & (column < ORDER)[None, :], y, after_ptr, bias_ptr, AFTER, BIAS,
    )  # fmt: skip


butterflies = triton.jit(_butterflies)
times = triton.jit(_times)
turned = triton.jit(_turned)
load = triton.jit(_inputs)
store = triton.jit(_outputs)
# A kernel compiled anew for one row, and for multiples of 16, would gain nothing.
power = triton.jit(_power, do_not_specialize=["rows"])
product = triton.jit(_product, do_not_specialize=["rows"])
