"""What kernels of Triton for coded weights share: words, tuples of columns, the last step.

Tuples hold one tensor for each of a thread's numbers, so that where they are is written down and
not chosen by a compiler.
"""

# Tuples grow by addition: Triton unpacks none within another, and mypy wants one length.
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment, var-annotated"

import triton
import triton.language as tl


def _reversed(word: tl.tensor, ASM: tl.constexpr) -> tl.tensor:
    """The word with its first byte highest.

    LLVM sees that the plain way is one instruction, but on sm_100 takes two words for a vector,
    which it then cannot reverse, and ends the process.
    """
    word = word.to(tl.uint32, bitcast=True)
    if ASM:
        return tl.inline_asm_elementwise(
            "prmt.b32 $0, $1, 0, 0x0123;", "=r,r", [word], tl.uint32, True, 1
        )
    else:
        inner = ((word & 0xFF00) << 8) | ((word >> 8) & 0xFF00)
        return (word << 24) | inner | (word >> 24)


def _four(values: tl.tensor) -> tl.tensor:
    """The columns of [P, 4]."""
    even, odd = tl.split(tl.reshape(values, [values.shape[0], 2, 2]))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return (a, b, c, d)


def _eight(values: tl.tensor) -> tl.tensor:
    """The columns of [P, 8]."""
    even, odd = tl.split(tl.reshape(values, [values.shape[0], 4, 2]))
    a, c, e, g = four(even)
    b, d, f, h = four(odd)
    return (a, b, c, d, e, f, g, h)


def _side_by_side(columns: tl.tensor, COUNT: tl.constexpr) -> tl.tensor:
    """[P, COUNT] of ``COUNT`` columns, a power of two."""
    rows: tl.constexpr = columns[0].shape[0]
    if COUNT >= 2:
        joined = ()
        for i in tl.static_range(COUNT // 2):
            joined = joined + (tl.join(columns[i], columns[i + COUNT // 2]),)
        columns = joined
    if COUNT >= 4:
        joined = ()
        for i in tl.static_range(COUNT // 4):
            joined = joined + (tl.join(columns[i], columns[i + COUNT // 4]),)
        columns = joined
    if COUNT >= 8:
        joined = ()
        for i in tl.static_range(COUNT // 8):
            joined = joined + (tl.join(columns[i], columns[i + COUNT // 8]),)
        columns = joined
    if COUNT >= 16:
        joined = ()
        for i in tl.static_range(COUNT // 16):
            joined = joined + (tl.join(columns[i], columns[i + COUNT // 16]),)
        columns = joined
    if COUNT >= 32:
        joined = ()
        for i in tl.static_range(COUNT // 32):
            joined = joined + (tl.join(columns[i], columns[i + COUNT // 32]),)
        columns = joined
    if COUNT >= 64:
        columns = (tl.join(columns[0], columns[1]),)
    return tl.reshape(columns[0], [rows, COUNT])


def _finish(
    parts_ptr: tl.tensor, scales_ptr: tl.tensor, y_ptr: tl.tensor,
    parts: tl.tensor, rows: tl.tensor, height: tl.tensor, m: tl.tensor,
    EACH: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Add up parts in order, scale, and round to the outputs' type.

    Arguments, the first three addresses:
        parts_ptr: float32 [parts, rows, height].
        scales_ptr: float32 [1] or [m].
        y_ptr: [batch, m], written.
        parts: how many.
        rows: of inputs, as the parts have them.
        height: m, and padding.
        m: outputs.
        EACH: a scale an output.
        BLOCK: outputs of a program.
    """
    row = tl.program_id(0).to(tl.int64)  # a grid's other sides end at 65535
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < m
    total = tl.zeros([BLOCK], tl.float32)
    for part in range(parts):
        total += tl.load(parts_ptr + (part * rows + row) * height + place, inside, 0.0)
    if EACH:
        scale = tl.load(scales_ptr + place, inside, 0.0)
    else:
        scale = tl.load(scales_ptr)
    tl.store(y_ptr + row * m + place, (total * scale).to(y_ptr.dtype.element_ty), inside)


swap = triton.jit(_reversed)
four = triton.jit(_four)
eight = triton.jit(_eight)
side_by_side = triton.jit(_side_by_side)
finish = triton.jit(_finish)
