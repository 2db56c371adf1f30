"""Layers with the same inputs, such as queries, keys and values, that do their common work once."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from threading import local
from typing import Any, NamedTuple

import torch

from quincunx.kernels.gpu_parts import bucket
from quincunx.nn.coded_product import coded_product
from quincunx.nn.quantized_linear import QuantizedLinear

__all__ = ["Group", "fuse", "joinable", "siblings", "unfuse"]

BEFORE = ("channel_scale", "input_signs", "input_left", "input_right")
"""Buffers that inputs go through."""

Part = tuple[torch.Tensor | None, torch.Tensor | None]
"""Inputs as codes take them, or, where these are multiplied already, a layer's products."""


def fuse(module: torch.nn.Module) -> int:
    """Let layers of codes with the same inputs transform these once, and multiply them once.

    Layers of one module share if they are coded alike, with the same ``input_seed`` and the same
    numbers on the way of their inputs. Their ``qweight`` become views that lie one after the other
    in one tensor, so that a few rows of inputs are multiplied with all of them in one product.
    Results do not change: bit by bit on a processor.

    A layer takes what another has computed only if it is called with the same tensor, unchanged,
    in the same thread, and no gradient flows to what the work starts from; else it works by itself.
    Under ``torch.inference_mode`` changes of a tensor are not counted, so nothing is shared there;
    use ``torch.no_grad``. A layer that is not called with the inputs of the others is left out from
    then on. Copies of a module share nothing; nor do moved layers, or layers with other numbers on
    the way of their inputs, until this is called again.

    Arguments:
        module: any; what it is made of does not matter.

    Returns:
        How many layers share with others.
    """
    unfuse(module)
    count = 0
    for layers in siblings(module):
        _lay_out(layers)
        group = Group(layers)
        for layer in layers:
            layer._group = group
        count += len(layers)
    return count


def unfuse(module: torch.nn.Module) -> None:
    """Let all layers within a module work by themselves again; memory stays as it is laid out."""
    for layer in module.modules():
        if isinstance(layer, QuantizedLinear):
            layer._group = None


class Group:
    """What layers with the same inputs have in common: nothing of theirs is kept alive by it.

    It is not copied along with a layer, nor pickled: None stands in its place.
    """

    def __init__(self, layers: Sequence[QuantizedLinear]) -> None:
        """Keep which layers, and that their inputs' numbers are equal as they are now."""
        self._members = tuple(_Member(weakref.ref(layer), _stamps(layer)) for layer in layers)
        self._here = local()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()

    def share(self, layer: QuantizedLinear, x: torch.Tensor) -> Part | None:
        """Return a layer's part of the common work on inputs; None: it is to work by itself.

        Arguments:
            layer: of the group.
            x: [..., n], as the layer was called with.

        Returns:
            Transformed inputs, float32 [..., n], and None; or None, and the products with codes
            without scales, float32 [..., m].
        """
        if x.is_inference() or (torch.is_grad_enabled() and _pulled(layer, x)):
            return None
        use: _Use | None = getattr(self._here, "use", None)
        if use is None or use.of is None or use.of() is not x or use.moment != _moment(x):
            use = self._begin(x, layer)
        part = use.take(layer)
        if part is None and layer in use.came:  # it runs once more, and the others will
            use = self._begin(x, layer)
            part = use.take(layer)
        if not use.left:
            self._here.use = None
        return part

    def _begin(self, x: torch.Tensor, layer: QuantizedLinear) -> _Use:
        """Do the work that is common to all layers."""
        before: _Use | None = getattr(self._here, "use", None)
        if before is not None:
            self._end(before)
        use = _Use(moment=_moment(x))
        use.of = weakref.ref(x, lambda _: self._end(use))
        self._here.use = use
        layers = [member.layer() for member in self._members if member.as_it_was()]
        ready = [each for each in layers if each is not None and each._held is None]
        if len(ready) > 1 and any(each is layer for each in ready):
            turned = layer._turned(x)
            products = _products(ready, turned)
            if products is not None:
                use.left = {each: (None, y) for each, y in zip(ready, products, strict=True)}
            elif turned is not x:
                use.left = {each: (turned, None) for each in ready}
            use.codes = {each: _place(each.qweight) for each in use.left}
        return use

    def _end(self, use: _Use) -> None:
        """Forget some work, and leave out who did not come for it."""
        late, use.left = use.left, {}
        if late:
            kept = [m for m in self._members if m.layer() is not None and m.layer() not in late]
            self._members = tuple(kept) if len(kept) > 1 else ()


class _Member(NamedTuple):
    """A layer, and its buffers on the way of inputs with their versions when it was fused."""

    layer: weakref.ref[QuantizedLinear]
    stamps: tuple[tuple[weakref.ref[torch.Tensor], int], ...] | None

    def as_it_was(self) -> bool:
        """Say whether the layer's inputs still go through the same numbers."""
        layer = self.layer()
        if layer is None or self.stamps is None:
            return False
        now, known = _before(layer), [ref() for ref, _ in self.stamps]
        versions = [version for _, version in self.stamps]
        return (
            len(now) == len(known)
            and all(map(is_, now, known))
            and versions == [tensor._version for tensor in now]
        )


@dataclass(slots=True, eq=False)
class _Use:
    """The work on one tensor of inputs.

    Attributes:
        moment: what else must be as it was when the work was done.
        of: the inputs.
        left: parts of layers that have not come for them.
        codes: where the layers' codes were.
        came: layers that took their part.
    """

    moment: tuple[Any, ...]
    of: weakref.ref[torch.Tensor] | None = None
    left: dict[QuantizedLinear, Part] = field(default_factory=dict)
    codes: dict[QuantizedLinear, tuple[int, int]] = field(default_factory=dict)
    came: weakref.WeakSet[QuantizedLinear] = field(default_factory=weakref.WeakSet)

    def take(self, layer: QuantizedLinear) -> Part | None:
        """Hand out a layer's part, once."""
        part = self.left.pop(layer, None)
        if part is None:
            return None
        self.came.add(layer)
        same = self.codes.pop(layer) == _place(layer.qweight)
        return part if same or part[1] is None else None


def _products(layers: Sequence[QuantizedLinear], turned: torch.Tensor) -> list[torch.Tensor] | None:
    """Return each layer's products with its codes by one product, or None where there is none."""
    codes = _joined(layers)
    if codes is None:
        return None
    sizes = [layer.out_features for layer in layers]
    shape = sum(sizes), layers[0].in_features
    rows = turned.numel() // shape[1]
    blocks = layers[0].blocks.get((shape[0], bucket(rows), turned.dtype))
    found = coded_product(turned, codes, layers[0].coding, shape, blocks)
    return None if found is None else list(found.split(sizes, dim=-1))


def _joined(layers: Sequence[QuantizedLinear]) -> torch.Tensor | None:
    """Return the codes of all layers as one tensor, if they lie one after the other."""
    first = layers[0].qweight.data
    storage, place, rows = first.untyped_storage().data_ptr(), first.data_ptr(), 0
    for layer in layers:
        codes = layer.qweight.data
        if (
            codes.data_ptr() != place
            or codes.untyped_storage().data_ptr() != storage
            or not codes.is_contiguous()
            or codes.shape[1:] != first.shape[1:]
        ):
            return None
        place, rows = place + codes.numel(), rows + codes.shape[0]
    return first.as_strided((rows, first.shape[1]), (first.shape[1], 1))


def joinable(layers: Sequence[QuantizedLinear]) -> bool:
    """Say whether codes of layers can be one matrix: tiles of all but the last are whole.

    Arguments:
        layers: coded alike.
    """
    height = layers[0].coding.points().tile[0]
    devices = {layer.qweight.device for layer in layers}
    whole = all(layer.out_features % height == 0 for layer in layers[:-1])
    return whole and len(devices) == 1 and "meta" not in {device.type for device in devices}


@torch.no_grad()
def _lay_out(layers: Sequence[QuantizedLinear]) -> None:
    """Let codes lie one after the other."""
    if not joinable(layers) or _joined(layers) is not None:
        return
    codes = [layer.qweight.data for layer in layers]
    whole = torch.cat(codes)
    for layer, rows in zip(layers, whole.split([len(c) for c in codes]), strict=True):
        layer.qweight.data = rows


def siblings(module: torch.nn.Module) -> Iterator[list[QuantizedLinear]]:
    """Yield the layers of each module that :func:`fuse` lets share, two or more at a time.

    Arguments:
        module: any.
    """
    found: dict[Any, list[QuantizedLinear]] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, QuantizedLinear):
            # Adapters wrap a layer, and the wrapper's parent is the layer's.
            parent = name.removesuffix(".base_layer").rpartition(".")[0]
            alike = (parent, layer.in_features, replace(layer.coding, output_seed=0))
            found.setdefault(alike, []).append(layer)
    for layers in found.values():
        while len(layers) > 1:
            same = [layer for layer in layers if _equal(layer, layers[0])]
            layers = [layer for layer in layers if layer not in same]
            if len(same) > 1:
                yield same


def _equal(one: QuantizedLinear, other: QuantizedLinear) -> bool:
    """Say whether inputs of two layers that are coded alike go through the same numbers."""
    return one is other or all(
        a.device == b.device and a.device.type != "meta" and torch.equal(a, b)
        for a, b in zip(_before(one), _before(other), strict=True)
    )


def _before(layer: QuantizedLinear) -> list[torch.Tensor]:
    """Return what inputs are multiplied with before codes are."""
    return [getattr(layer, name) for name in BEFORE if hasattr(layer, name)]


def _stamps(
    layer: QuantizedLinear,
) -> tuple[tuple[weakref.ref[torch.Tensor], int], ...] | None:
    tensors = _before(layer)
    if any(tensor.is_inference() for tensor in tensors):  # whose changes are not counted
        return None
    return tuple((weakref.ref(tensor), tensor._version) for tensor in tensors)


def _pulled(layer: QuantizedLinear, x: torch.Tensor) -> bool:
    """Say whether gradients flow to inputs, or to numbers on their way."""
    return bool(x.requires_grad) or any(tensor.requires_grad for tensor in _before(layer))


def _moment(x: torch.Tensor) -> tuple[Any, ...]:
    """Return what must be the same for work on ``x`` to be taken over."""
    moment = (x._version, torch.is_inference_mode_enabled())
    if x.device.type != "cuda":
        return moment
    # What one stream computes is not there yet for another, and a captured graph computes nothing.
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return (*moment, stream, torch.cuda.is_current_stream_capturing())


def _place(codes: torch.Tensor) -> tuple[int, int]:
    """Return where codes are, and how often they have changed."""
    return codes.data_ptr(), -1 if codes.is_inference() else codes._version
