"""What a command asks for: its options, read and checked before any work."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quincunx.cli._names import parse_names, parse_states

if TYPE_CHECKING:
    from quincunx.solvers import Conic


@dataclass(frozen=True, slots=True)
class Request:
    """The options of ``quincunx infer``.

    Attributes:
        queries: the variables of each query; none: every single variable.
        given: states to condition on, by variable.
        assume: states to make certain, by variable.
        gamma: the trade-off; None: the model's own meaning, or the limit.
        limit: whether the limit 0+ was asked for.
        tolerance: the certified gap asked for, in nats.
        time_limit: seconds; None: no limit.
        engine: the engine for cone programs; None: the method is chosen.
        bounds: whether the range over all that fit the tables best was asked for.
        most_probable: whether the most probable joint state was.
        sample: how many samples; None: none.
        seed: of the samples.
    """

    queries: tuple[tuple[str, ...], ...]
    given: Mapping[str, str]
    assume: Mapping[str, str]
    gamma: float | None
    limit: bool
    tolerance: float
    time_limit: float | None
    engine: str | None
    bounds: bool = False
    most_probable: bool = False
    sample: int | None = None
    seed: int = 0

    def solver(self) -> "Conic | None":
        """Return the method that the options name, None where it is left to be chosen.

        Raises:
            ModelError: there is no such engine.
        """
        from quincunx.solvers import Conic

        return None if self.engine is None else Conic(engine=self.engine)  # type: ignore[arg-type]


def parse_request(
    query: Iterable[str] | None,
    given: Iterable[str] | None,
    assume: Iterable[str] | None,
    gamma: str | None,
    tolerance: str,
    time_limit: str | None,
    engine: str | None,
    bounds: bool = False,
    most_probable: bool = False,
    sample: str | None = None,
    seed: str | None = None,
) -> Request:
    """Read the options as they were typed.

    Raises:
        ModelError: an option is not of its form, or two do not go together; the message names them.
    """
    if bounds and gamma is None:
        gamma = "0"
    limit = gamma is not None and gamma.strip() == "0+"
    request = Request(
        queries=tuple(parse_names(text, "--query") for text in query or ()),
        given=parse_states(given or (), "--given"),
        assume=parse_states(assume or (), "--assume"),
        gamma=None if gamma is None or limit else _number(gamma, "--gamma", "a number or 0+"),
        limit=limit,
        tolerance=_number(tolerance, "--tolerance", "a number of nats"),
        time_limit=None if time_limit is None else _number(time_limit, "--time-limit", "seconds"),
        engine=engine,
        bounds=bounds,
        most_probable=most_probable,
        sample=None if sample is None else _whole(sample, "--sample"),
        seed=0 if seed is None else _whole(seed, "--seed"),
    )
    request.solver()
    _check_together(request, seed is not None)
    return request


def _check_together(request: Request, seeded: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        ModelError: the message says which, and what to leave out.
    """
    from quincunx._errors import ModelError

    asked = {
        "--query": bool(request.queries),
        "--bounds": request.bounds,
        "--most-probable": request.most_probable,
        "--sample": request.sample is not None,
    }
    named = [option for option, here in asked.items() if here]
    if len(named) > 1 and named != ["--query", "--bounds"]:
        raise ModelError(
            f"{' and '.join(named)} are different questions; ask one at a time (--bounds goes with "
            "--query)"
        )
    if seeded and request.sample is None:
        raise ModelError("--seed is for --sample; give the number of samples, or leave it out")
    if request.bounds and request.gamma:
        raise ModelError(
            f"--bounds is about gamma = 0, where many distributions can be optimal; at "
            f"{request.gamma:g} one is. Leave --gamma out, or give 0 or 0+"
        )


def _whole(text: str, option: str) -> int:
    from quincunx._errors import ModelError

    if not text.strip().isdecimal():
        raise ModelError(f"{option} {text!r}: expected a whole number")
    return int(text)


def _number(text: str, option: str, wanted: str) -> float:
    from quincunx._errors import ModelError

    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ModelError(f"{option} {text!r}: expected {wanted}")
    return number
