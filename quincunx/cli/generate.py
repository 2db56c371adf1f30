"""``quincunx generate``: a model writes on from a prompt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from quincunx.cli._models import Device

if TYPE_CHECKING:
    from quincunx.compression.huggingface.speed import Speed

GENERATE_HELP = """Let a language model write on from a prompt, word by word.

  [cyan]quincunx generate OUT "Return the"[/cyan]
  [cyan]quincunx generate reference "The module" --tokens 100 --seed 3[/cyan]

--temperature 0 takes the likeliest token always; small models then repeat
themselves.

[bold]Speed[/bold]
  --bench writes no text, but how many tokens a second the model reads and
  writes, one at a time: medians of five runs after one that does not count.
  --against times the original in the same way.
  [cyan]quincunx generate OUT "Return the" --bench --against models/llama[/cyan]

  On a GPU --tune first times how products are best cut up, and remembers it.
"""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or 'reference'.")]
Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="How the text begins.")]
Tokens = Annotated[int, typer.Option("--tokens", "-n", min=1, help="Tokens to write, at most.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0.0, help="Larger: bolder.")]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="Draw from so many likeliest tokens.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the draws.")]
Bench = Annotated[bool, typer.Option("--bench", help="Measure tokens a second instead.")]
Against = Annotated[
    str, typer.Option("--against", help="With --bench: the original, a folder or 'reference'.")
]
Tune = Annotated[bool, typer.Option("--tune", help="On a GPU: time block sizes first.")]


def generate(
    model: Model,
    prompt: Prompt,
    tokens: Tokens = 60,
    temperature: Temperature = 0.8,
    top_k: TopK = 40,
    seed: Seed = 0,
    device: Device = "",
    bench: Bench = False,
    against: Against = "",
    tune: Tune = False,
) -> None:
    """Write text; :data:`GENERATE_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(False, "fewer --tokens take less"):
        from quincunx._errors import need_extra

        need_extra("transformers", "compression", "quincunx generate")
        from quincunx.cli._models import folder_of, quiet
        from quincunx.compression.huggingface.writing import write

        quiet()
        if bench or against:
            _print_speeds(model, against, prompt, tokens, device, tune)
            return
        typer.echo(prompt, nl=False)
        pieces = write(
            folder_of(model),
            prompt,
            tokens=tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            device=device or None,
            tune=tune,
        )
        for piece in pieces:
            typer.echo(piece, nl=False)
        typer.echo()


def _print_speeds(
    model: str, against: str, prompt: str, tokens: int, device: str, tune: bool
) -> None:
    """Measure a model, and its original if there is one, and print a table."""
    from quincunx.cli._console import make_console, print_table

    names = [model, *([against] if against else [])]
    found = _measured(names, prompt, tokens, device, tune)
    rows = [_cells(name, speed) for name, speed in zip(names, found, strict=True)]
    if against:
        ours, theirs = found
        rows.append((
            "ratio",
            f"{ours.bytes / theirs.bytes:.3f}",
            f"{ours.bits / theirs.bits:.3f}",
            f"{ours.reading / theirs.reading:.2f}",
            f"{ours.writing / theirs.writing:.2f}",
        ))  # fmt: skip
    columns = ("model", "in memory", "bits a weight", "tokens read / s", "tokens written / s")
    console = make_console()
    print_table(console, columns, rows, right=(1, 2, 3, 4))
    first = found[0]
    steps = "replays of a CUDA graph" if first.recorded else "plain steps"
    console.print(
        f"{first.prompt} tokens read, {first.tokens} written by {steps}; medians of "
        f"{len(first.seconds)} runs, {first.dtype}, on {first.device}."
    )


def _measured(names: list[str], prompt: str, tokens: int, device: str, tune: bool) -> "list[Speed]":
    """Return the speed of each model with the same prompt, one model in memory at a time."""
    from quincunx.cli._models import folder_of
    from quincunx.cli._waiting import wait_for

    def work(report: Callable[[str], None]) -> "list[Speed]":
        from quincunx.compression.block_sizes import tune as tuned
        from quincunx.compression.devices import device_of
        from quincunx.compression.huggingface.generation import checked_prompt
        from quincunx.compression.huggingface.loading import load
        from quincunx.compression.huggingface.speed import speed_of

        place, found = device_of(device), []
        for name in names:
            report(f"loading {name}")
            model, tokenizer = load(folder_of(name))
            ids = checked_prompt(model, tokenizer, prompt, tokens)

            def tell(done: int, runs: int, name: str = name) -> None:
                report(f"{name}: {done} of {runs} runs")

            model.to(place)
            if tune:
                tuned(model, done=lambda layer: report(f"tuning {layer}"))
            found.append(speed_of(model, ids, tokens=tokens, report=tell))
            del model
        return found

    return wait_for(work, "measuring")


def _cells(name: str, speed: "Speed") -> tuple[str, ...]:
    from quincunx.cli._console import bytes_of

    return (
        name,
        bytes_of(speed.bytes),
        f"{speed.bits:.2f}",
        f"{speed.reading:.1f}",
        f"{speed.writing:.1f}",
    )
