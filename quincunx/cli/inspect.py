"""``quincunx inspect``: what a folder holds, without loading it."""

from typing import Annotated

import typer

INSPECT_HELP = """Describe a compressed model: recipe, bits, layers and their errors.

  [cyan]quincunx inspect OUT[/cyan]
  [cyan]quincunx inspect OUT --layers[/cyan]    every layer, worst first

Only its JSON files are read.
"""

Model = Annotated[str, typer.Argument(metavar="OUT", help="A folder that quantize wrote.")]
Layers = Annotated[bool, typer.Option("--layers", help="List the layers, the worst first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def inspect(model: Model, layers: Layers = False, as_json: AsJson = False) -> None:
    """Describe a folder; :data:`INSPECT_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        import json

        from quincunx.cli._console import bytes_of, make_console, print_pairs, print_table
        from quincunx.compression.described import described

        found = described(model)
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=1))
            return
        console = make_console()
        pairs = [
            ("model", f"{found.model_type}, {found.weights:,} weights compressed"),
            ("recipe", f"{found.recipe}, {found.bits:g} bits"),
            ("files", bytes_of(found.bytes)),
            ("left as they are", ", ".join(found.kept) or "nothing"),
        ]
        if found.text is not None:
            pairs += [
                ("bits a weight", f"{found.stored_bits:.3f}, with scales and the like"),
                ("calibrated on", found.text),
                ("outputs' error", f"{found.relative_loss:.2%}, mean of layers"),
            ]
        print_pairs(console, pairs)
        if layers:
            rows = [
                (n["name"], f"{n['bits']:g}", f"{n['relative_loss']:.3%}")
                for n in sorted(found.layers, key=lambda n: -n["relative_loss"])
            ]
            print_table(console, ["layer", "bits", "relative loss"], rows, right=(1, 2))
