"""Every error raised on purpose, each naming the value, what was wanted and a way out.

All derive from :class:`QuincunxError`, so one ``except`` catches them; the second base of each is
the built-in exception that a Python user would expect there.
"""

from importlib.util import find_spec


class QuincunxError(Exception):
    """Base of all errors raised on purpose by this library."""


class ModelError(QuincunxError, ValueError):
    """A model is malformed: a table of the wrong shape, a negative entry, a repeated name."""


class UnknownNameError(ModelError):
    """A variable or a state is not part of the model."""


class FileFormatError(QuincunxError, ValueError):
    """A file does not follow its format; the message gives the path and the line."""


class MissingExtraError(QuincunxError, ImportError):
    """An optional dependency is needed and not installed; the message gives the command."""


class SolveError(QuincunxError):
    """A solver ended without an answer; ``solution`` holds what is known, with its status.

    Raised by the verbs unless ``throw=False``, which returns ``solution`` instead.
    """

    solution: object = None


class SolveInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a solver; ``solution`` is the best answer so far, with its certified gap.

    No :class:`QuincunxError`, so that handlers of errors let the user out. ``throw=False`` returns
    the solution instead.
    """

    solution: object = None


class EngineError(SolveError):
    """An engine failed, refused the program, or is not licensed."""


class NotConvexError(SolveError, ValueError):
    """The trade-off gamma lies outside the convex regime of the model."""


class ContradictionError(SolveError, ValueError):
    """Certainties contradict each other: the inconsistency is infinite."""


class ImpossibleEventError(SolveError, ValueError):
    """A question was conditioned on an event of probability zero."""


class TooLargeError(SolveError, MemoryError):
    """The tables that the answer needs do not fit into memory."""


def need_extra(module: str, extra: str, purpose: str) -> None:
    """Raise :class:`MissingExtraError` unless ``module`` can be imported.

    Arguments:
        module: top-level module name, for example ``"cvxpy"``.
        extra: the extra of this package that installs it.
        purpose: what needs it, for the message.

    Raises:
        MissingExtraError: the module is not installed; the message names the install command.
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{purpose} needs {module}, which is not installed; "
            f"install it with: pip install 'quincunx[{extra}]'"
        )
