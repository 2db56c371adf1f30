"""What went wrong, for a person and for a program: one message and an exit code, no traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

BAD_INPUT = 2
NO_ANSWER = 1
INTERRUPTED = 130  # what shells use for Ctrl-C: 128 and the signal's number
DESCRIBE = "try --describe for what the model needs"
TRACEBACK = "QUINCUNX_TRACEBACK"  # environment variable; not empty: unforeseen errors are raised


@contextmanager
def reported(as_json: bool = False, advice: str = DESCRIBE) -> Iterator[None]:
    """Turn exceptions of the block into a message on stderr and an exit code.

    Bad input ends with code 2, a solver without an answer with 1, Ctrl-C with 130.

    Arguments:
        as_json: print the error as a JSON object on stdout too.
        advice: what may help where memory is used up.
    """
    from quincunx._errors import ImpossibleEventError, QuincunxError, SolveError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Interrupted; nothing was changed.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except ImpossibleEventError as error:
        raise fail("IMPOSSIBLE_EVENT", str(error), NO_ANSWER, as_json) from None
    except SolveError as error:
        status = getattr(error.solution, "status", None)
        raise fail(getattr(status, "name", "NO_ANSWER"), str(error), NO_ANSWER, as_json) from None
    except (QuincunxError, OSError) as error:
        raise fail("BAD_INPUT", _message(error), BAD_INPUT, as_json) from None
    except MemoryError:
        message = f"the memory of this machine is used up; {advice}"
        raise fail("TOO_LARGE", message, NO_ANSWER, as_json) from None
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
        message = (
            f"{what}. This was not foreseen; to see where it comes from, run the command again "
            f"with {TRACEBACK}=1 set"
        )
        raise fail("UNFORESEEN", message, NO_ANSWER, as_json) from None


def fail(status: str, message: str, code: int, as_json: bool) -> typer.Exit:
    """Report an error, and return the exception that ends the command."""
    if as_json:
        import json

        typer.echo(json.dumps({"status": status, "message": message}, indent=2))
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, highlight=False).print(Text.assemble(("Error: ", "bold red"), message))
    else:
        typer.echo(f"Error: {message}", err=True)
    return typer.Exit(code)


def _message(error: BaseException) -> str:
    """Say what the system reports about a file as a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
