"""``quincunx dynamics construct``: a data set on which gradient descent cycles."""

from typing import Annotated

import typer

from quincunx.cli.dynamics._given import AsJson

CONSTRUCT_HELP = """Make a data set on which gradient descent has a stable cycle at a given gamma.

  [cyan]quincunx dynamics construct 1.5 -o data.csv[/cyan]                 in one dimension
  [cyan]quincunx dynamics construct 1.1 --family tail[/cyan]               three points
  [cyan]quincunx dynamics construct 0.5 --dimension 2 -o data.csv[/cyan]   far below 1

In one dimension gamma must lie between 1 and 2, since below 1 every run
converges; in more dimensions between 0 and 2.
"""

GammaGiven = Annotated[str, typer.Argument(metavar="GAMMA", help="The step times the sharpness.")]
Dimension = Annotated[int, typer.Option("--dimension", help="Of the points.")]
Family = Annotated[str, typer.Option("--family", help="Which construction; empty: the usual.")]
Output = Annotated[str, typer.Option("-o", "--output", help="A CSV file for the points.")]


def construct(
    gamma: GammaGiven,
    dimension: Dimension = 1,
    family: Family = "",
    output: Output = "",
    as_json: AsJson = False,
) -> None:
    """Make a data set; :data:`CONSTRUCT_HELP` is the user's text."""
    from quincunx.cli._failures import reported

    with reported(as_json):
        import json

        from quincunx.cli._console import make_console
        from quincunx.solvers.dynamics import construct as make
        from quincunx.solvers.dynamics import write_points
        from quincunx.solvers.dynamics.rationals import rational, written

        found = make(float(rational(gamma, "GAMMA")), dimension, family=family or None)
        if output:
            write_points(output, found.problem)
        if as_json:
            exact = found.problem.exact
            facts = {
                "points": [[written(v) for v in z] for z in exact.points],
                "multiplicities": [written(c) for c in exact.weights],
                "step": written(found.step),
                "cycle": found.cycle.points.tolist(),
                "multipliers": [[m.real, m.imag] for m in found.cycle.multipliers.tolist()],
            }
            typer.echo(json.dumps(facts, indent=1))
            return
        console = make_console()
        console.print(str(found))
        if output:
            console.print(f"Points written to {output}; the step is {written(found.step)}.")
