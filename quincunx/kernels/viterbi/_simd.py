"""One step of the search for 32 nodes at once, as vector instructions of LLVM.

Numba widens small integers to 64 bits, so that loops over them stay scalar; this writes the
vectors themselves, 32 lanes of 16 bits, which LLVM cuts to what the processor has: a register of
AVX-512, two of AVX2, four of SSE or Neon. The order of work and the numbers are those of
:func:`quincunx.kernels.viterbi.reference.shortest_in_16_bits`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_NARROW, _WIDE = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)


@intrinsic(prefer_literal=True)
def advance(
    context: Any,
    before: Any,
    table: Any,
    after: Any,
    back: Any,
    least: Any,
    x: Any,
    less: Any,
    block: Any,
    shape: Any,
) -> Any:
    """Cost and best way to nodes ``32 block`` to ``32 block + 31``.

    Arguments, the first six addresses:
        before: uint16 [2^(L - b)], costs of the nodes a step ago.
        table: int16 [V, 2^L].
        after: uint16 [2^(L - b)], written: the costs now.
        back: uint32 [2^(L - b) / 32, b], written: bit j of word i is
            bit i of the best state's first b.
        least: uint16 [32], lowered to the costs in each lane.
        x: int16 [V].
        less: uint16, taken off all costs.
        block: which nodes.
        shape: (L, b, V, doublings), known when this is compiled.
    """
    numbers = tuple(part.literal_value for part in shape)
    address = types.uintp
    signature = types.void(*[address] * 6, types.uint16, types.intp, shape)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Step(builder, arguments[:8], numbers).write()
        return context.get_dummy_value()

    return signature, generate


class _Step:
    """The writer of one step's instructions."""

    def __init__(self, builder: Any, arguments: Any, shape: tuple[int, int, int, int]) -> None:
        self.builder = builder
        self.before, self.table, self.after, self.back, self.least, x, self.less, self.block = (
            arguments
        )
        self.length, self.shift, self.width, self.doublings = shape
        self.x = [self._splat(self._load(x, _number(2 * v), _I16)) for v in range(self.width)]
        self.here = builder.mul(self.block, _number(2 * LANES))

    def write(self) -> None:
        """Write everything."""
        cost, bits = self._best(0, 1 << self.shift)
        for place, bit in enumerate(bits):
            word = self.builder.mul(self.block, _number(4 * self.shift))
            self._store(
                self.builder.bitcast(bit, _I32),
                self.back,
                self.builder.add(word, _number(4 * place)),
            )
        cost = self._call("usub.sat", cost, self._splat(self.less))
        self._store(cost, self.after, self.here)
        least = self._load(self.least, _number(0), _NARROW)
        self._store(self._call("umin", least, cost), self.least, _number(0))

    def _best(self, first: int, count: int) -> tuple[Any, list[Any]]:
        """The least cost over some of the 2^b ways into each node, and which, as bits."""
        if count == 1:
            return self._way(first), []
        half = count // 2
        left, left_bits = self._best(first, half)
        right, right_bits = self._best(first + half, half)
        taken = self.builder.icmp_unsigned("<", right, left)  # equal: the lower
        pairs = zip(left_bits, right_bits, strict=True)
        bits = [self.builder.select(taken, right, left) for left, right in pairs]
        return self._call("umin", left, right), [*bits, taken]

    def _way(self, way: int) -> Any:
        """The costs through states ``way 2^(L - b)`` and up."""
        cost = None
        for v in range(self.width):
            states = (v << self.length) + (way << (self.length - self.shift))
            offset = self.builder.add(self.here, _number(2 * states))
            gap = self._call("ssub.sat", self._load(self.table, offset, _NARROW), self.x[v])
            for _ in range(self.doublings):
                gap = self._call("sadd.sat", gap, gap)
            square = self._high_half_of_square(gap)
            cost = square if cost is None else self._call("uadd.sat", cost, square)
        return self._call("uadd.sat", cost, self._nodes_before(way))

    def _high_half_of_square(self, gap: Any) -> Any:
        """``gap^2 >> 16``; LLVM knows the pattern as one instruction."""
        wide = self.builder.sext(gap, _WIDE)
        high = self.builder.ashr(self.builder.mul(wide, wide), ir.Constant(_WIDE, [16] * LANES))
        return self.builder.trunc(high, _NARROW)

    def _nodes_before(self, way: int) -> Any:
        """Costs of the nodes that 32 states come from, each for 2^b neighbours."""
        spread = LANES >> self.shift
        first = self.builder.lshr(self.block, _number(max(self.shift - 5, 0)))
        offset = self.builder.mul(first, _number(2 * max(spread, 1)))
        offset = self.builder.add(offset, _number(2 * (way << (self.length - 2 * self.shift))))
        if spread <= 1:
            return self._splat(self._load(self.before, offset, _I16))
        kind = ir.VectorType(_I16, spread)
        few = self._load(self.before, offset, kind)
        lanes = ir.Constant(_WIDE, [lane >> self.shift for lane in range(LANES)])
        return self.builder.shuffle_vector(few, ir.Constant(kind, ir.Undefined), lanes)

    def _call(self, name: str, left: Any, right: Any) -> Any:
        """Call one of LLVM's functions of two vectors."""
        module, full = self.builder.module, f"llvm.{name}.v{LANES}i16"
        function = module.globals.get(full) or ir.Function(
            module, ir.FunctionType(_NARROW, [_NARROW, _NARROW]), name=full
        )
        return self.builder.call(function, [left, right])

    def _splat(self, number: Any) -> Any:
        """A vector of one number."""
        one = ir.Constant(ir.VectorType(_I16, 1), ir.Undefined)
        one = self.builder.insert_element(one, number, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(one, one, ir.Constant(_WIDE, [0] * LANES))

    def _load(self, base: Any, offset: Any, kind: Any) -> Any:
        at = self.builder.inttoptr(self.builder.add(base, offset), ir.PointerType(kind))
        loaded = self.builder.load(at, typ=kind)
        loaded.align = 2
        return loaded

    def _store(self, value: Any, base: Any, offset: Any) -> None:
        at = self.builder.inttoptr(self.builder.add(base, offset), ir.PointerType(value.type))
        self.builder.store(value, at).align = 2


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)
