"""``quincunx dynamics bifurcation``, ``cobweb``, ``basins`` and ``trajectory``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from quincunx.cli.dynamics._given import L2, Data, Gamma, Picture, Seed, Step

if TYPE_CHECKING:
    from quincunx.solvers.dynamics import Logistic

Report: TypeAlias = Callable[[str], None]

BIFURCATION_HELP = """Draw where orbits end against the step (extra plots).

  [cyan]quincunx dynamics bifurcation data.csv -o out.png[/cyan]
  [cyan]quincunx dynamics bifurcation data.csv -o out.png --from 1.9 --to 2.9[/cyan]

Each start has its colour: attractors that exist side by side are seen.
"""

COBWEB_HELP = """Draw the map of the line, and an orbit between its graph and the diagonal.

  [cyan]quincunx dynamics cobweb data.csv --gamma 2.7 --start 0.1 -o out.png[/cyan]
"""

BASINS_HELP = """Draw which cycle each starting point converges to.

  [cyan]quincunx dynamics basins data.csv --gamma 0.9 --low -4,-4 --high 4,4 -o out.png[/cyan]

In one dimension the horizontal axis is the step, from half of it to half more.
"""

TRAJECTORY_HELP = """Draw loss, sharpness and distance along a run (edge of stability, catapults).

  [cyan]quincunx dynamics trajectory data.csv --gamma 1.9 --start 5 -o out.png[/cyan]
"""

From = Annotated[float, typer.Option("--from", help="The least gamma.")]
To = Annotated[float, typer.Option("--to", help="The largest gamma.")]
Steps = Annotated[int, typer.Option("--steps", help="How many steps to show.")]
Iterations = Annotated[int, typer.Option("--iterations", min=1, help="Of an orbit.")]
Coordinate = Annotated[int, typer.Option("--coordinate", help="Which number is drawn, from 0.")]
StartGiven = Annotated[str, typer.Option("--start", help="Where the run begins, such as 0.5,1/3.")]
Low = Annotated[str, typer.Option("--low", help="A corner of the box of starts.")]
High = Annotated[str, typer.Option("--high", help="The opposite corner.")]
Resolution = Annotated[int, typer.Option("--resolution", min=2, help="Starts along an axis.")]


def bifurcation(
    data: Data,
    output: Picture,
    first: From = 0.5,
    last: To = 3.0,
    steps: Steps = 1200,
    iterations: Iterations = 2000,
    coordinate: Coordinate = 0,
    seed: Seed = 0,
    l2: L2 = "0",
) -> None:
    """Draw the diagram; :data:`BIFURCATION_HELP` is the user's text."""

    def made(problem: "Logistic", report: Report) -> Any:
        from quincunx._errors import ModelError
        from quincunx.solvers.dynamics import bifurcation as draw

        if not 0 < first < last < 1e9 or steps < 2:
            raise ModelError(
                f"--from, --to and --steps are {first}, {last} and {steps}; give 0 < from < to and "
                f"at least 2 steps"
            )
        return draw(
            problem,
            _evenly(first / problem.sharpness, last / problem.sharpness, steps),
            iterations=iterations,
            coordinate=coordinate,
            seed=seed,
            report=lambda done, whole: report(f"{done} of {whole} orbits"),
        )

    _drawn(output, data, l2, made)


def cobweb(
    data: Data,
    output: Picture,
    start: StartGiven,
    step: Step = "",
    gamma: Gamma = "",
    iterations: Iterations = 60,
    l2: L2 = "0",
) -> None:
    """Draw a cobweb; :data:`COBWEB_HELP` is the user's text."""

    def made(problem: "Logistic", report: Report) -> Any:
        from quincunx.cli.dynamics._given import step_of
        from quincunx.solvers.dynamics import cobweb as draw

        exact, point = float(step_of(problem, step, gamma)), _point(start, problem.dimension)
        return draw(problem, exact, point, iterations=iterations)

    _drawn(output, data, l2, made)


def basins(
    data: Data,
    output: Picture,
    low: Low,
    high: High,
    step: Step = "",
    gamma: Gamma = "",
    resolution: Resolution = 200,
    iterations: Iterations = 20_000,
    l2: L2 = "0",
) -> None:
    """Draw basins; :data:`BASINS_HELP` is the user's text."""

    def made(problem: "Logistic", report: Report) -> Any:
        from quincunx.cli.dynamics._given import step_of
        from quincunx.solvers.dynamics import basins as draw

        d, exact = problem.dimension, float(step_of(problem, step, gamma))
        return draw(
            problem,
            exact if d > 1 else _evenly(0.5 * exact, 1.5 * exact, resolution),
            _point(low, d),
            _point(high, d),
            resolution=resolution,
            iterations=iterations,
            report=lambda done, whole: report(f"{done} of {whole} steps"),
        )

    _drawn(output, data, l2, made)


def trajectory(
    data: Data,
    output: Picture,
    start: StartGiven,
    step: Step = "",
    gamma: Gamma = "",
    iterations: Iterations = 300,
    l2: L2 = "0",
) -> None:
    """Draw a run; :data:`TRAJECTORY_HELP` is the user's text."""

    def made(problem: "Logistic", report: Report) -> Any:
        from quincunx.cli.dynamics._given import step_of
        from quincunx.solvers.dynamics import trajectory as draw

        exact, point = float(step_of(problem, step, gamma)), _point(start, problem.dimension)
        return draw(problem, exact, point, iterations=iterations)

    _drawn(output, data, l2, made)


def _drawn(output: str, data: str, l2: str, made: Callable[["Logistic", Report], Any]) -> None:
    """Read the data, draw, and write the picture; nothing is computed that could not be written."""
    from quincunx.cli._failures import reported

    with reported():
        from quincunx.cli._waiting import wait_for
        from quincunx.cli.dynamics._given import check_picture, problem_of, save_picture

        check_picture(output)
        problem = problem_of(data, l2)
        save_picture(wait_for(lambda report: made(problem, report), "following orbits"), output)


def _evenly(low: float, high: float, count: int) -> list[float]:
    """Return numbers from low to high."""
    return [low + (high - low) * k / max(count - 1, 1) for k in range(count)]


def _point(text: str, dimension: int) -> list[float]:
    """Return a point of so many numbers.

    Raises:
        ModelError: there are more or fewer.
    """
    from quincunx._errors import ModelError
    from quincunx.cli.dynamics._given import numbers_of
    from quincunx.solvers.dynamics.rationals import rational

    found = [float(rational(part)) for part in numbers_of(text, "the point")]
    if len(found) != dimension:
        raise ModelError(f"the point {text} has {len(found)} numbers; the data have {dimension}")
    return found
