"""``quincunx demo``: a tour of inference on models small enough to follow."""

from typing import Annotated

import typer

DEMO_HELP = """Show what the library does, on models small enough to follow. Some five minutes.

Beliefs that disagree, at several gamma, and a clash of certainties; a
medical network with and without evidence; the cluster tree on which it
is solved, also as a picture if matplotlib is installed; and, if pgmpy is
installed, the network alarm compared with pgmpy's answers. Then, with
the extra 'compression', a language model in 2 bits a weight: compressed,
compared with the original, a page about it, and a text that it writes.

  [cyan]quincunx demo[/cyan]
  [cyan]quincunx demo --folder /tmp[/cyan]    saves picture and page there
  [cyan]quincunx demo --part beliefs[/cyan]    or compression: that alone
"""

Folder = Annotated[str, typer.Option("--folder", metavar="DIR", help="Where files are saved.")]
Part = Annotated[str, typer.Option("--part", help="all, beliefs or compression.")]

PARTS = ("all", "beliefs", "compression")


def demo(folder: Folder = ".", part: Part = "all") -> None:
    """Run the tour; :data:`DEMO_HELP` is the user's text."""
    import time
    from pathlib import Path

    from quincunx.cli._failures import reported

    with reported():
        from quincunx._errors import ModelError
        from quincunx.cli._alarm import show_alarm
        from quincunx.cli._clinic import show_cluster_tree, show_posteriors
        from quincunx.cli._console import make_console, print_heading, print_pairs
        from quincunx.cli._shrunk import show_compression
        from quincunx.cli._weather import show_clash, show_evidence, show_weather

        if part not in PARTS:
            raise ModelError(f"there is no part {part!r} of the tour; use {', '.join(PARTS)}")
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; make it first")
        started = time.perf_counter()
        console = make_console()
        if part != "compression":
            print_heading(console, "1  Beliefs that disagree")
            show_weather(console)
            show_evidence(console)
            show_clash(console)
            print_heading(console, "2  A network without conflict: the chest clinic")
            show_posteriors(console)
            print_heading(console, "3  How it is solved: the cluster tree")
            show_cluster_tree(console, folder)
            print_heading(console, "4  The same numbers from another library")
            show_alarm(console)
        if part != "beliefs":
            print_heading(console, "5  A language model in 2 bits a weight")
            show_compression(console, folder)
        print_heading(console, "Next")
        print_pairs(
            console,
            [
                ("quincunx infer --help", "models of your own, from .bif, .uai, .json, .csv"),
                ("quincunx quantize --help", "language models of your own"),
                ("docs/how-to-choose.md", "which gamma, which method, what the numbers mean"),
            ],
        )
        console.print()
        console.print(f"All of this took {time.perf_counter() - started:.1f} seconds.")
