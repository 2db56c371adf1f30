"""``quincunx infer``: a model's file in, its inconsistency and the probabilities asked for out."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from quincunx.cli._report import Report
from quincunx.cli._request import Request

if TYPE_CHECKING:
    from quincunx.graphs import PDG, BayesianNetwork, FactorGraph
    from quincunx.solvers import Bounds, Inference, Plan

    Model: TypeAlias = "PDG | BayesianNetwork | FactorGraph"

PATIENCE = 10.0  # seconds after Ctrl-C for a solver to end with the best it has

INFER_HELP = """Answer queries about a model, with its inconsistency and how far that is proved.

[bold]Questions[/bold]
  A comma asks for a joint distribution; a second --query is a second
  question. Without --query come the probabilities of single variables.
  [cyan]quincunx infer clinic.bif --query lung --query tub,bronc[/cyan]

[bold]Evidence[/bold]
  --given conditions the answer on what happened. --assume makes it
  certain first and solves anew: another question where beliefs conflict,
  the same in a Bayesian network.
  [cyan]quincunx infer clinic.bif --query lung --given asia=yes,dysp=yes[/cyan]
  [cyan]quincunx infer weather.json --query rain --assume umbrella=yes[/cyan]

[bold]Joint states[/bold]
  --most-probable prints the likeliest state of all variables together,
  which need not be the likeliest of each; --sample draws such states.
  Both may be given evidence.
  [cyan]quincunx infer clinic.bif --most-probable --given dysp=yes[/cyan]
  [cyan]quincunx infer clinic.bif --sample 1000 --seed 1 --csv > drawn.csv[/cyan]

[bold]Bounds[/bold]
  At gamma = 0 many distributions can fit the tables best. --bounds shows
  the least and the largest probability over all of them: what the
  tables alone settle, and what they leave open.
  [cyan]quincunx infer weather.json --bounds --query umbrella,picnic[/cyan]

[bold]Names[/bold]
  States are matched as they are written in the file. Put a name or state
  that contains a comma, an equals sign, a quote or a backslash in double
  quotes, or a backslash before each of these, inside the shell's quotes.
  [cyan]quincunx infer trip.json --query '"cost, total"' --given 'note=a\\=b'[/cyan]

[bold]Gamma[/bold]
  How much structure counts against tables. Left out: the model's own
  meaning, which is the distribution of a network and the limit 0+ of a
  PDG. 0: any distribution that fits the tables best. --describe tells
  the largest gamma of the convex regime; above it comes a local optimum,
  with a bound on how much lower the global one can be.
  [cyan]quincunx infer weather.json --gamma 0.5[/cyan]

[bold]What clashes[/bold]
  --blame splits the inconsistency into what each arc gives up for the
  compromise, the largest first. A hard arc (beta infinite) gives up
  nothing; its price says what its certainty costs the others.
  [cyan]quincunx infer weather.json --blame[/cyan]

[bold]Pictures[/bold]
  --plot draws the graph, its arcs coloured by blame, beside the
  probabilities; --plot-tree the clusters that the cost comes from (with
  --describe, before any solving); --plot-gamma the inconsistency, and
  the queries, from the limit 0+ on. The file's name ends with .svg,
  .png or .pdf. Install matplotlib with: pip install 'quincunx\\[plots]'
  [cyan]quincunx infer weather.json --query rain --plot weather.svg[/cyan]

[bold]For programs[/bold]
  --json prints one object; infinities are the strings "inf" and "-inf",
  what is no number is null. --csv prints, in UTF-8 with decimal points,
  the columns query, state_1, state_2, ..., probability: a row for each
  entry of each answer, with as many states as the longest query needs.
  --bounds adds lower and upper; joint states have a column a variable.
  [cyan]quincunx infer clinic.bif --csv > probabilities.csv[/cyan]

[bold]Exit codes[/bold]
  0 answered; 1 no answer, or none within the limits (contradiction, not
  convex, time limit, impossible evidence); 2 bad input; 130 interrupted,
  with the best answer so far where there is one.
"""

File = Annotated[
    str, typer.Argument(metavar="FILE", help="The model: .bif, .uai, .json or .csv, also with .gz.")
]
Query = Annotated[
    list[str] | None,
    typer.Option("--query", "-q", metavar="A,B", help="Variables to ask about; may be repeated."),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--given", "-e", metavar="C=c", help="Condition the answer; may be repeated."),
]
Assume = Annotated[
    list[str] | None,
    typer.Option("--assume", metavar="C=c", help="Make certain, then solve; may be repeated."),
]
Gamma = Annotated[
    str | None,
    typer.Option(
        "--gamma", "-g", metavar="G", help="A number, or 0+ for the limit. Left out: see above."
    ),
]
Tolerance = Annotated[
    str, typer.Option("--tolerance", metavar="NATS", help="The certified gap asked for.")
]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="SECONDS", help="Stop the solver after this.")
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Solve by cone programs with clarabel, cvxpy or mosek. Left out: chosen.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, errors too.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print rows for a spreadsheet.")]
Ranges = Annotated[
    bool, typer.Option("--bounds", help="Print ranges over all that fit best, at gamma = 0.")
]
MostProbable = Annotated[
    bool, typer.Option("--most-probable", help="Print the likeliest state of all variables.")
]
Sample = Annotated[
    str | None, typer.Option("--sample", metavar="N", help="Draw N states of all variables.")
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="S", help="Draw others. Left out: 0.")]
Blame = Annotated[
    bool, typer.Option("--blame", help="Print each arc's share of the inconsistency.")
]
Plot = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="Draw the graph and the answers.")
]
PlotTree = Annotated[
    str | None, typer.Option("--plot-tree", metavar="FILE", help="Draw the cluster tree.")
]
PlotGamma = Annotated[
    str | None,
    typer.Option("--plot-gamma", metavar="FILE", help="Draw the inconsistency along gamma."),
]
Describe = Annotated[
    bool, typer.Option("--describe", help="Print size, memory and method; solve nothing.")
]


def infer(
    file: File,
    query: Query = None,
    given: Given = None,
    assume: Assume = None,
    gamma: Gamma = None,
    tolerance: Tolerance = "1e-8",
    time_limit: TimeLimit = None,
    engine: Engine = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    describe: Describe = False,
    blame: Blame = False,
    plot: Plot = None,
    plot_tree: PlotTree = None,
    plot_gamma: PlotGamma = None,
    bounds: Ranges = False,
    most_probable: MostProbable = False,
    sample: Sample = None,
    seed: Seed = None,
) -> None:
    """Read a model, solve it, and print what was asked; :data:`INFER_HELP` is the user's text."""
    from quincunx.cli._failures import INTERRUPTED, NO_ANSWER, fail, reported

    with reported(as_json):
        from quincunx._errors import ModelError
        from quincunx._types import Status
        from quincunx.cli._plot import Plots, check_plots, save_answer, save_tree
        from quincunx.cli._request import parse_request
        from quincunx.graphs import read

        if as_csv and (as_json or describe):
            raise ModelError("--csv goes with neither --json nor --describe; leave one of them out")
        if blame and (as_csv or describe):
            raise ModelError("--blame goes with neither --csv nor --describe; try it with --json")
        request = parse_request(
            query,
            given,
            assume,
            gamma,
            tolerance,
            time_limit,
            engine,
            bounds=bounds,
            most_probable=most_probable,
            sample=sample,
            seed=seed,
        )
        plots = Plots(plot, plot_tree, plot_gamma)
        check_plots(plots, describe)
        model = read(file)
        _check_names(model, request)
        if plots.tree is not None:
            save_tree(_plan(model, request).tree, plots.tree)
        if describe:
            _describe(file, model, request, as_json)
            return
        answer = _solve(model, request)
        if answer.beliefs is None:
            message = answer.message or answer.status.value
            raise fail(answer.status.name, message, NO_ANSWER, as_json)
        report = _report(file, model, request, answer, blame)
        notes = save_answer(report, request, plots)
        _show(report, "json" if as_json else "csv" if as_csv else "")
        for note in notes:
            typer.echo(note, err=True)
        if answer.status is Status.INTERRUPTED:
            raise typer.Exit(INTERRUPTED)
        if answer.status in (Status.TIME_LIMIT, Status.INACCURATE):
            raise typer.Exit(NO_ANSWER)


def _check_names(model: "Model", request: Request) -> None:
    """Refuse unknown names and states before any work.

    Raises:
        UnknownNameError: a variable or state does not exist.
        ModelError: a query names a variable twice.
    """
    from quincunx._errors import ModelError

    for names in request.queries:
        for name in names:
            model.variable(name)
        if len(set(names)) < len(names):
            raise ModelError(f"a query names each variable once; got {', '.join(names)}")
    for states in (request.given, request.assume):
        for name, state in states.items():
            model.variable(name).index(state)


def _at_gamma(model: "Model", request: Request) -> "Model":
    """Return the model for which ``gamma=None`` means what was asked for."""
    from quincunx.graphs import PDG

    # Of a network None means its own distribution; here the limit was asked for in so many words.
    return model.to_pdg() if request.limit and not isinstance(model, PDG) else model


def _plan(model: "Model", request: Request) -> "Plan":
    from quincunx.solvers import plan

    return plan(
        _at_gamma(model, request),
        gamma=request.gamma,
        solver=request.solver(),
        assume=request.assume,
    )


def _solve(model: "Model", request: Request) -> "Inference":
    from quincunx.cli._waiting import wait_for
    from quincunx.solvers import infer as solve

    return wait_for(
        lambda progress: solve(
            _at_gamma(model, request),
            gamma=request.gamma,
            solver=request.solver(),
            tolerance=request.tolerance,
            time_limit=request.time_limit,
            throw=False,
            assume=request.assume,
            progress=progress,
        ),
        "Solving",
        PATIENCE,
    )


def _report(
    file: str, model: "Model", request: Request, answer: "Inference", blame: bool
) -> Report:
    """Answer the queries, conditioning once."""
    from quincunx.cli._joint_states import find_joint_states

    assert answer.beliefs is not None
    beliefs = answer.beliefs.condition(request.given)
    queries = request.queries or tuple((v.name,) for v in model.variables)
    return Report(
        file=file,
        model=model,
        answer=answer,
        given=request.given,
        assume=request.assume,
        own=request.gamma is None and not request.limit,
        asked=bool(request.queries),
        tables=tuple(beliefs.marginal(names) for names in queries),
        blame=answer.blame() if blame else None,
        bounds=_bounds(answer, queries, request) if request.bounds else (),
        joint=find_joint_states(beliefs, request),
    )


def _bounds(
    answer: "Inference", queries: tuple[tuple[str, ...], ...], request: Request
) -> "tuple[Bounds, ...]":
    from quincunx.cli._waiting import wait_for

    return wait_for(
        lambda progress: tuple(answer.bounds(names, request.given) for names in queries), "Bounding"
    )


def _show(report: Report, form: str) -> None:
    if form == "json":
        from quincunx.cli._machine import to_json

        typer.echo(to_json(report))
    elif form == "csv":
        from quincunx.cli._machine import to_csv

        typer.echo(to_csv(report), nl=False)
        for note in report.notes():
            typer.echo(note, err=True)
    else:
        from quincunx.cli._text import show_report

        show_report(report)


def _describe(file: str, model: "Model", request: Request, as_json: bool) -> None:
    from quincunx.cli._describe import Description
    from quincunx.cli._machine import json_lines
    from quincunx.cli._text import show_description

    work = _plan(model, request)
    own = request.gamma is None and not request.limit
    description = Description(file, model, work, own)
    if as_json:
        typer.echo(json_lines(description.to_dict()))
    else:
        show_description(description)
