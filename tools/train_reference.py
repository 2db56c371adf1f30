"""Train the reference language model: `python -m tools.train_reference FOLDER`.

Llama's architecture, 5.8 million parameters, on the documentation of the standard library and of
the packages below, or on `--text FILE`. Seeded; stopped at any moment it goes on from its last
checkpoint, and what it then makes is what it would have made unbroken. Two cores take about an
hour; a compiler of C++ (for torch.compile) makes it 1.7 times as fast.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from quincunx.reference.documentation import docstrings, folder_of, standard_library, topics

# Licences: BSD, MIT, Apache or the like, all of which allow it.
PACKAGES = (
    "numpy scipy networkx matplotlib torch transformers sympy sklearn statsmodels pandas".split()
)
END = "<|end|>"
VOCABULARY = 2048
CONTEXT = 256
BATCH = 8
PEAK, WARM_UP, LAST = 3e-3, 200, 0.05
EVERY = 250  # steps between checkpoints


def corpus(text: Path | None) -> tuple[list[str], list[str], dict[str, str]]:
    """Texts to train on, texts held out, and where they came from."""
    if text is not None:
        articles = [
            article.strip()
            for article in re.split(r"</?doc\b[^>]*>", text.read_text(encoding="utf-8"))
            if article.strip()
        ]
        held_out = articles[::50]
        rest = [article for number, article in enumerate(articles) if number % 50]
        return rest, held_out, {"file": text.name}
    folders = [standard_library(), *(folder_of(package) for package in PACKAGES)]
    names = {"sklearn": "scikit-learn"}
    versions = {name: importlib.metadata.version(names.get(name, name)) for name in PACKAGES}
    return list(docstrings(folders)), list(topics()), versions


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with 2,048 entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, model_max_length=CONTEXT
    )


def tokens_of(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """All texts in one row, an end mark before each."""
    end = tokenizer.convert_tokens_to_ids(END)
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return np.concatenate([np.array([end, *ids], dtype=np.int32) for ids in encoded])


def new_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=8,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def windows(tokens: np.ndarray, step: int, seed: int) -> torch.Tensor:
    """The sequences of a step: every window once an epoch, cut anew in each."""
    count = (len(tokens) - CONTEXT) // CONTEXT
    rows = []
    for number in range(step * BATCH, (step + 1) * BATCH):
        epoch, place = divmod(number, count)
        random = np.random.default_rng([seed, epoch])
        shift = int(random.integers(CONTEXT))
        start = shift + CONTEXT * int(random.permutation(count)[place])
        rows.append(tokens[start : start + CONTEXT])
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def rate(step: int, steps: int) -> float:
    if step < WARM_UP:
        return PEAK * (step + 1) / WARM_UP
    turn = (step - WARM_UP) / max(steps - WARM_UP, 1)
    return PEAK * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * turn)))


@torch.no_grad()
def perplexity(model: Any, tokens: np.ndarray, sequences: int = 128) -> float:
    """Over sequences of 256 tokens, evenly spread; each token but the first is predicted."""
    starts = np.linspace(0, len(tokens) - CONTEXT, sequences).astype(int)
    losses = []
    for start in starts:
        ids = torch.from_numpy(tokens[start : start + CONTEXT].astype(np.int64))[None]
        losses.append(float(model(input_ids=ids, labels=ids).loss))
    return math.exp(sum(losses) / len(losses))


class Run:
    """A training run: model, optimizer and curve, kept in a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.step, self.curve = folder, 0, []
        self.model = new_model(seed)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        groups = [
            {"params": matrices, "weight_decay": 0.1},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95))
        self.parameters = matrices + vectors

    def save(self) -> None:
        tensors = {}
        for number, parameter in enumerate(self.parameters):
            state = self.optimizer.state[parameter]
            tensors[f"{number}.value"] = parameter.data
            tensors[f"{number}.mean"] = state["exp_avg"]
            tensors[f"{number}.square"] = state["exp_avg_sq"]
        progress = {"step": str(self.step), "curve": json.dumps(self.curve)}
        save_file(tensors, self.folder / "run.tmp", metadata=progress)
        os.replace(self.folder / "run.tmp", self.folder / "run.safetensors")

    def resume(self) -> None:
        path = self.folder / "run.safetensors"
        if not path.exists():
            return
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            progress = file.metadata()
        self.step, self.curve = int(progress["step"]), json.loads(progress["curve"])
        tensors = load_file(path)
        for number, parameter in enumerate(self.parameters):
            parameter.data.copy_(tensors[f"{number}.value"])
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(self.step)),
                "exp_avg": tensors[f"{number}.mean"],
                "exp_avg_sq": tensors[f"{number}.square"],
            }

    def train(
        self,
        tokens: np.ndarray,
        held_out: np.ndarray,
        steps: int,
        seed: int,
        precision: torch.dtype,
    ) -> None:
        compiled = torch.compile(self.model)
        recent: list[float] = []
        began, first = time.time(), self.step
        while self.step < steps:
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.step, steps)
            ids = windows(tokens, self.step, seed)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                logits = compiled(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten()
            )
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.step += 1
            recent.append(loss.item())
            if self.step % EVERY == 0 or self.step == steps:
                ppl = perplexity(self.model, held_out, 16)
                self.curve.append([self.step, round(sum(recent) / len(recent), 4), round(ppl, 2)])
                recent = []
                self.save()
                speed = (self.step - first) * BATCH * CONTEXT / (time.time() - began)
                print(*self.curve[-1], f"{speed:.0f} tokens/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--text", type=Path, help="train on this file, with <doc> marks between articles"
    )
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--float32",
        action="store_true",
        help="products in single precision: faster where the processor has none in bfloat16"
        " (AVX512-BF16 or AMX)",
    )
    choice = parser.parse_args()
    choice.folder.mkdir(parents=True, exist_ok=True)

    texts, held_out_texts, sources = corpus(choice.text)
    tokenizer = tokenizer_of(texts)
    tokens, held_out = tokens_of(texts, tokenizer), tokens_of(held_out_texts, tokenizer)
    print(
        f"{len(texts)} texts, {sum(map(len, texts))} characters, {len(tokens)} tokens", flush=True
    )

    run = Run(choice.folder, choice.seed)
    run.resume()
    precision = torch.float32 if choice.float32 else torch.bfloat16
    run.train(tokens, held_out, choice.steps, choice.seed, precision)

    run.model.to(torch.bfloat16)
    run.model.generation_config.update(bos_token_id=0, eos_token_id=0, pad_token_id=0)
    run.model.save_pretrained(choice.folder)
    tokenizer.save_pretrained(choice.folder)
    record = {
        "seed": choice.seed,
        "steps": choice.steps,
        "tokens a step": BATCH * CONTEXT,
        "products in": str(precision).removeprefix("torch."),
        "corpus": {
            "texts": len(texts),
            "characters": sum(map(len, texts)),
            "tokens": len(tokens),
            "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        },
        "sources": sources,
        "held-out perplexity": round(perplexity(run.model, held_out), 3),
        "held-out bytes per token": round(
            sum(len(text.encode()) for text in held_out_texts) / len(held_out), 4
        ),
        "curve [step, training loss, held-out perplexity of 16 sequences]": run.curve,
        "versions": {"torch": torch.__version__, **_versions("transformers", "tokenizers")},
    }
    (choice.folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    (choice.folder / "run.safetensors").unlink()


def _versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


if __name__ == "__main__":
    main()
