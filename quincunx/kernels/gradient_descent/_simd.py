"""The gradient of a logistic loss for many orbits at once, as vector instructions of LLVM.

Numba has no vectors of its own and fuses multiplications with additions only where it may also
reorder sums, which would undo the rounding trick below. So this writes vectors itself, ``WIDTH``
lanes of float64, which LLVM cuts to what the processor has.

The sigmoid ``s(t) = 1 / (1 + exp(-t))``: with ``-t = (n + f) log 2``, n whole, ``|f| <= 1/2``,

    2^f = (C + f) / (C - f),    C = f coth(f log 2 / 2),
    s(t) = (C - f) / ((C - f) + 2^n (C + f)),

so that one division serves the exponential and the sigmoid, and f is exact. C is an even
polynomial; its coefficients are those of FreeBSD's ``e_exp.c`` (Sun Microsystems, 1993), error
2^-59, times powers of log 2.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Wider vectors were 1.1 times as fast with AVX2, but half as fast on threads whose stack begins at
# an odd multiple of 16 bytes: what does not fit into registers then lies across cache lines.
WIDTH = 8  # lanes of one vector: a register of AVX-512, two of AVX2, four of SSE or Neon
GROUPS = 4  # vectors in work at once, so that the processor need not wait for a result
LANES = WIDTH * GROUPS

BOUND = 1021.0  # n + f beyond is taken for this: s(-707) = 8e-308, s(707) = 1
# Added to a number below 2^51 it rounds to whole n, and leaves n + 1023 in the lowest bits, which
# shifted to the exponent's place are 2^n.
MAGIC = 1.5 * 2**52 + 1023
LOG2 = math.log(2)
HALVINGS = -1 / LOG2  # n + f for t = 1, and what is left of it
HALVINGS_LOW = -2.0355273740931033e-17
COTH = tuple(
    coefficient * LOG2 ** (2 * power - 1)
    for power, coefficient in enumerate(
        (
            2.0,
            1.66666666666666019037e-01,
            -2.77777777770155933842e-03,
            6.61375632143793436117e-05,
            -1.65339022054652515390e-06,
            4.13813679705723846039e-08,
        )
    )
)

_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_BITS, _VECTOR = ir.VectorType(_I64, WIDTH), ir.VectorType(_F64, WIDTH)


@intrinsic(prefer_literal=True)
def advance(
    context: Any,
    w: Any,
    steps: Any,
    directions: Any,
    weighted: Any,
    pull: Any,
    hessian: Any,
    l2: Any,
    terms: Any,
    shape: Any,
) -> Any:
    """Take one step of gradient descent for ``LANES`` orbits.

    Arguments, the first six addresses of float64:
        w: [d, LANES], overwritten.
        steps: [LANES].
        directions: [terms, d], times ``HALVINGS``.
        weighted: [terms, d], directions times weights.
        pull: [d].
        hessian: [d (d + 1) / 2, LANES], written where it is asked for: the second derivatives at
            the point left, by rows of the lower triangle.
        l2: the L2 term.
        terms: how many directions there are.
        shape: (d, whether second derivatives are asked for), known when this is compiled.
    """
    d, bends = (part.literal_value for part in shape)
    address = types.uintp
    signature = types.void(*[address] * 6, types.float64, types.intp, shape)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Step(builder, arguments[:8], d, bool(bends)).write()
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def sigmoids(context: Any, values: Any, exact: Any) -> Any:
    """Replace the ``LANES`` float64 at an address by their sigmoids.

    Arguments, the first an address of float64:
        values: [LANES], overwritten.
        exact: known when this is compiled: whether ``n + f`` is as exact as needed for all digits
            of s(t), or rounded as in orbits, which is to change t by that much.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _Lanes(builder)
        for group in range(GROUPS):
            part = lanes.part(arguments[0], 0, group)
            t = lanes.load(part)
            x = builder.fmul(t, _number(HALVINGS))
            low = None
            if exact.literal_value:
                low = lanes.fma(t, _number(HALVINGS), builder.fneg(x))
                low = lanes.fma(t, _number(HALVINGS_LOW), low)
            up, whole, _ = lanes.fractions(x, low)
            lanes.store(builder.fdiv(up, whole), part)
        return context.get_dummy_value()

    return types.void(types.uintp, exact), generate


class _Lanes:
    """The writer of arithmetic on vectors."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def fractions(self, x: Any, low: Any = None) -> tuple[Any, Any, Any]:
        """Return a, a + b and the factors of b; ``s(t) = a / (a + b)``, ``s(-t) = b / (a + b)``.

        Arguments:
            x: ``n + f``.
            low: what is to be added to that.
        """
        builder, fma = self.builder, self.fma
        # In this order of operands NaN stays NaN, and each is one instruction.
        for compare, bound in (("<", _number(BOUND)), (">", _number(-BOUND))):
            outside = builder.fcmp_ordered(compare, bound, x)
            x = builder.select(outside, bound, x)
            low = None if low is None else builder.select(outside, _number(0.0), low)
        shifted = builder.fadd(x, _number(MAGIC))
        f = builder.fsub(x, builder.fsub(shifted, _number(MAGIC)))
        f = f if low is None else builder.fadd(f, low)
        square = builder.fmul(f, f)
        c = _number(COTH[-1])
        for coefficient in COTH[-2::-1]:
            c = fma(c, square, _number(coefficient))
        up, down = builder.fsub(c, f), builder.fadd(c, f)
        places = ir.Constant(_BITS, [52] * WIDTH)
        power = builder.shl(builder.bitcast(shifted, _BITS), places)
        power = builder.bitcast(power, _VECTOR)
        return up, fma(power, down, up), (power, down)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c``, rounded once."""
        module, name = self.builder.module, f"llvm.fma.v{WIDTH}f64"
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name=name
        )
        return self.builder.call(function, [a, b, c])

    def spread(self, number: Any) -> Any:
        """A vector of one number."""
        one = ir.Constant(ir.VectorType(_F64, 1), ir.Undefined)
        one = self.builder.insert_element(one, number, ir.Constant(_I32, 0))
        few = ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH)
        return self.builder.shuffle_vector(one, ir.Constant(one.type, ir.Undefined), few)

    def part(self, base: Any, row: int, group: int) -> Any:
        """The address of one group's lanes in one row of [rows, LANES]."""
        offset = ir.Constant(_I64, 8 * (row * LANES + group * WIDTH))
        at = self.builder.add(base, offset)
        return self.builder.inttoptr(at, ir.PointerType(_VECTOR))

    def load(self, at: Any) -> Any:
        loaded = self.builder.load(at, typ=_VECTOR)
        loaded.align = 8
        return loaded

    def store(self, value: Any, at: Any) -> None:
        self.builder.store(value, at).align = 8

    def entry(self, base: Any, row: Any, width: int, column: int) -> Any:
        """A vector of the number at [row, column] of a table of so many columns."""
        offset = self.builder.mul(row, ir.Constant(_I64, 8 * width))
        offset = self.builder.add(offset, ir.Constant(_I64, 8 * column))
        at = self.builder.inttoptr(self.builder.add(base, offset), ir.PointerType(_F64))
        return self.spread(self.builder.load(at, typ=_F64))


class _Step:
    """The writer of one step's instructions."""

    def __init__(self, builder: Any, arguments: Any, d: int, bends: bool) -> None:
        self.builder, self.d, self.bends = builder, d, bends
        (self.w, self.steps, self.directions, self.weighted, self.pull, self.hessian) = arguments[
            :6
        ]
        self.lanes = _Lanes(builder)
        self.l2, self.terms = self.lanes.spread(arguments[6]), arguments[7]

    def write(self) -> None:
        """Write everything."""
        lanes, d = self.lanes, self.d
        zero = ir.Constant(_I64, 0)
        w = [[lanes.load(lanes.part(self.w, j, g)) for j in range(d)] for g in range(GROUPS)]
        pull = [lanes.entry(self.pull, zero, d, j) for j in range(d)]
        # Sums live in registers, where there are enough.
        rows = d + (d * (d + 1) // 2 if self.bends else 0)
        sums = [[self.builder.alloca(_VECTOR) for _ in range(rows)] for _ in range(GROUPS)]
        for group in range(GROUPS):
            for j in range(d):
                start = lanes.fma(self.l2, w[group][j], self.builder.fneg(pull[j]))
                self.builder.store(start, sums[group][j])
            for i, j, place in self.triangle():
                self.builder.store(self.l2 if i == j else _number(0.0), sums[group][place])
        with cgutils.for_range(self.builder, self.terms) as loop:
            for group in range(GROUPS):
                self.term(loop.index, w[group], sums[group])
        for group in range(GROUPS):
            size = self.builder.fneg(lanes.load(lanes.part(self.steps, 0, group)))
            for j in range(d):
                moved = lanes.fma(size, self.builder.load(sums[group][j]), w[group][j])
                lanes.store(moved, lanes.part(self.w, j, group))
            for _, _, place in self.triangle():
                bend = self.builder.load(sums[group][place])
                lanes.store(bend, lanes.part(self.hessian, place - d, group))

    def triangle(self) -> list[tuple[int, int, int]]:
        """Rows, columns and places of second derivatives among the sums."""
        pairs = [(i, j) for i in range(self.d) for j in range(i + 1)] if self.bends else []
        return [(i, j, self.d + k) for k, (i, j) in enumerate(pairs)]

    def term(self, k: Any, w: list[Any], sums: list[Any]) -> None:
        """Add the term of direction k, for one group."""
        lanes, builder, d = self.lanes, self.builder, self.d
        z = [lanes.entry(self.directions, k, d, j) for j in range(d)]
        c = [lanes.entry(self.weighted, k, d, j) for j in range(d)]
        x = builder.fmul(z[0], w[0])
        for j in range(1, d):
            x = lanes.fma(z[j], w[j], x)
        up, whole, (power, down) = lanes.fractions(x)
        rise = builder.fdiv(up, whole)
        for j in range(d):
            builder.store(lanes.fma(c[j], rise, builder.load(sums[j])), sums[j])
        if not self.bends:
            return
        slope = builder.fmul(rise, builder.fdiv(builder.fmul(power, down), whole))
        slope = builder.fmul(slope, _number(1 / HALVINGS))  # for directions without that factor
        for i, j, place in self.triangle():
            both = builder.fmul(c[i], z[j])
            builder.store(lanes.fma(both, slope, builder.load(sums[place])), sums[place])


def _number(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * WIDTH)
