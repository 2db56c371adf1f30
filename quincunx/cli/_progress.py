"""A bar for long work, on stderr where that is a terminal."""

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from quincunx.compression import Progress


class Bar:
    """Shows how far a compression is, and what Ctrl-C leaves behind."""

    def __init__(self, out: str) -> None:
        """Keep the name of what is written."""
        self.out = out
        self.progress: Any = None
        self.task: Any = None

    def __enter__(self) -> "Bar":
        """Begin to draw."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.progress = Progress(
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %"),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self.progress.start()
            self.task = self.progress.add_task("reading text", total=None)
        return self

    def update(self, now: "Progress") -> None:
        """Draw anew."""
        if self.progress is not None:
            self.progress.update(
                self.task, completed=now.weights, total=now.total, description=now.doing
            )

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End to draw; after Ctrl-C say how to go on."""
        if self.progress is not None:
            self.progress.stop()
        if kind is KeyboardInterrupt:
            typer.echo(
                f"Interrupted. Finished blocks are in {self.out}.partial: the same command goes "
                f"on from there.",
                err=True,
            )
            raise typer.Exit(130)
