"""``quincunx evaluate``: what compression cost a language model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quincunx.cli._models import AsJson, Context, Device

if TYPE_CHECKING:
    from quincunx.compression.evaluate import Evaluation, Size

EVALUATE_HELP = """Measure how well a model predicts a text, and how it differs from its original.

[bold]Figures[/bold]
  perplexity: the exponential of the mean loss of a token; lower is better.
  KL to the original: how far the distributions of the next token are
  apart, in nats. It tells small losses that perplexity does not show.
  On a CPU both models predict in float32, whatever they are stored in;
  the original then takes 4 bytes of memory a weight.
  [cyan]quincunx evaluate OUT --original models/llama --text book.txt[/cyan]

[bold]Text[/bold]
  Take one that the model was not calibrated on. Without --text it is the
  language reference that Python's help() shows.

[bold]A page[/bold]
  --report writes one HTML file, with pictures, that can be sent around.
  [cyan]quincunx evaluate OUT --original models/llama --report out.html[/cyan]
"""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or 'reference'.")]
Original = Annotated[str, typer.Option("--original", help="The model before compression.")]
TextOption = Annotated[str, typer.Option("--text", help="Text to predict, file or folder.")]
Samples = Annotated[int, typer.Option("--samples", help="Windows of text; 0: up to 128.")]
Page = Annotated[str, typer.Option("--report", metavar="HTML", help="Write a page of it.")]
Speed = Annotated[bool, typer.Option("--speed", help="Measure tokens a second, too.")]


def evaluate(
    model: Model,
    original: Original = "",
    text: TextOption = "",
    samples: Samples = 0,
    context: Context = 0,
    report: Page = "",
    speed: Speed = False,
    device: Device = "",
    as_json: AsJson = False,
) -> None:
    """Evaluate a model; :data:`EVALUATE_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json, "a shorter --context takes less"):
        from quincunx._errors import need_extra

        need_extra("transformers", "compression", "quincunx evaluate")
        from quincunx.cli._models import folder_of, measured, quiet

        quiet()
        if report and not Path(report).absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no folder {Path(report).parent} for {report}")
        found, size, rate = measured(
            folder_of(model),
            folder_of(original) if original else "",
            text=text,
            samples=samples or None,
            context=context or None,
            device=device,
            speed=speed,
        )
        figures = figures_of(found, size, rate)
        if report:
            _write_page(report, model, figures)
        if as_json:
            import json

            typer.echo(json.dumps(_plain(found, size, rate), indent=1))
            return
        from quincunx.cli._console import make_console, print_pairs

        console = make_console()
        print_pairs(console, figures)
        if report:
            console.print(f"The page is {report}.")


def figures_of(
    found: "Evaluation", size: "Size", rate: float | None = None
) -> list[tuple[str, str]]:
    """Return names and values, as people read them."""
    from quincunx.cli._console import bytes_of

    figures = [("perplexity", f"{found.perplexity:.3f} on {found.tokens:,} tokens")]
    if found.divergence is not None:
        assert found.original_perplexity is not None and found.agreement is not None
        figures += [
            ("of the original", f"{found.original_perplexity:.3f}"),
            (
                "KL to the original",
                f"{found.divergence:.4f} ± {found.divergence_error:.4f} nats a token",
            ),
            ("same likeliest token", f"{found.agreement:.1%}"),
        ]
    if size.quantized_weights:
        figures.append(
            (
                "bits a compressed weight",
                f"{size.quantized_bits:.3f}, of {size.quantized_weights:,} weights",
            )
        )
    figures.append(("in memory", f"{bytes_of(size.bytes)}, {size.bits:.2f} bits a weight"))
    if rate is not None:
        figures.append(("speed", f"{rate:.1f} tokens a second"))
    return figures


def _plain(found: "Evaluation", size: "Size", rate: float | None) -> dict[str, Any]:
    from dataclasses import asdict

    plain = {**asdict(found), "size": asdict(size), "tokens per second": rate}
    plain.pop("nats")
    return plain


def _write_page(path: str, model: str, figures: list[tuple[str, str]]) -> None:
    """Write the HTML page, with layers where the model's folder tells of them."""
    import json

    from quincunx._atomic import atomic_write
    from quincunx.compression.page import page
    from quincunx.compression.report import FILE

    notes = Path(model) / FILE
    layers = json.loads(notes.read_text(encoding="utf-8")) if notes.is_file() else None
    with atomic_write(path) as file:
        file.write(page(f"{Path(model).name}: what compression cost", figures, layers))
