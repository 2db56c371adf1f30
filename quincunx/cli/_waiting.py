"""Waiting for a solver: it works in a thread, so that Ctrl-C ends the wait at once."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

QUIET = 0.7  # seconds before anything is shown: most solves end sooner
TICK = 0.1


def wait_for(work: Callable[[Callable[[str], None]], T], what: str) -> T:
    """Run ``work`` in a thread, showing what it reports and for how long it has run.

    Arguments:
        work: called with a function that takes short lines about the progress.
        what: what is being done, in a word or two.

    Returns:
        What ``work`` returns; its exception is raised here.
    """
    lines = [""]
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(lines.append))
        except BaseException as error:
            errors.append(error)

    started = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(QUIET)
    if thread.is_alive() and sys.stderr.isatty():
        _show(thread, started, lines, what)
    while thread.is_alive():
        thread.join(TICK)  # in short steps: on some systems a longer wait holds Ctrl-C back
    if errors:
        raise errors[0]
    return results[0]


def _show(thread: threading.Thread, started: float, lines: list[str], what: str) -> None:
    from rich.console import Console

    console: Any = Console(stderr=True)
    with console.status(what) as status:
        while thread.is_alive():
            seconds = time.monotonic() - started
            detail = f"  {lines[-1]}" if lines[-1] else ""
            status.update(f"{what}  [dim]{seconds:.0f} s{detail}  (Ctrl-C to stop)[/dim]")
            thread.join(TICK)
