"""Tokens one after the other, with no more work around the model than there has to be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopPLogitsWarper,
)
from transformers.cache_utils import Cache, StaticLayer

from quincunx._errors import ModelError
from quincunx.nn.experts import Experts
from quincunx.nn.fused import fuse

__all__ = ["Decoder", "checked_prompt", "generate"]

KINDS = ("full_attention", "sliding_attention")
"""Layers whose keys and values fit in tensors of one size; a mask tells what is in a window."""
WORTH_A_GRAPH = 8
"""Steps from which recording one, which takes about four, pays."""


def generate(
    model: Any,
    ids: torch.Tensor,
    *,
    tokens: int,
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
    decoder: Decoder | None = None,
) -> Iterator[int]:
    """Yield the tokens that a model goes on with, one by one, as they are found.

    Of the model's ``generation_config`` are kept: ends of sequence (which are yielded, and the
    last), ``repetition_penalty`` and ``no_repeat_ngram_size``, and, where tokens are drawn,
    ``top_p`` and ``min_p``. Draws have a generator of their own: the same seed gives the same
    tokens on the same machine, whatever else is drawn, and torch's seed is left alone.

    Arguments:
        model: of transformers, with a head.
        ids: [1, P], the prompt's tokens, at least one.
        tokens: to yield at most.
        temperature: divides logits before drawing; 0: the likeliest token always.
        top_k: draw from so many likeliest tokens; 0: from all.
        seed: of the draws.
        decoder: of the model, long enough, to be used again; None: one is made.

    Raises:
        ModelError: the ids are no row of tokens.
    """
    decoder = decoder or Decoder(model, ids.shape[-1] + tokens)
    choose = _chooser(model, temperature, top_k, seed)
    ends, seen = _ends(model), ids.to(decoder.device)
    if tokens < 1:
        return
    logits = decoder.read(ids)
    for left in range(tokens - 1, -1, -1):
        token = choose(seen, logits)
        number = int(token)
        yield number
        if number in ends or not left:
            return
        seen = torch.cat((seen, token[None]), dim=1)
        logits = decoder.step(token)


class Decoder:
    """A model that reads a prompt, and then one token at a time.

    On a GPU keys and values have tensors of their full size from the start (transformers'
    ``StaticLayer``), and a step is recorded once as a CUDA graph and replayed: launching its
    kernels one by one takes longer than they run. Before a graph is used, two of its steps are
    compared with steps that are not recorded; a model that cannot be recorded, such as a mixture
    whose experts are chosen on the processor, goes on with plain steps. On a processor, for models
    on several devices, and for families with layers other than full or sliding attention (linear
    attention, say), keys and values are in the cache that transformers makes for the model.

    The model's layers of codes are fused (:func:`quincunx.nn.fused.fuse`).

    Attributes:
        device: where the model takes its tokens.
        static: whether keys and values have tensors of fixed size.
        recorded: whether steps are replays; known after the first step.
    """

    def __init__(self, model: Any, length: int, *, static: bool | None = None) -> None:
        """Prepare for texts of a length.

        Arguments:
            model: of transformers, in evaluation mode.
            length: tokens of a prompt and what follows, at most.
            static: tensors of fixed size; None: on a GPU, for families that can.

        Raises:
            ModelError: tensors of fixed size are asked for, and the family has none.
        """
        fuse(model)
        self.model, self.device, self.length = model, model.device, max(length, 1)
        possible = _fits(model)
        if static and not possible:
            raise ModelError(
                f"{model.config.model_type} keeps more than keys and values of attention, or is on "
                f"several devices; leave static out"
            )
        self.static = possible and self.device.type == "cuda" if static is None else static
        self.recorded = False
        self._settings: dict[str, Any] = {"use_cache": True}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self._settings["logits_to_keep"] = 1
        self._cache: Any = None
        self._layers: list[Any] = []
        if self.static:
            count = model.config.get_text_config(decoder=True).num_hidden_layers
            # Room for the two steps of a comparison, whatever the length.
            self._layers = [StaticLayer(max_cache_len=self.length + 2) for _ in range(count)]
            self._cache = Cache(layers=self._layers)
        self._token = torch.zeros(1, 1, dtype=torch.int64, device=self.device)
        self._place = torch.zeros(1, 1, dtype=torch.int64, device=self.device)
        self._read = 0
        self._record = _recorder(model)
        self._replay: Callable[[], torch.Tensor] | None = None

    @torch.no_grad()
    def read(self, ids: torch.Tensor) -> torch.Tensor:
        """Read a prompt; what was read before is forgotten.

        Arguments:
            ids: [1, P].

        Returns:
            Logits of the next token, float32 [1, V].

        Raises:
            ModelError: the ids are no row of tokens, or longer than the decoder was made for.
        """
        if ids.ndim != 2 or ids.shape[0] != 1 or not 1 <= ids.shape[1] <= self.length:
            raise ModelError(
                f"token ids have shape {tuple(ids.shape)}; give one row of 1 to {self.length}"
            )
        self._read = ids.shape[1]
        ids = ids.to(self.device)
        if not self.static:
            return self._ask(input_ids=ids, past_key_values=None)
        self._go_back(0)
        places = torch.arange(self._read, device=self.device)[None]
        logits = self._ask(input_ids=ids, past_key_values=self._cache, position_ids=places)
        self._go_back(self._read)
        return logits

    @torch.no_grad()
    def step(self, token: torch.Tensor) -> torch.Tensor:
        """Read one more token.

        Arguments:
            token: int64 [1], where the model is.

        Returns:
            Logits of the next one, float32 [1, V]; the next step may write over them.

        Raises:
            ModelError: the text is longer than the decoder was made for, or nothing was read.
        """
        if not 0 < self._read < self.length:
            raise ModelError(
                f"{self._read} tokens were read of {self.length}; read a prompt first, and make "
                f"the decoder long enough"
            )
        if not self.static:
            self._read += 1
            return self._ask(input_ids=token.reshape(1, 1), past_key_values=self._cache)
        if self._record is not None and self.length - self._read >= WORTH_A_GRAPH:
            self._replay, self._record = self._recorded(self._record), None
            self.recorded = self._replay is not None
        self._read += 1
        self._token.copy_(token.reshape(1, 1))
        return self._step() if self._replay is None else self._replay()

    def _step(self) -> torch.Tensor:
        """Read the token in its tensor, at the place in its tensor, which moves on."""
        logits = self._ask(
            input_ids=self._token, past_key_values=self._cache, position_ids=self._place
        )
        self._place.add_(1)
        return logits

    def _ask(self, **inputs: Any) -> torch.Tensor:
        found = self.model(**inputs, **self._settings)
        self._cache = found.past_key_values
        return found.logits[:, -1].to(torch.float32)

    def _go_back(self, length: int) -> None:
        """Forget all but the first tokens; what lies behind them is masked, and written over."""
        for layer in self._layers:
            layer.cumulative_length.fill_(length)
        self._place.fill_(length)

    def _recorded(
        self, record: Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]]
    ) -> Callable[[], torch.Tensor] | None:
        """Return what replays a step; None: it cannot be recorded, or does not replay rightly."""
        start = self._read
        try:
            replay = record(self._step)
            found = []
            for work in (self._step, replay):
                self._go_back(start)
                for token in range(2):
                    self._token.fill_(token)
                    found.append(work().clone())
            exact, other = torch.cat(found).chunk(2)
            # Sums in other orders at most; a place that stood still changes all logits.
            bound = 1e-4 if self.model.dtype == torch.float32 else 2e-2
            right = bool((exact - other).abs().max() <= bound * exact.abs().max())
        except (RuntimeError, ValueError, TypeError):
            right = False
        self._go_back(start)
        return replay if right else None


def checked_prompt(model: Any, tokenizer: Any, prompt: str, tokens: int) -> torch.Tensor:
    """Return a prompt's tokens [1, P], if that many more fit in the model.

    Raises:
        ModelError: there is no tokenizer, the prompt is empty, or the text longer than the model's.
    """
    if tokenizer is None:
        raise ModelError("the model's folder has no tokenizer; text needs one")
    ids: torch.Tensor = tokenizer(prompt, return_tensors="pt", add_special_tokens=True)["input_ids"]
    if not ids.numel():
        raise ModelError("the prompt is empty; give the beginning of a text")
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and ids.shape[1] + tokens > longest:
        raise ModelError(
            f"the prompt has {ids.shape[1]} tokens, and {tokens} are to follow: more than the "
            f"model's {longest}; ask for fewer (--tokens), or give a shorter prompt"
        )
    return ids


def _fits(model: Any) -> bool:
    """Say whether a cache of plain static layers serves a model."""
    config = model.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    apart = len({parameter.device for parameter in model.parameters()}) > 1
    shared = getattr(config, "num_kv_shared_layers", 0) or getattr(config, "kv_sharing_modes", None)
    chunked = getattr(config, "attention_chunk_size", None)
    return not (apart or shared or chunked) and all(kind in KINDS for kind in kinds)


def _recorder(
    model: Any,
) -> Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]] | None:
    """Return what records a step of a model; None: it can be seen not to work."""
    if model.device.type != "cuda" or any(isinstance(m, Experts) for m in model.modules()):
        return None
    return partial(_cuda_graph, device=model.device)


def _cuda_graph(
    step: Callable[[], torch.Tensor], device: torch.device
) -> Callable[[], torch.Tensor]:
    """Record a step as a CUDA graph, after two that compile its kernels."""
    with torch.cuda.device(device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Another thread may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return logits

    return replay


def _ends(model: Any) -> set[int]:
    """Return the tokens that end a text."""
    found = getattr(model.generation_config, "eos_token_id", None)
    return set() if found is None else {int(t) for t in (found if _many(found) else [found])}


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _chooser(
    model: Any, temperature: float, top_k: int, seed: int
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return what takes the tokens so far [1, n] and logits [1, V], and gives the next one [1]."""
    settings = model.generation_config
    before, after = LogitsProcessorList(), LogitsProcessorList()
    if getattr(settings, "repetition_penalty", None) not in (None, 1.0):
        before.append(RepetitionPenaltyLogitsProcessor(penalty=settings.repetition_penalty))
    if getattr(settings, "no_repeat_ngram_size", None):
        before.append(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
    if temperature <= 0:
        return lambda seen, logits: torch.argmax(before(seen, logits), dim=-1)
    if getattr(settings, "top_p", None) not in (None, 1.0):
        after.append(TopPLogitsWarper(settings.top_p))
    if getattr(settings, "min_p", None):
        after.append(MinPLogitsWarper(settings.min_p))
    generator = torch.Generator(model.device).manual_seed(seed)

    def draw(seen: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        scores = before(seen, logits) / temperature
        if 0 < top_k < scores.shape[-1]:
            least = torch.topk(scores, top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        chances = torch.softmax(after(seen, scores), dim=-1)
        return torch.multinomial(chances, 1, generator=generator)[:, 0]

    return draw
