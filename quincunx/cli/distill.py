"""``quincunx distill``: a compressed model learns from its original."""

from typing import Annotated

import typer

from quincunx.cli._models import AsJson, Context, Device

DISTILL_HELP = """Train a compressed model to predict as its original does.

The codes stay as they are; signs, scales, norms and the head are trained on
text, and the result is written to another folder. Where quantize --tune works
within a block, this works on the whole model. Both models are in memory.

  [cyan]quincunx quantize models/llama OUT --bits 2 --tune 4[/cyan]
  [cyan]quincunx distill OUT BETTER --original models/llama --text novels/[/cyan]
"""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder that quantize wrote.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="The folder to write; new or empty.")]
Original = Annotated[str, typer.Option("--original", help="The model before compression.")]
TextOption = Annotated[str, typer.Option("--text", help="Text to train on, file or folder.")]
Samples = Annotated[int, typer.Option("--samples", help="Windows of text; 0: 512.")]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the text.")]
Rate = Annotated[float, typer.Option("--rate", help="Multiplies learning rates.")]
Seed = Annotated[int, typer.Option("--seed", help="Of places in the text and of their order.")]


def distill(
    model: Model,
    out: Out,
    original: Original,
    text: TextOption = "",
    samples: Samples = 0,
    context: Context = 0,
    epochs: Epochs = 2,
    rate: Rate = 1.0,
    seed: Seed = 0,
    device: Device = "",
    as_json: AsJson = False,
) -> None:
    """Train a model; :data:`DISTILL_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json, "a shorter --context takes less"):
        import json
        from dataclasses import asdict

        from quincunx._errors import need_extra

        need_extra("transformers", "compression", "quincunx distill")
        from quincunx.cli._console import make_console
        from quincunx.cli._models import folder_of, quiet
        from quincunx.cli._waiting import wait_for
        from quincunx.compression.huggingface.distilling import distill_folder

        quiet()
        found = wait_for(
            lambda report: distill_folder(
                folder_of(model),
                folder_of(original),
                out,
                text or None,
                samples=samples or None,
                context=context or None,
                epochs=epochs,
                rate=rate,
                seed=seed,
                device=device or None,
                report=report,
            ),
            "training",
        )
        if as_json:
            typer.echo(json.dumps(asdict(found), indent=1))
            return
        make_console().print(
            f"KL to the original on held-out text: {found.before:.4f} before, {found.after:.4f} "
            f"after, in nats a token. Written to {out}."
        )
