"""The command line: one file a command, with everything of ours imported inside its function."""

import os
import signal
import sys

import typer

from quincunx.cli.demo import DEMO_HELP, demo
from quincunx.cli.distill import DISTILL_HELP, distill
from quincunx.cli.dynamics import DYNAMICS_HELP, dynamics
from quincunx.cli.evaluate import EVALUATE_HELP, evaluate
from quincunx.cli.generate import GENERATE_HELP, generate
from quincunx.cli.infer import INFER_HELP, infer
from quincunx.cli.inspect import INSPECT_HELP, inspect
from quincunx.cli.quantize import QUANTIZE_HELP, quantize

__all__ = ["app", "main"]

HELP = """Answer questions about models made of conditional probabilities, also when these
contradict each other, and say with each answer how far it is proved; compress language models
to a few bits a weight; and study how gradient descent moves.

[bold]Start here[/bold]
  [cyan]quincunx demo[/cyan]                          a tour of a few minutes
  [cyan]quincunx infer model.json[/cyan]              all probabilities
  [cyan]quincunx infer model.json --query A[/cyan]    those of A
  [cyan]quincunx infer model.json --describe[/cyan]   size and method only
  [cyan]quincunx quantize MODEL OUT --bits 2[/cyan]   a language model in 2 bits
  [cyan]quincunx dynamics[/cyan]                      cycles of gradient descent, with proofs

Each command explains itself: quincunx infer --help
"""

app = typer.Typer(
    name="quincunx",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("infer", help=INFER_HELP, no_args_is_help=True)(infer)
app.command("quantize", help=QUANTIZE_HELP, no_args_is_help=True)(quantize)
app.command("distill", help=DISTILL_HELP, no_args_is_help=True)(distill)
app.command("evaluate", help=EVALUATE_HELP, no_args_is_help=True)(evaluate)
app.command("generate", help=GENERATE_HELP, no_args_is_help=True)(generate)
app.command("inspect", help=INSPECT_HELP, no_args_is_help=True)(inspect)
app.add_typer(dynamics, name="dynamics", help=DYNAMICS_HELP)
app.command("demo", help=DEMO_HELP)(demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from quincunx import __version__

        typer.echo(f"quincunx {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line with the arguments of this process, and end the process."""
    if hasattr(signal, "SIGPIPE"):
        # As any filter: end without a word when a reader such as `head` has had enough.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name in a model may have letters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    if code != 130:
        sys.exit(code)  # type: ignore[arg-type]
    # A solver may still be at work in its thread, and the interpreter would wait for it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130)
