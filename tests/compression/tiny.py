"""Random language models of every family, small enough to compress in a second."""

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

from quincunx.compression import QuantizeRecipe

VOCABULARY = 64
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES),
    "mistral": lambda: MistralConfig(**SIZES),
    "qwen2": lambda: Qwen2Config(**SIZES),
    "qwen3": lambda: Qwen3Config(**SIZES, head_dim=8),
    "gemma": lambda: GemmaConfig(**SIZES, head_dim=8),
    "gemma2": lambda: Gemma2Config(**SIZES, head_dim=8),
    "gemma3_text": lambda: Gemma3TextConfig(**SIZES, head_dim=8),
    "opt": lambda: OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "mixtral": lambda: MixtralConfig(**SIZES, num_local_experts=4),
    "qwen2_moe": lambda: Qwen2MoeConfig(**SIZES, **MIXTURE, shared_expert_intermediate_size=40),
    "qwen3_moe": lambda: Qwen3MoeConfig(**SIZES, **MIXTURE, head_dim=8),
}
GRID = QuantizeRecipe(name="grid", codebook="grid")
"""A recipe that needs no second."""


def tiny(family: str = "llama", seed: int = 0, **changes):
    """Make a random model."""
    torch.manual_seed(seed)
    config = CONFIGS[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():  # larger weights than at the start of a training: layers matter
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


def token_ids(samples: int = 16, context: int = 24, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (samples, context), generator=generator)


@torch.no_grad()
def logits(model, ids=None) -> torch.Tensor:
    return model(token_ids(2) if ids is None else ids).logits.float()
