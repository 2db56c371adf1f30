"""The demonstration's first part: reports of the weather that disagree."""

from rich.console import Console
from rich.text import Text

from quincunx.cli._console import PROSE, figure, print_prose, print_table

GAMMAS: tuple[float | None, ...] = (0.0, None, 0.1, 0.5, 1.0)


def show_weather(console: Console) -> None:
    """Solve the small graph at several gamma, and say what the numbers mean."""
    from quincunx.graphs.examples import weather
    from quincunx.solvers import infer

    print_prose(
        console,
        """The forecast gives rain 30 %, the barometer 60 %. When it rains most people take an
        umbrella (80 %, else 10 %) and few have a picnic (5 %, else 50 %). Four beliefs, four
        arcs of a probabilistic dependency graph; two of them cannot both be true.""",
    )
    rows = []
    for gamma in GAMMAS:
        answer = infer(weather(), gamma=gamma)
        both = answer.query(["umbrella", "picnic"]).select({"umbrella": "yes", "picnic": "yes"})
        rows.append(
            [
                "0+" if gamma is None else f"{gamma:g}",
                f"{answer.inconsistency:.6f}",
                f"{answer.gap:.0e}",
                *(
                    f"{answer.query(v).to_dict()['yes']:.4f}"
                    for v in ("rain", "umbrella", "picnic")
                ),
                f"{float(both.values):.4f}",
            ]
        )
    headings = ["gamma", "inconsistency", "gap", "rain", "umbrella", "picnic", "umbrella+picnic"]
    print_table(console, headings, rows, right=range(7))
    console.print()
    print_prose(
        console,
        """The inconsistency, in nats, is zero exactly if one distribution has all the tables; here
        0.0954 is the price of the best compromise. The true optimum is proved to lie within the
        gap below it. The other columns are probabilities of yes.""",
    )
    print_prose(
        console,
        """Gamma weighs structure against tables. Near 0 only the tables count: the odds of rain are
        the geometric mean of the two reports (0.4450). Each report also claims to settle the rain
        on its own, and the more that claim counts, the more the two are taken as independent
        witnesses: at gamma = 1 their odds are multiplied (0.3913), and the score includes gamma
        times the information deficiency.""",
    )
    print_prose(
        console,
        """At gamma = 0 exactly, the beliefs say nothing on whether umbrella and picnic go together,
        so the last number of that row is one of many that fit. The limit 0+ settles it by
        structure: they depend on each other through the rain only.""",
    )


def show_evidence(console: Console) -> None:
    """Show that conditioning and assuming are two questions."""
    from quincunx.graphs.examples import weather
    from quincunx.solvers import infer

    free = infer(weather())
    held = infer(weather(), assume={"umbrella": "yes"})
    given = free.query("rain", {"umbrella": "yes"}).to_dict()["yes"]
    rows = [
        ["nothing", figure(free.query("rain").to_dict()["yes"]), f"{free.inconsistency:.6f}"],
        ["--given umbrella=yes", figure(given), f"{free.inconsistency:.6f}"],
        [
            "--assume umbrella=yes",
            figure(held.query("rain").to_dict()["yes"]),
            f"{held.inconsistency:.6f}",
        ],
    ]
    print_table(console, ["evidence", "rain = yes", "inconsistency"], rows, right=(1, 2))
    console.print()
    print_prose(
        console,
        """--given conditions the compromise on what happened in it. --assume holds it for certain
        before the compromise is made: one more source that the others have to live with, and
        the inconsistency tells how badly they do.""",
    )


def show_clash(console: Console) -> None:
    """Show the error that certainties get which cannot all hold."""
    from quincunx._errors import ContradictionError
    from quincunx.graphs.examples import weather_clash
    from quincunx.solvers import infer

    print_prose(
        console,
        """Now three sources are certain: the clouds mean rain, the umbrella goes out exactly when
        it rains, and the umbrella is in its stand. No compromise is left, and the error names
        those three and not the forecast:""",
    )
    try:
        infer(weather_clash())
    except ContradictionError as error:
        message = Text.assemble((f"{type(error).__name__}: ", "bold red"), str(error))
        console.print(message, width=min(console.width, PROSE))
        console.print()
