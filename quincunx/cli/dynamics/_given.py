"""What commands on dynamics share: the data set, its step, and a picture's file."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fractions import Fraction

    from quincunx.solvers.dynamics import Logistic

Data = Annotated[str, typer.Argument(metavar="DATA", help="A CSV file, a point on each line.")]
L2 = Annotated[str, typer.Option("--l2", help="The L2 term, >= 0.")]
Step = Annotated[str, typer.Option("--step", help="The step size, such as 6 or 359/50.")]
Gamma = Annotated[str, typer.Option("--gamma", help="Or the step times the sharpness.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of random starts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Picture = Annotated[str, typer.Option("-o", "--output", help="The file: .png, .svg or .pdf.")]

DIGITS = 12  # of a step that is made from gamma


def problem_of(data: str, l2: str) -> "Logistic":
    """Read a data set."""
    from quincunx.solvers.dynamics import read_points

    return read_points(data, l2=l2)


def step_of(problem: "Logistic", step: str, gamma: str) -> "Fraction":
    """Return the step that was asked for, exactly; from gamma a decimal near by.

    Raises:
        ModelError: neither or both are given, or it is not positive.
    """
    from fractions import Fraction

    from quincunx._errors import ModelError
    from quincunx.solvers.dynamics.rationals import rational

    if bool(step) == bool(gamma):
        raise ModelError("give --step or --gamma (which is the step times the sharpness), one")
    if step:
        found = rational(step, "--step")
    else:
        wanted = float(rational(gamma, "--gamma"))
        if wanted <= 0:
            raise ModelError(f"--gamma is {gamma}; give a number > 0")
        found = Fraction(f"{wanted / problem.sharpness:.{DIGITS}g}")
    if found <= 0:
        raise ModelError(f"--step is {step}; give a number > 0")
    return found


def numbers_of(text: str, what: str) -> list[str]:
    """Split numbers with commas between them."""
    from quincunx._errors import ModelError
    from quincunx.solvers.dynamics.rationals import rational

    found = [part.strip() for part in text.split(",")]
    try:
        for part in found:
            rational(part)
    except ModelError:
        raise ModelError(f"{what} is {text!r}; give numbers with commas, such as 0.5,1/3") from None
    return found


def check_picture(path: str) -> None:
    """Refuse a file that could not be written after the work."""
    import os

    from quincunx._errors import ModelError, need_extra

    need_extra("matplotlib", "plots", "a picture")
    if os.path.splitext(path)[1].lower() not in (".png", ".svg", ".pdf"):
        raise ModelError(f"--output is {path!r}; give a name that ends with .png, .svg or .pdf")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ModelError(f"--output {path}: there is no folder {folder}; make it first")


def save_picture(figure: Any, path: str) -> None:
    """Write a figure, whole or not at all."""
    import os

    from quincunx._atomic import atomic_write
    from quincunx.cli._console import make_console

    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=160)
    make_console().print(f"Written to {path}.")
