"""``quincunx generate``: a model writes on from a prompt."""

from typing import Annotated

import typer

from quincunx.cli._models import Device

GENERATE_HELP = """Let a language model write on from a prompt, word by word.

  [cyan]quincunx generate OUT "Return the"[/cyan]
  [cyan]quincunx generate reference "The module" --tokens 100 --seed 3[/cyan]

--temperature 0 takes the likeliest token always; small models then repeat
themselves.
"""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or 'reference'.")]
Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="How the text begins.")]
Tokens = Annotated[int, typer.Option("--tokens", "-n", min=1, help="Tokens to write, at most.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0.0, help="Larger: bolder.")]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="Draw from so many likeliest tokens.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the draws.")]


def generate(
    model: Model,
    prompt: Prompt,
    tokens: Tokens = 60,
    temperature: Temperature = 0.8,
    top_k: TopK = 40,
    seed: Seed = 0,
    device: Device = "",
) -> None:
    """Write text; :data:`GENERATE_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(False, "fewer --tokens take less"):
        from quincunx._errors import need_extra

        need_extra("transformers", "compression", "quincunx generate")
        from quincunx.cli._models import folder_of, quiet
        from quincunx.compression.huggingface.writing import write

        quiet()
        typer.echo(prompt, nl=False)
        pieces = write(
            folder_of(model),
            prompt,
            tokens=tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            device=device or None,
        )
        for piece in pieces:
            typer.echo(piece, nl=False)
        typer.echo()
