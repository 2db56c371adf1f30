"""``quincunx dynamics``: gradient descent on logistic regression, studied from the shell."""

import typer

from quincunx.cli.dynamics.construct import CONSTRUCT_HELP, construct
from quincunx.cli.dynamics.cycles import CYCLES_HELP, cycles
from quincunx.cli.dynamics.describe import DESCRIBE_HELP, describe
from quincunx.cli.dynamics.pictures import (
    BASINS_HELP,
    BIFURCATION_HELP,
    COBWEB_HELP,
    TRAJECTORY_HELP,
    basins,
    bifurcation,
    cobweb,
    trajectory,
)
from quincunx.cli.dynamics.proofs import (
    CERTIFY_HELP,
    CONVERGES_HELP,
    VERIFY_HELP,
    certify,
    converges,
    verify,
)

__all__ = ["DYNAMICS_HELP", "dynamics"]

DYNAMICS_HELP = """Study gradient descent on logistic regression: find, draw and prove cycles.

DATA is a CSV file with a point on each line, labels folded in (z = y x), or with
a header that names columns y and count.

[bold]From a data set to a theorem[/bold]
  [cyan]quincunx dynamics construct 1.5 -o data.csv[/cyan]         a data set with a cycle
  [cyan]quincunx dynamics describe data.csv[/cyan]                 minimiser, sharpness, steps
  [cyan]quincunx dynamics cycles data.csv --gamma 1.5[/cyan]       where orbits end
  [cyan]quincunx dynamics certify data.csv --gamma 1.5 -o proof.json[/cyan]
  [cyan]quincunx dynamics verify proof.json[/cyan]                 from the file alone
  [cyan]quincunx dynamics bifurcation data.csv -o out.png[/cyan]   one of four pictures

gamma is step * lambda, with lambda the sharpness at the minimiser: the minimiser
is stable up to 2, and 1 is where theory in one dimension ends to promise
convergence from everywhere.
"""

dynamics = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", add_completion=False)
dynamics.command("describe", help=DESCRIBE_HELP, no_args_is_help=True)(describe)
dynamics.command("cycles", help=CYCLES_HELP, no_args_is_help=True)(cycles)
dynamics.command("construct", help=CONSTRUCT_HELP, no_args_is_help=True)(construct)
dynamics.command("certify", help=CERTIFY_HELP, no_args_is_help=True)(certify)
dynamics.command("converges", help=CONVERGES_HELP, no_args_is_help=True)(converges)
dynamics.command("verify", help=VERIFY_HELP, no_args_is_help=True)(verify)
dynamics.command("bifurcation", help=BIFURCATION_HELP, no_args_is_help=True)(bifurcation)
dynamics.command("cobweb", help=COBWEB_HELP, no_args_is_help=True)(cobweb)
dynamics.command("basins", help=BASINS_HELP, no_args_is_help=True)(basins)
dynamics.command("trajectory", help=TRAJECTORY_HELP, no_args_is_help=True)(trajectory)
