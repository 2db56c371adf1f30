"""What commands on language models share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quincunx.compression.evaluate import Evaluation, Size

Context = Annotated[int, typer.Option("--context", help="Tokens of each; 0: the model's, to 2048.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda ...; empty: a GPU if there is.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def folder_of(model: str) -> str:
    """Return the folder of a model: 'reference' is the one that ships with the package."""
    from pathlib import Path

    if model == "reference" and not Path(model).exists():
        from quincunx.reference import path

        return str(path())
    return model


def quiet() -> None:
    """Keep transformers' bars and advice out of what users read."""
    from quincunx.compression.huggingface.loading import quiet as keep_quiet

    keep_quiet()


def measured(
    model: str,
    original: str,
    *,
    text: str = "",
    samples: int | None = None,
    context: int | None = None,
    device: str = "",
    speed: bool = False,
) -> "tuple[Evaluation, Size, float | None]":
    """Load a model, and its original if there is one, and evaluate it.

    Size and speed are those of the model as it was stored. On a CPU predictions are computed in
    float32: one with AVX2 alone takes 5 to 8 times as long for bfloat16. A 16-bit original takes
    twice its memory for that.

    Arguments:
        model: its folder.
        original: folder of the model before compression, or "".
        text: a file or folder; "": the language reference.
        samples: windows of text.
        context: tokens of each.
        device: where; "": a GPU if there is one.
        speed: measure it, too.
    """
    from quincunx.cli._waiting import wait_for

    def work(report: Callable[[str], None]) -> "tuple[Evaluation, Size, float | None]":
        from quincunx._errors import ModelError
        from quincunx.compression.devices import device_of
        from quincunx.compression.evaluate import evaluate, size_of, tokens_per_second, widen
        from quincunx.compression.huggingface.loading import load
        from quincunx.compression.huggingface.text import calibration, longest_of, read_texts
        from quincunx.reference import topics

        place = device_of(device)
        report("loading")
        found, tokenizer = load(model)
        if tokenizer is None:
            raise ModelError(f"{model} has no tokenizer; text cannot be read without")
        first = load(original)[0].to(place) if original else None
        ids = calibration(
            read_texts(text) if text else topics(),
            tokenizer,
            samples=samples,
            context=longest_of(found.config, context),
        ).ids
        found = found.to(place)
        size, rate = size_of(found), tokens_per_second(found) if speed else None
        if place.type == "cpu":
            for loaded in (found, first):
                if loaded is not None:
                    widen(loaded)
        result = evaluate(
            found, ids, first, report=lambda done, all_: report(f"{done} of {all_} windows")
        )
        return result, size, rate

    return wait_for(work, "evaluating")
