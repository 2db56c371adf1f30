"""A linear layer whose weights are codes: what stands where ``torch.nn.Linear`` stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from quincunx._errors import ModelError
from quincunx.kernels.gpu_parts import Blocks, bucket
from quincunx.kernels.packing import pack_rows, row_size, unpack_rows
from quincunx.kernels.select import launches
from quincunx.nn.coded_product import coded_product
from quincunx.solvers.linalg import KroneckerOrthogonal, RandomHadamard
from quincunx.solvers.linalg.orthogonal import Orthogonal, kronecker_sizes, permutations
from quincunx.solvers.rounding import E8P, Grid, Trellis, decode

if TYPE_CHECKING:
    from quincunx.nn.fused import Group

__all__ = ["Coding", "QuantizedLinear", "decoded", "dense_linear"]

Name = Literal["grid", "e8p", "trellis"]
Transform = Literal["none", "hadamard", "kronecker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a layer's weights are written: all that is no tensor. To and from JSON by its fields.

    Attributes:
        codebook: "grid" (half-integers), "e8p" or "trellis".
        bits: a weight.
        transform: of inputs and outputs: "none", "hadamard" or "kronecker".
        input_seed: of the transform of the inputs; layers with the same inputs have the same.
        output_seed: of the transform of the outputs.
        channel_scale: whether inputs are divided by a number each.
        tuned: whether signs of the transforms were trained, and are stored.
        code: of the trellis.
        tile: of the trellis.
    """

    codebook: Name
    bits: float
    transform: Transform = "none"
    input_seed: int = 0
    output_seed: int = 1
    channel_scale: bool = False
    tuned: bool = False
    code: str = "mul1"
    tile: tuple[int, int] = (32, 8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", tuple(self.tile))
        if self.transform not in ("none", "hadamard", "kronecker"):
            raise ModelError(
                f"transform is {self.transform!r}; use 'none', 'hadamard' or 'kronecker'"
            )
        if self.tuned and self.transform != "hadamard":
            raise ModelError("only the signs of Hadamard transforms are tuned")
        _ = self.points()

    def points(self, scale: Any = None) -> Any:
        """Return the codebook, with a scale.

        Raises:
            ModelError: there is no such codebook.
        """
        if self.codebook == "grid":
            if self.bits != int(self.bits):
                raise ModelError(f"bits is {self.bits}; grids have whole bits")
            return Grid(int(self.bits), scale=scale)
        if self.codebook == "e8p":
            return E8P(self.bits, scale=scale)  # type: ignore[arg-type]
        if self.codebook == "trellis":
            return Trellis(self.bits, code=self.code, tile=self.tile, scale=scale)
        raise ModelError(f"codebook is {self.codebook!r}; use 'grid', 'e8p' or 'trellis'")

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of a tile's codes, as they are stored."""
        if self.codebook == "grid":
            return (int(self.bits),)
        if self.codebook == "e8p":
            return {2: (16,), 3: (16, 8), 4: (16, 16)}[int(self.bits)]
        return (8,) * int(32 * self.bits)

    def tiles(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return how many tiles cover weights [m, n]."""
        rows, columns = self.points().tile
        return -(-shape[0] // rows), -(-shape[1] // columns)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are not as by default."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in plain.items() if k in ("codebook", "bits") or v != _DEFAULT[k]}


_DEFAULT = {
    k: list(v) if isinstance(v, tuple) else v
    for k, v in asdict(Coding(codebook="grid", bits=2)).items()
}


@lru_cache(maxsize=1024)
def _hadamard(n: int, seed: int) -> RandomHadamard:
    """Return a transform, which layers ask for with every token."""
    return RandomHadamard(n, seed)


class QuantizedLinear(torch.nn.Module):
    """``y = W x + b`` with ``W = U' W~ V diag(1/d)``, where W~ is made of codes in every call.

    Gradients flow to inputs, and to what can be trained (signs, scales, bias), not to codes.

    Attributes:
        in_features: n.
        out_features: m.
        coding: how the weights are written.
        qweight: uint8 parameter [rows of tiles, bytes], the codes
            (:func:`quincunx.kernels.packing.pack_rows`).
        blocks: how a GPU's work is cut up, by rows of codes, rows of inputs and their type; the
            first of layers that are multiplied at once has those of all. Empty: by the shape.
        scales: float32 buffer [1] or [m], what the codebook's points are multiplied with.
        bias: [m], or None.
    """

    qweight: torch.nn.Parameter
    scales: torch.Tensor
    _group: Group | None = None  # of layers with the same inputs: quincunx.nn.fused

    def __init__(
        self, in_features: int, out_features: int, coding: Coding, *, bias: bool, scales: int = 1
    ) -> None:
        """Make a layer without content: zeros, to be filled from a file or a rounding.

        Arguments:
            in_features: n.
            out_features: m.
            coding: how the weights are written.
            bias: whether there is one; in torch's default type.
            scales: how many: 1, or m.
        """
        super().__init__()
        self.in_features, self.out_features, self.coding = in_features, out_features, coding
        rows, columns = coding.tiles((out_features, in_features))
        packed = torch.zeros(rows, row_size(columns, coding.widths), dtype=torch.uint8)
        self.qweight = torch.nn.Parameter(packed, requires_grad=False)
        self.register_buffer("scales", torch.ones(scales, dtype=torch.float32))
        if coding.channel_scale:
            self.register_buffer("channel_scale", torch.ones(in_features, dtype=torch.float32))
        for side, size in (("input", in_features), ("output", out_features)):
            if coding.tuned:
                self.register_buffer(f"{side}_signs", torch.ones(size, dtype=torch.float16))
            if coding.transform == "kronecker":
                for name, length in zip(("left", "right"), kronecker_sizes(size), strict=True):
                    factor = torch.zeros(length, length, dtype=torch.float32)
                    self.register_buffer(f"{side}_{name}", factor)
        self.bias = torch.nn.Parameter(torch.zeros(out_features)) if bias else None
        self._orders: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._held: _Held | None = None
        self.blocks: dict[tuple[int, int, torch.dtype], Blocks] = {}

    @classmethod
    def of(
        cls,
        coding: Coding,
        codes: torch.Tensor,
        scales: torch.Tensor,
        shape: tuple[int, int],
        *,
        bias: torch.Tensor | None = None,
        **more: torch.Tensor,
    ) -> QuantizedLinear:
        """Make a layer of what a rounding returned.

        Arguments:
            coding: how the weights are written.
            codes: [rows of tiles, columns of tiles] or [.., .., k].
            scales: [1] or [m].
            shape: (m, n).
            bias: [m], or None.
            more: other buffers: channel_scale, input_left, ...
        """
        layer = cls(shape[1], shape[0], coding, bias=bias is not None, scales=scales.numel())
        codes = codes if codes.ndim == 3 else codes[:, :, None]
        layer.qweight.data = pack_rows(codes, coding.widths)
        layer.scales = scales.reshape(-1).to(torch.float32)
        for name, value in more.items():
            getattr(layer, name).copy_(value)
        if bias is not None:
            layer.bias = torch.nn.Parameter(bias.detach().clone())
        return layer.to(codes.device)

    def transform(self, side: Literal["input", "output"]) -> Orthogonal | None:
        """Return V (input) or U (output); None: the identity."""
        n = self.in_features if side == "input" else self.out_features
        seed = self.coding.input_seed if side == "input" else self.coding.output_seed
        if self.coding.transform == "hadamard":
            tuned = getattr(self, f"{side}_signs", None)
            return _hadamard(n, seed) if tuned is None else RandomHadamard(n, seed, tuned)
        if self.coding.transform == "none":
            return None
        left, right = getattr(self, f"{side}_left"), getattr(self, f"{side}_right")
        orders = self._orders.get(side)
        if orders is None or orders[0].device != left.device:
            first, second = (torch.from_numpy(p).to(left.device) for p in permutations(n, seed))
            orders = self._orders[side] = first, second
        return KroneckerOrthogonal(left, right, *orders)

    def points(self) -> torch.Tensor:
        """Decode W~ without its scales, float32 [m, n]."""
        shape = (self.out_features, self.in_features)
        codes = unpack_rows(self.qweight.data, self.coding.tiles(shape)[1], self.coding.widths)
        return decode(self.coding.points(1.0), codes, shape).to(torch.float32)

    def dequantize(self) -> torch.Tensor:
        """Return W, float32 [m, n]."""
        return self._folded(signs=False, scales=False)

    @torch.no_grad()
    def _folded(self, *, signs: bool, scales: bool) -> torch.Tensor:
        """Return W, float32 [m, n], without its signs or without its scales if these are trained.

        Signs are the outermost factors and come off without more. So does a single scale; scales of
        rows lie below U', which then is left out as well.
        """
        values = self.points()
        if not scales:
            values = values * self.scales[:, None]
        right, left = self.transform("input"), self.transform("output")
        if signs:
            right = RandomHadamard(self.in_features, 0, torch.ones_like(self.input_signs))
            left = RandomHadamard(self.out_features, 0, torch.ones_like(self.output_signs))
        if right is not None:
            values = right.undo(values)
        if left is not None and not (scales and len(self.scales) > 1):
            values = left.undo(values.T).T
        if self.coding.channel_scale:
            values = values / self.channel_scale
        return values.contiguous()

    def _hold(self) -> _Held:
        """Multiply what is not trained."""
        signs = self.coding.tuned and (
            self.input_signs.requires_grad or self.output_signs.requires_grad
        )
        scales = self.scales.requires_grad
        return _Held(self._folded(signs=signs, scales=scales), signs, scales)

    # torch.compile takes what is around the layer; the codes' loops are no graph of tensors.
    @torch.compiler.disable
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs [..., m] of inputs [..., n], in their type.

        Under ``torch.autocast`` the layer keeps to float32 within: transforms of 16 bits would
        lose what the codes have.
        """
        if not torch.is_autocast_enabled(x.device.type):
            return self._product(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._product(x)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if self._held is not None:
            y = self._held_product(x, self._held)
        else:
            y = self._coded_product(x)
            left = self.transform("output")
            if isinstance(left, RandomHadamard):
                return left.undo(y, factor=self.scales, bias=self.bias, dtype=x.dtype)
            y = y * self.scales
            y = y if left is None else left.undo(y)
        if self.bias is not None:
            y = y + self.bias.to(torch.float32)
        return y.to(x.dtype)

    def _turned(self, x: torch.Tensor) -> torch.Tensor:
        """Return inputs as the codes take them, [..., n]: float32, or on a GPU in their type."""
        dtype = x.dtype if x.dtype.itemsize == 2 and launches(x) else torch.float32
        right = self.transform("input")
        divisor = self.channel_scale if self.coding.channel_scale else None
        if isinstance(right, RandomHadamard):
            return right.apply(x, divisor=divisor, dtype=dtype)
        y = x.to(torch.float32)
        y = y if divisor is None else y / divisor
        return (y if right is None else right.apply(y)).to(dtype)

    def _coded_product(self, x: torch.Tensor) -> torch.Tensor:
        """Return the products with W~ without scales, float32 [..., m]."""
        shared = None if self._group is None else self._group.share(self, x)
        y, found = (self._turned(x), None) if shared is None else shared
        if y is None:
            return found
        if y.requires_grad and torch.is_grad_enabled():
            return _Product.apply(y, self)
        return self._multiplied(y)

    def _multiplied(self, x: torch.Tensor) -> torch.Tensor:
        """Return the products of transformed inputs with W~ without scales, without gradients."""
        shape = self.out_features, self.in_features
        rows = x.numel() // self.in_features
        blocks = self.blocks.get((shape[0], bucket(rows), x.dtype)) if self.blocks else None
        found = coded_product(x, self.qweight.data, self.coding, shape, blocks)
        return x.to(torch.float32) @ self.points().T if found is None else found

    def _held_product(self, x: torch.Tensor, held: _Held) -> torch.Tensor:
        """Multiply by what is held, and by what is trained: the latter number by number."""
        y = x.to(torch.float32)
        if held.signs:
            y = y * self.input_signs.to(torch.float32)
        y = torch.nn.functional.linear(y, held.matrix)
        left = self.transform("output") if held.scales and len(self.scales) > 1 else None
        if left is not None:
            return left.undo(y * self.scales)
        after = self.scales if held.scales else None
        if held.signs:
            signs = self.output_signs.to(torch.float32)
            after = signs if after is None else signs * after
        return y if after is None else y * after

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Move, but keep the types of what the weights are made of."""
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            after = self._buffers[name]
            if after is not None and after.dtype != before.dtype:
                self._buffers[name] = before.to(after.device)
        return self

    def extra_repr(self) -> str:
        """Show sizes and coding."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, {self.coding.codebook}, {self.coding.bits:g} bits, "
            f"{self.coding.transform}"
        )


@contextmanager
def decoded(module: torch.nn.Module) -> Iterator[None]:
    """Keep the weights of all layers within a module while many inputs pass through it.

    A layer becomes one product with a matrix: transforms go into it once, instead of over all
    inputs. What requires gradients on entry, signs or scales, is multiplied anew in every call and
    may change meanwhile; all else may not.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, QuantizedLinear)]
    for layer in layers:
        layer._held = layer._hold()
    try:
        yield
    finally:
        for layer in layers:
            layer._held = None


class _Held(NamedTuple):
    """What :func:`decoded` keeps of a layer.

    Attributes:
        matrix: float32 [m, n], the product of all factors of W that are not trained.
        signs: whether both transforms' signs are trained.
        scales: whether scales are.
    """

    matrix: torch.Tensor
    signs: bool
    scales: bool


class _Product(torch.autograd.Function):
    """A product with codes, whose weights are decoded for the gradient, and never kept."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer = layer
        return layer._multiplied(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.layer.points(), None


def dense_linear(layer: QuantizedLinear, dtype: torch.dtype | None = None) -> torch.nn.Linear:
    """Return the layer with plain weights, in the type of its bias, or ``dtype``."""
    dtype = dtype or (torch.get_default_dtype() if layer.bias is None else layer.bias.dtype)
    weights = layer.dequantize().to(dtype)
    with torch.device("meta"):
        plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.weight = torch.nn.Parameter(weights)
    if layer.bias is not None:
        plain.bias = torch.nn.Parameter(layer.bias.detach().to(dtype))
    return plain
