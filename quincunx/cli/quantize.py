"""``quincunx quantize``: a language model's folder in, a smaller one out."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quincunx.cli._models import Context, Device

if TYPE_CHECKING:
    from quincunx.compression import Report
    from quincunx.compression.preview import Preview

QUANTIZE_HELP = """Compress a language model's linear layers to a few bits a weight.

[bold]What comes out[/bold]
  OUT is a model folder that quincunx.load opens, and transformers after
  import quincunx.compression.huggingface. Tokenizer and settings travel
  along; README.md and quincunx-report.json say what was done.
  [cyan]quincunx quantize models/llama OUT --bits 2[/cyan]
  [cyan]quincunx quantize reference OUT[/cyan]    the small model that ships with us

[bold]Recipes[/bold]
  qtip: paths through a trellis, the best at any number of bits.
  quip-sharp: points of the lattice E8, at 2 to 4 bits; decodes simply.
  quip: a plain grid in a random basis.
  --bits 2.5 gives more bits to layers that need more.

[bold]Text[/bold]
  Layers are calibrated on text: a file, or a folder of .txt files, in the
  language and style that the model is for. Without --text it is the
  documentation of Python's standard library.
  [cyan]quincunx quantize models/llama OUT --text novels/ --samples 256[/cyan]

[bold]Better, slower[/bold]
  --tune trains, block by block, what is not yet codes to make up for what
  was lost. --two-sided weighs errors by what they do to the predictions
  of the whole model.
  [cyan]quincunx quantize models/llama OUT --bits 2 --tune 4[/cyan]

[bold]Stopped?[/bold]
  The same command goes on where it was, after Ctrl-C and kill -9 alike,
  and ends with the same bytes. Work lies in OUT.partial until it is done.

[bold]Which layers[/bold]
  All linear layers of the decoder blocks; embeddings and the head stay as
  they are. --skip and --include take patterns of names, as shells do.
  [cyan]quincunx quantize models/llama OUT --skip '*.down_proj' --partial[/cyan]

[bold]Several processes[/bold]
  [cyan]torchrun --nproc-per-node 2 -m quincunx quantize models/llama OUT[/cyan]
  Any number of them writes the same bytes.
"""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or 'reference'.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="The folder to write; new or empty.")]
Recipe = Annotated[str, typer.Option("--recipe", "-r", help="qtip, quip-sharp or quip.")]
Bits = Annotated[float, typer.Option("--bits", "-b", help="Bits a weight; 2.5 is shared out.")]
TextOption = Annotated[str, typer.Option("--text", help="Text to calibrate on, file or folder.")]
Samples = Annotated[int, typer.Option("--samples", help="Windows of text; 0: up to 128.")]
Include = Annotated[list[str], typer.Option("--include", help="Only layers of this pattern.")]
Skip = Annotated[list[str], typer.Option("--skip", help="No layers of this pattern.")]
Partial = Annotated[bool, typer.Option("--partial", help="Allow less than 90 % of the weights.")]
Tune = Annotated[int, typer.Option("--tune", help="Epochs of training in each block; 4 is good.")]
TwoSided = Annotated[
    bool, typer.Option("--two-sided", help="Feedback along outputs, too; reads the text backward.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of transforms and of places in the text.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print layers, sizes, memory and time only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def quantize(
    model: Model,
    out: Out,
    recipe: Recipe = "qtip",
    bits: Bits = 2,
    text: TextOption = "",
    samples: Samples = 0,
    context: Context = 0,
    include: Include = [],  # noqa: B006 - typer's way
    skip: Skip = [],  # noqa: B006
    partial: Partial = False,
    tune: Tune = 0,
    two_sided: TwoSided = False,
    seed: Seed = 0,
    device: Device = "",
    dry_run: Dry = False,
    as_json: AsJson = False,
) -> None:
    """Compress a model; :data:`QUANTIZE_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json, "--dry-run says what is needed, fewer --samples take less"):
        from dataclasses import replace

        from quincunx._errors import need_extra

        need_extra("transformers", "compression", "quincunx quantize")
        from quincunx.cli._models import folder_of, quiet
        from quincunx.compression import quantize_model
        from quincunx.compression.recipe import recipe_of

        quiet()
        chosen = replace(recipe_of(recipe), tune=tune)
        if two_sided:
            chosen = replace(chosen, rounding="two-sided")
        options: dict[str, Any] = {
            "bits": bits,
            "texts": text or None,
            "samples": samples or None,
            "context": context or None,
            "include": include,
            "skip": skip,
            "partial": partial,
            "seed": seed,
            "device": device or None,
        }
        if dry_run:
            from quincunx.compression.preview import preview

            _show_preview(preview(folder_of(model), chosen, output=out, **options), as_json)
            return
        from quincunx.cli._progress import Bar

        with Bar(out) as bar:
            report = quantize_model(
                folder_of(model), chosen, output=out, report=bar.update, **options
            )
        if _first_process():
            _show(report, out, as_json)


def _first_process() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def _show(report: "Report", out: str, as_json: bool) -> None:
    """Print what was done."""
    from quincunx.cli._console import make_console, print_note, print_pairs

    if as_json:
        import json

        typer.echo(json.dumps({**report.to_json(), "seconds": report.stats["seconds"]}, indent=1))
        return
    console = make_console()
    text = report.calibration
    print_pairs(
        console,
        [
            ("layers", f"{len(report.layers)}, {report.weights:,} weights"),
            ("bits a weight", f"{report.bits_per_weight:.3f}, with scales and the like"),
            ("outputs' error", f"{report.relative_loss:.2%} of their squares, mean of layers"),
            ("calibrated on", f"{text['source']}, {text['samples']} x {text['context']} tokens"),
            ("took", f"{report.stats['seconds']:.1f} s"),
            ("written to", out),
        ],
    )
    cold = [layer.name for layer in report.layers if not layer.tokens]
    if cold:
        print_note(
            console,
            f"{len(cold)} layers saw no token of the text, such as {cold[0]}; they were rounded as "
            f"if all inputs counted alike. More text helps (--samples).",
        )
    console.print(f"Next: quincunx evaluate {out} --original MODEL")


def _show_preview(found: "Preview", as_json: bool) -> None:
    """Print what would be done."""
    from quincunx.cli._console import bytes_of, make_console, print_pairs, print_table

    if as_json:
        import json

        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    console = make_console()
    rows = [
        (row.pattern, str(row.count), " x ".join(map(str, row.shape)), f"{row.weights:,}")
        for row in found.rows
    ]
    print_table(console, ["layers", "of them", "out x in", "weights"], rows, right=(1, 2, 3))
    print_pairs(
        console,
        [
            ("weights to compress", f"{found.weights:,} of {found.whole:,}"),
            ("size", f"{bytes_of(found.bytes_before)} to about {bytes_of(found.bytes_after)}"),
            ("memory", f"about {bytes_of(found.memory)} above what Python and torch take"),
            ("disk", f"{bytes_of(found.disk)} of hidden states while it runs"),
            ("time", f"about {found.seconds / 60:.1f} min, by a trial of one layer"),
        ],
    )
