"""One linear layer to codes."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.recipe import QuantizeRecipe
from quincunx.compression.report import LayerReport
from quincunx.nn.quantized_linear import Coding, QuantizedLinear
from quincunx.solvers.linalg import KroneckerOrthogonal, RandomHadamard, random_kronecker
from quincunx.solvers.rounding import greedy, ldlq, nearest, proxy_loss, two_sided
from quincunx.solvers.rounding.incoherence import incoherent

__all__ = ["coding_of", "quantize_layer", "seed_of", "weights_of"]


def seed_of(seed: int, *parts: str) -> int:
    """Return a seed of 63 bits for something with a name, whatever the order of work."""
    digest = hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def coding_of(recipe: QuantizeRecipe, bits: float, seed: int, group: str, name: str) -> Coding:
    """Return how a layer is written.

    Arguments:
        recipe: its transform and codebook.
        bits: a weight.
        seed: of the job.
        group: the first layer with the same inputs; they share a transform.
        name: the layer's.
    """
    return Coding(
        codebook=recipe.codebook,
        bits=bits,
        transform=recipe.transform,
        input_seed=seed_of(seed, "input", group),
        output_seed=seed_of(seed, "output", name),
        channel_scale=recipe.channel_scale,
        code=recipe.code,
        tile=recipe.tile,
    )


def weights_of(layer: torch.nn.Module) -> torch.Tensor:
    """Return a linear layer's weights [out, in]; GPT-2 keeps them transposed."""
    weight = layer.weight.data
    return weight.T if type(layer).__name__ == "Conv1D" else weight


def quantize_layer(
    layer: torch.nn.Module,
    hessian: torch.Tensor | None,
    recipe: QuantizeRecipe,
    coding: Coding,
    *,
    name: str = "layer",
    tokens: int = 0,
    output_hessian: torch.Tensor | None = None,
) -> tuple[QuantizedLinear, LayerReport]:
    """Round a layer's weights.

    Arguments:
        layer: linear.
        hessian: mean second moments of its inputs [n, n], float64; None: the identity.
        recipe: its rounding, passes and damping.
        coding: of the result.
        name: for errors and the report.
        tokens: that the moments are made of.
        output_hessian: [m, m], for two-sided rounding.

    Raises:
        ModelError: weights or moments are not finite.
    """
    weights = weights_of(layer).to(torch.float64)
    m, n = weights.shape
    if hessian is None:
        hessian = torch.eye(n, dtype=torch.float64, device=weights.device)
    _check_finite(weights, hessian, name)
    unit = _unit(weights)
    weights = weights / unit
    turned, moments, outer, more = _turned(weights, hessian, coding, output_hessian)
    rounding = _rounded(turned, moments, recipe, coding, outer)
    scale = torch.as_tensor(rounding.codebook.scale, dtype=torch.float32) * unit
    bias = getattr(layer, "bias", None)
    made = QuantizedLinear.of(
        coding,
        rounding.codes,
        scale.to(weights.device).reshape(-1),
        (m, n),
        bias=None if bias is None else bias.data,
        **{key: torch.as_tensor(value) for key, value in more.items()},
    )
    error = made.dequantize().to(torch.float64) / unit - weights
    loss = float(((error @ hessian) * error).sum())
    size = proxy_loss(weights, hessian)
    stored = sum(
        t.numel() * t.element_size() * 8 for k, t in made.state_dict().items() if k != "bias"
    )
    return made, LayerReport(
        name=name,
        shape=(m, n),
        bits=coding.bits,
        stored_bits=stored,
        proxy_loss=loss * unit**2,
        relative_loss=loss / size if size > 0 else 0.0,
        damping=recipe.damping,
        jitter=rounding.jitter,
        tokens=tokens,
    )


def _turned(
    weights: torch.Tensor,
    hessian: torch.Tensor,
    coding: Coding,
    outer: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
    """Return weights and Hessians in the basis of the coding, in float32, and what is stored of it.

    Nothing else of the size of a Hessian outlives this.
    """
    more: dict[str, torch.Tensor] = {}
    outer = None if outer is None else outer.to(torch.float32)
    if coding.transform == "none":
        return weights.to(torch.float32), hessian.to(torch.float32), outer, more
    make: Any = RandomHadamard if coding.transform == "hadamard" else _stored_kronecker
    left, right = make(weights.shape[0], coding.output_seed), make(len(hessian), coding.input_seed)
    problem = incoherent(weights, hessian, left=left, right=right, rescale=coding.channel_scale)
    if outer is not None:
        outer = left.apply(left.apply(outer).T)
        outer = 0.5 * (outer + outer.T)
    if coding.channel_scale:
        more["channel_scale"] = problem.channel_scale
    if coding.transform == "kronecker":
        more |= {"output_left": left.left, "output_right": left.right}
        more |= {"input_left": right.left, "input_right": right.right}
    return problem.weights.to(torch.float32), problem.hessian.to(torch.float32), outer, more


def _unit(weights: torch.Tensor) -> float:
    """Return what to divide weights by whose squares float32 cannot hold; a power of two, or 1."""
    size = float(weights.square().mean().sqrt())
    if not size or 2.0**-40 < size < 2.0**40:
        return 1.0
    return 2.0 ** round(math.log2(size))


def _check_finite(weights: torch.Tensor, hessian: torch.Tensor, name: str) -> None:
    if not bool(torch.isfinite(weights).all()):
        bad = int((~torch.isfinite(weights)).sum())
        raise ModelError(
            f"{name} has {bad} weights that are NaN or infinite; nothing can be made of it. Check "
            f"the model, or leave the layer out with --skip"
        )
    if not bool(torch.isfinite(hessian).all()):
        raise ModelError(
            f"the inputs of {name} are not finite on the calibration text: the model overflows. "
            f"Check it, or leave the layer out with --skip"
        )


def _stored_kronecker(n: int, seed: int) -> KroneckerOrthogonal:
    """Draw factors that are what a file will hold: in float32."""
    drawn = random_kronecker(n, seed)
    left, right = (torch.from_numpy(a).to(torch.float32) for a in (drawn.left, drawn.right))
    return replace(drawn, left=left, right=right)


def _rounded(
    weights: torch.Tensor,
    hessian: torch.Tensor,
    recipe: QuantizeRecipe,
    coding: Coding,
    outer: torch.Tensor | None,
) -> Any:
    points = coding.points()
    if recipe.rounding == "nearest":
        return nearest(weights, hessian, points)
    if recipe.rounding == "two-sided" and outer is not None:
        return two_sided(
            weights,
            hessian,
            points,
            output_hessian=outer,
            damping=recipe.damping,
        )
    found = ldlq(weights, hessian, points, damping=recipe.damping)
    if recipe.greedy_passes:
        found = greedy(weights, hessian, points, start=found, passes=recipe.greedy_passes)
    return found
