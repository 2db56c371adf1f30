"""Model families as data: where a model's decoder blocks are, and what its experts are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from quincunx._errors import ModelError

__all__ = ["FAMILIES", "Family", "family_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture.

    Attributes:
        blocks: path of the list of decoder blocks in the model with its head.
        transposed: whether its linear layers are GPT-2's ``Conv1D``, with weights [in, out].
        experts: path of the experts in a block, or None. Transformers keeps them as two tensors
            ``gate_up_proj`` [E, 2 I, H] and ``down_proj`` [E, H, I].
        kept: endings of names of matrices in a block that stay as they are: routers.
        renamed: starts of names in a block, each with what files have in its place; ``{e}`` is
            the number of an expert.
    """

    blocks: str = "model.layers"
    transposed: bool = False
    experts: str | None = None
    kept: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


_MIXTRAL = (
    ("mlp.gate.", "block_sparse_moe.gate."),
    ("mlp.experts.{e}.gate_proj.", "block_sparse_moe.experts.{e}.w1."),
    ("mlp.experts.{e}.up_proj.", "block_sparse_moe.experts.{e}.w3."),
    ("mlp.experts.{e}.down_proj.", "block_sparse_moe.experts.{e}.w2."),
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(),
        "mistral": Family(),
        "ministral": Family(),
        "qwen2": Family(),
        "qwen3": Family(),
        "gemma": Family(),
        "gemma2": Family(),
        "gemma3_text": Family(),
        "opt": Family(blocks="model.decoder.layers"),
        "gpt2": Family(blocks="transformer.h", transposed=True),
        "mixtral": Family(experts="mlp.experts", kept=("mlp.gate.weight",), renamed=_MIXTRAL),
        "qwen2_moe": Family(
            experts="mlp.experts",
            kept=("mlp.gate.weight", "mlp.shared_expert_gate.weight"),
        ),
        "qwen3_moe": Family(experts="mlp.experts", kept=("mlp.gate.weight",)),
    }
)


def family_of(model_type: str) -> Family:
    """Return the family of a ``config.model_type``.

    Raises:
        ModelError: it is not in the table.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"models of type {model_type!r} are not in the table; known are "
            f"{', '.join(sorted(FAMILIES))}. docs/add-a-model-family.md says how to add one"
        )
    return FAMILIES[model_type]
