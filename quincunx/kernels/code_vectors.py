"""Products of a few vectors with codes, as vector instructions of LLVM.

Eight weights of a row are decoded at once, into eight lanes, and go from there into fused
multiplications and additions; they are never in memory. Numba has no vectors and LLVM finds none in
loops over bits, so this writes them. LLVM cuts them to what the processor has; where it has AVX2,
two of its instructions are asked for by name, with the same results.

Eight weights of b bits each are b bytes, so that each eight begin at a byte. Their fields are taken
from 16 bytes by one shuffle, which brings three bytes into each lane, and one shift by lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
SPARE = 32  # bytes that may be read behind the codes

GRID, TRELLIS, HYB, E8P = range(4)
TABLE, ONE_MAD, TWO_MAD, THREE_INST, MCG, MUL1 = range(6)  # what a state stands for

BYTES_SCALE = 147.800537109375  # 1MAD and 2MAD: (sum - 510) / this
MUL1_FACTOR, MUL1_OFFSET = 0.00676727294921875, -10.3828125  # 0x1EEE and 0xC931 as halves

_I8, _I32, _I64, _F32, _F64 = (
    ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType(),
)  # fmt: skip
_WORDS, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)
_SHORTS, _BYTES = ir.VectorType(ir.IntType(16), 2 * LANES), ir.VectorType(_I8, 4 * LANES)


@intrinsic(prefer_literal=True)
def span(
    context: Any,
    codes: Any,
    x: Any,
    stride: Any,
    sums: Any,
    tables: Any,
    count: Any,
    form: Any,
    block: Any,
) -> Any:
    """Add the products of some rows' next ``count`` steps.

    Arguments, the first two, ``sums`` and ``tables`` addresses:
        codes: uint8, of the first row's first step.
        x: float32 [vectors, ...], the numbers that the first step meets.
        stride: bytes from one vector to the next.
        sums: float32 [rows, max(vectors, 1), 8], added to.
        tables: float32, what the form wants.
        count: how many steps.
        form: (kind, which, b2, next) known when this is compiled: a kind of code, which of them,
            twice the bits a weight, and bytes from one step's codes to the next.
        block: (rows, vectors, parts, apart) known when this is compiled: rows that are worked on,
            vectors, eights of a row in a step, and bytes from one row's codes to the next. With no
            vector the weights themselves are added, to see what decoding alone costs.
    """
    shape = [part.literal_value for part in form], [part.literal_value for part in block]
    address = types.uintp
    signature = types.void(address, address, types.intp, address, address, types.intp, form, block)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = "+avx2" in str(context.codegen().magic_tuple()[2])
        _Span(builder, arguments[:6], *shape, avx2=wide).write()
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def copy(context: Any, target: Any, source: Any, size: Any) -> Any:
    """Copy ``size`` bytes, known when this is compiled, from one address to another."""
    count = size.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, come = (builder.inttoptr(at, ir.PointerType(_I8)) for at in arguments[:2])
        move: Any = cgutils.raw_memcpy
        move(builder, to, come, ir.Constant(_I64, count), 1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, size), generate


class _Lanes:
    """The writer of arithmetic on eight lanes."""

    def __init__(self, builder: Any, avx2: bool) -> None:
        self.builder, self.avx2 = builder, avx2

    def at(self, base: Any, offset: int) -> Any:
        return self.builder.add(base, ir.Constant(_I64, offset)) if offset else base

    def load(self, at: Any, kind: Any = _FLOATS, align: int = 4) -> Any:
        loaded = self.builder.load(self.builder.inttoptr(at, ir.PointerType(kind)), typ=kind)
        loaded.align = align
        return loaded

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c``, rounded once where the processor can."""
        return self.call(f"llvm.fmuladd.v{LANES}f32", _FLOATS, [a, b, c])

    def call(self, name: str, kind: Any, values: Sequence[Any]) -> Any:
        """Call one of LLVM's functions."""
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(kind, [value.type for value in values]), name=name
        )
        return self.builder.call(function, values)

    def spread(self, number: Any) -> Any:
        """Eight times one number."""
        vector = ir.Constant(ir.VectorType(number.type, 1), ir.Undefined)
        vector = self.builder.insert_element(vector, number, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(vector, vector, _words(0))

    def fields(self, at: Any, firsts: Sequence[int], bits: int) -> Any:
        """Eight fields of up to 16 bits of a stream whose bytes begin at an address.

        Arguments:
            at: the address.
            firsts: ascending, each field's first bit.
            bits: of a field.
        """
        builder, start = self.builder, firsts[0] // 8
        raw = self.load(self.at(at, start), ir.VectorType(_I8, 16), 1)
        order: list[int] = []
        whole = bits == 8 * (bits // 8) and all(first % 8 == 0 for first in firsts)
        for first in firsts:
            byte = first // 8 - start
            near = [byte + k for k in range(bits // 8 if whole else 3)][::-1]
            near = [k if k < 16 else 16 for k in near]  # beyond all fields
            order += [*near, *[16] * (4 - len(near))]
        zeros = ir.Constant(raw.type, [0] * 16)
        taken = builder.shuffle_vector(raw, zeros, ir.Constant(ir.VectorType(_I32, 32), order))
        words = builder.bitcast(taken, _WORDS)
        if whole:
            return words
        places = ir.Constant(_WORDS, [24 - first % 8 - bits for first in firsts])
        return builder.and_(builder.lshr(words, places), _words((1 << bits) - 1))

    def byte_sums(self, words: Any) -> Any:
        """The sum of each lane's four bytes."""
        builder = self.builder
        if self.avx2:
            ones = ir.Constant(_BYTES, [1] * 4 * LANES)
            pairs = [builder.bitcast(words, _BYTES), ones]
            found = self.call("llvm.x86.avx2.pmadd.ub.sw", _SHORTS, pairs)
            ones = ir.Constant(_SHORTS, [1] * 2 * LANES)
            return self.call("llvm.x86.avx2.pmadd.wd", _WORDS, [found, ones])
        low = builder.and_(words, _words(0x00FF00FF))
        high = builder.and_(builder.lshr(words, _words(8)), _words(0x00FF00FF))
        both = builder.add(low, high)
        return builder.and_(builder.add(both, builder.lshr(both, _words(16))), _words(0xFFFF))

    def half_rounded(self, values: Any) -> Any:
        """Round to half precision: right for the sums of all codes, ties included."""
        large = self.builder.fmul(values, _numbers(8193.0))
        return self.fma(values, _numbers(-8192.0), large)

    def half(self, words: Any) -> Any:
        """3INST's upper halves: sign, two bits of the exponent and the fraction are taken."""
        moved = self.builder.ashr(words, _words(3))
        bits = self.builder.and_(moved, _words(0x81FFE000))
        # 0x3B60 turns over the same bits of a half; the exponent's bias becomes float32's.
        return self.builder.bitcast(self.builder.xor(bits, _words(0x3F6C0000)), _FLOATS)


class _Span:
    """The writer of one loop over steps."""

    def __init__(
        self, builder: Any, arguments: Any, form: list[int], block: list[int], *, avx2: bool
    ) -> None:
        self.builder, self.lanes = builder, _Lanes(builder, avx2)
        self.codes, self.x, self.stride, self.sums, self.tables, self.count = arguments
        self.kind, self.which, self.twice, self.next = form
        self.rows, self.vectors, self.parts, self.apart = block

    def write(self) -> None:
        """Write everything."""
        builder, lanes = self.builder, self.lanes
        wide = max(self.vectors, 1)
        places = [lanes.at(self.sums, 4 * LANES * k) for k in range(self.rows * wide)]
        make: Any = cgutils.alloca_once
        kept = [make(builder, _FLOATS) for _ in places]
        for place, here in zip(places, kept, strict=True):
            builder.store(lanes.load(place), here)
        with cgutils.for_range(builder, self.count, intp=_I64) as loop:
            codes = builder.add(self.codes, builder.mul(loop.index, ir.Constant(_I64, self.next)))
            step = ir.Constant(_I64, 4 * LANES * self.parts)
            x = builder.add(self.x, builder.mul(loop.index, step))
            vectors = [
                builder.add(x, builder.mul(self.stride, ir.Constant(_I64, v)))
                for v in range(self.vectors)
            ]
            for k, weights in enumerate(self.eights(codes)):
                row, part = divmod(k, self.parts)
                self.add(weights, vectors, part, kept[row * wide : (row + 1) * wide])
        for place, here in zip(places, kept, strict=True):
            pointer = builder.inttoptr(place, ir.PointerType(_FLOATS))
            builder.store(builder.load(here), pointer).align = 4

    def add(self, weights: Any, vectors: list[Any], part: int, sums: list[Any]) -> None:
        """Add eight weights' products with each vector."""
        builder, lanes = self.builder, self.lanes
        if not vectors:
            builder.store(builder.fadd(builder.load(sums[0]), weights), sums[0])
        for vector, here in zip(vectors, sums, strict=False):
            x = lanes.load(lanes.at(vector, 4 * LANES * part))
            builder.store(lanes.fma(weights, x, builder.load(here)), here)

    def eights(self, codes: Any) -> Any:
        """Generate the weights of a step: row after row, the parts of each from the left."""
        for row in range(self.rows):
            for part in range(self.parts):
                if self.kind != HYB:
                    here = row * self.apart + part * self.twice // 2
                    yield self.decoded(self.lanes.at(codes, here))
                elif (row * self.parts + part) % 2 == 0:  # eight states are two eights
                    here = (row * self.parts + part) // 2 * self.twice
                    yield from self.pairs(self.lanes.at(codes, here))

    def decoded(self, at: Any) -> Any:
        """The eight weights whose codes begin at an address."""
        if self.kind == E8P:
            return self.lattice(at)
        bits, lanes = self.twice // 2, self.lanes
        if self.kind == TRELLIS:
            # Codes lie two bytes after the address: the first state has bits of those before.
            states = lanes.fields(at, [(j + 1) * bits for j in range(LANES)], 16)
            return self.hashed(states)
        firsts = [j * bits for j in range(LANES)]
        numbers = self.builder.sitofp(lanes.fields(at, firsts, bits), _FLOATS)
        return self.builder.fsub(numbers, _numbers(((1 << bits) - 1) / 2))

    def hashed(self, states: Any) -> Any:
        """What states stand for; of 1MAD and 2MAD without the factor."""
        builder, lanes = self.builder, self.lanes
        if self.which == TABLE:
            return self.gathered(states)
        multiplier, more = {
            ONE_MAD: (34038481, 76625530),
            TWO_MAD: (264435761, 1013904223),
            THREE_INST: (89226354, 64248484),
            MCG: (0xCBAC1FED, 0),
            MUL1: (0x83DCD12D, 0),
        }[self.which]
        words = builder.mul(states, _words(multiplier))
        words = builder.add(words, _words(more)) if more else words
        if self.which in (THREE_INST, MCG):
            low, high = lanes.half(builder.shl(words, _words(16))), lanes.half(words)
            return lanes.half_rounded(builder.fadd(high, low))
        if self.which == TWO_MAD:
            wide = ir.VectorType(_I64, LANES)
            product = builder.mul(builder.zext(words, wide), ir.Constant(wide, [1664525] * LANES))
            high = builder.trunc(builder.lshr(product, ir.Constant(wide, [32] * LANES)), _WORDS)
            words = builder.add(words, high)
        sums = lanes.byte_sums(words)
        if self.which == MUL1:  # 1024 in the offset; exact before it is rounded
            offset = 1024 * MUL1_FACTOR + MUL1_OFFSET
            numbers = builder.sitofp(sums, _FLOATS)
            exact = lanes.fma(numbers, _numbers(MUL1_FACTOR), _numbers(offset))
            return lanes.half_rounded(exact)
        return builder.sitofp(builder.sub(sums, _words(510)), _FLOATS)

    def gathered(self, states: Any) -> Any:
        """Numbers of a table [2^16]."""
        builder, found = self.builder, ir.Constant(_FLOATS, ir.Undefined)
        for lane in range(LANES):
            state = builder.extract_element(states, ir.Constant(_I32, lane))
            offset = builder.shl(builder.zext(state, _I64), ir.Constant(_I64, 2))
            number = self.lanes.load(builder.add(self.tables, offset), _F32)
            found = builder.insert_element(found, number, ir.Constant(_I32, lane))
        return found

    def pairs(self, at: Any) -> Any:
        """Two times four of HYB's pairs, from a table of 1024 with the sign as highest bit."""
        builder, lanes, shift = self.builder, self.lanes, self.twice
        states = lanes.fields(at, [(j + 1) * shift for j in range(LANES)], 16)
        mixed = builder.mul(states, builder.add(states, _words(1)))
        # times 8 bytes
        offsets = builder.and_(builder.lshr(mixed, _words(3)), _words(1023 << 3))
        for half in range(2):
            four = ir.Constant(ir.VectorType(_F64, 4), ir.Undefined)
            for lane in range(4):
                offset = builder.extract_element(offsets, ir.Constant(_I32, 4 * half + lane))
                pair = builder.add(self.tables, builder.zext(offset, _I64))
                four = builder.insert_element(four, lanes.load(pair, _F64), ir.Constant(_I32, lane))
            yield builder.bitcast(four, _FLOATS)

    def lattice(self, at: Any) -> Any:
        """A point of E8P, and one of the second stage at 3 and 4 bits.

        The tables, float32: rows [256, 8]; signs [256, 8]; moves [256]; then of the second stage
        points [256, 8], or rows and moves times the second scale.
        """
        rows, signs, moves, second, second_moves = (
            self.lanes.at(self.tables, 4 * start) for start in (0, 2048, 4096, 4352, 6400)
        )
        found = self.point(at, rows, signs, moves)
        if self.which == 3:
            byte = self.byte(self.lanes.at(at, 2))
            return self.builder.fadd(found, self.entry(second, byte))
        if self.which == 4:
            finer = self.point(self.lanes.at(at, 2), second, signs, second_moves)
            return self.builder.fadd(found, finer)
        return found

    def point(self, at: Any, rows: Any, signs: Any, moves: Any) -> Any:
        """Row times signs plus move; the row's byte is the first."""
        row, sign = self.byte(at), self.byte(self.lanes.at(at, 1))
        place = self.builder.shl(sign, ir.Constant(_I64, 2))
        move = self.lanes.load(self.builder.add(moves, place), _F32)
        return self.lanes.fma(
            self.entry(rows, row), self.entry(signs, sign), self.lanes.spread(move)
        )

    def byte(self, at: Any) -> Any:
        return self.builder.zext(self.lanes.load(at, _I8, 1), _I64)

    def entry(self, table: Any, index: Any) -> Any:
        """Eight numbers of a table [256, 8]."""
        return self.lanes.load(
            self.builder.add(table, self.builder.shl(index, ir.Constant(_I64, 5)))
        )


def _words(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * LANES)


def _numbers(value: float) -> Any:
    return ir.Constant(_FLOATS, [value] * LANES)
