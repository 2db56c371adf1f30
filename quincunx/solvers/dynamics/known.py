"""Data on which gradient descent is known to cycle, with the figures to check against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quincunx.solvers.dynamics.cycles import Cycle, cycle_from
from quincunx.solvers.dynamics.logistic import Logistic

__all__ = ["CONTROLS", "KNOWN", "Known"]

Row = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A cycle, or for a control the convergence to the minimiser.

    Figures were computed in more digits than are written, but for cycles of few points in the plane
    whose gamma is not 0.899: those are from double precision.

    Attributes:
        name: in words.
        points: rows of d numbers; decimals are strings, so that they are exact.
        multiplicities: how often each row counts.
        step: a decimal, or None where the step is gamma over the sharpness.
        gamma: the step times the sharpness.
        period: of the cycle; 1 for a control.
        start: [d], a point of the cycle; for a control, where to start from.
        multipliers: those of the cycle, or for a period over 2 in the plane their sum and product
            where only these are known; empty where none is.
        proved: whether the cycle was proved in interval arithmetic outside this library.
    """

    name: str
    points: tuple[Row, ...]
    multiplicities: tuple[int, ...]
    step: str | None
    gamma: float
    period: int
    start: tuple[float, ...]
    multipliers: tuple[float, ...]
    proved: bool

    def problem(self) -> Logistic:
        """Return the logistic regression."""
        return Logistic(self.points, self.multiplicities)

    def step_of(self, problem: Logistic) -> float:
        """Return the step for :meth:`problem`."""
        return float(self.step) if self.step else self.gamma / problem.sharpness

    def cycle(self) -> Cycle:
        """Return the cycle, refined from the start's orbit.

        Example:
            >>> from quincunx.solvers.dynamics.known import KNOWN
            >>> KNOWN["three points, gamma 1.9"].cycle()
            Cycle(stable, period 2, multipliers -0.0222253, through (2.10866))
        """
        problem = self.problem()
        step = self.step_of(problem)
        visited = [np.array([self.start])]
        for _ in range(self.period - 1):
            visited.append(problem.map(visited[-1], step))
        return cycle_from(problem, step, np.concatenate(visited))


KNOWN = {
    found.name: found
    for found in (
        Known(
            name="hinge kick, gamma 1.2",
            points=((1,), (-1,), (1300,)),
            multiplicities=(5100, 4900, 1),
            step=None,
            gamma=1.2,
            period=2,
            start=(0.68398175,),
            multipliers=(0.0140292,),
            proved=False,
        ),
        Known(
            name="hinge kick, gamma 1.5",
            points=((1,), (-1,), (1300,)),
            multiplicities=(5100, 4900, 1),
            step=None,
            gamma=1.5,
            period=2,
            start=(0.99962031127923,),
            multipliers=(0.083183901,),
            proved=False,
        ),
        Known(
            name="hinge kick, gamma 1.9",
            points=((1,), (-1,), (1300,)),
            multiplicities=(5100, 4900, 1),
            step=None,
            gamma=1.9,
            period=2,
            start=(1.7395093,),
            multipliers=(-0.0201854,),
            proved=False,
        ),
        Known(
            name="hinge kick, step 6",
            points=((1,), (-1,), (1300,)),
            multiplicities=(5100, 4900, 1),
            step="6",
            gamma=1.4992500749925008,
            period=2,
            start=(0.9985641192404506,),
            multipliers=(0.08308178254300304,),
            proved=True,
        ),
        Known(
            name="three points, gamma 1.2",
            points=((1,), ("-0.892",), (300,)),
            multiplicities=(1, 1, 1),
            step=None,
            gamma=1.2,
            period=2,
            start=(0.92397438545984,),
            multipliers=(-0.52677094,),
            proved=False,
        ),
        Known(
            name="three points, gamma 1.5",
            points=((1,), ("-0.7179",), (100,)),
            multiplicities=(1, 1, 1),
            step=None,
            gamma=1.5,
            period=2,
            start=(1.4996749867428,),
            multipliers=(0.62932166,),
            proved=False,
        ),
        Known(
            name="three points, gamma 1.9",
            points=((1,), ("-0.5223",), (30,)),
            multiplicities=(1, 1, 1),
            step=None,
            gamma=1.9,
            period=2,
            start=(2.1086607481173,),
            multipliers=(-0.022225287,),
            proved=False,
        ),
        Known(
            name="three points, step 8.0458",
            points=((1,), ("-0.892",), (300,)),
            multiplicities=(1, 1, 1),
            step="8.0458",
            gamma=1.200001999410905,
            period=2,
            start=(0.9242050048845362,),
            multipliers=(-0.547849061874,),
            proved=True,
        ),
        Known(
            name="three points, step 12.2317",
            points=((1,), ("-0.7179",), (100,)),
            multiplicities=(1, 1, 1),
            step="12.2317",
            gamma=1.499998825422,
            period=2,
            start=(1.4993738704700406,),
            multipliers=(0.6442876809,),
            proved=True,
        ),
        Known(
            name="three points, step 20.3026",
            points=((1,), ("-0.5223",), (30,)),
            multiplicities=(1, 1, 1),
            step="20.3026",
            gamma=1.900003597339,
            period=2,
            start=(2.1087436544730025,),
            multipliers=(-0.0233001133511,),
            proved=True,
        ),
        Known(
            name="plane, gamma 0.9",
            points=((1, 0), (-1, 0), (0, 1), (0, -1), (300, 30), (-300, 30)),
            multiplicities=(500, 500, 600, 400, 1, 1),
            step="7.18",
            gamma=0.899969857614678,
            period=2,
            start=(0.925632500924576, 0.5322168137473082),
            multipliers=(0.0734498339839792, 0.0268982937551959),
            proved=True,
        ),
        Known(
            name="plane, gamma 0.5",
            points=((1, 0), (-1, 0), (0, 1), (0, -1), (600, 60), (-600, 60)),
            multiplicities=(500, 500, 600, 400, 1, 1),
            step="4",
            gamma=0.4995005386253662,
            period=2,
            start=(0.7862364070697171, 0.6632942174102642),
            multipliers=(0.325338539204925, 0.304315903875344),
            proved=True,
        ),
        Known(
            name="plane, gamma 0.01",
            points=((1, 0), (-1, 0), (0, 1), (0, -1), (200000, 200), (-200000, 200)),
            multiplicities=(5000, 5000, 6000, 4000, 1, 1),
            step="0.08",
            gamma=0.00999900009999,
            period=2,
            start=(0.40194289313934933, 0.4895482253187058),
            multipliers=(0.980880719238675, 0.981242678627648),
            proved=True,
        ),
        Known(
            name="seven points in the plane, gamma 0.899",
            points=((0, 1), (0, -1), (64, "25.6"), (-64, "25.6")),
            multiplicities=(3, 2, 1, 1),
            step="5.08",
            gamma=0.89921325883,
            period=27,
            start=(0.47205885699260364, 2.8530972346527017),
            multipliers=(0.9498219, 0.064245574),
            proved=True,
        ),
        Known(
            name="five points in the plane, gamma 0.582",
            points=((0, 1), (0, -1), ("19.23", "14.55"), ("-19.23", "14.55")),
            multiplicities=(2, 1, 1, 1),
            step="4.25902",
            gamma=0.58218421526056958515,
            period=29,
            start=(12.486362446331622, 16.14089662984589),
            multipliers=(-1.76609415437, 0.818971140264),
            proved=False,
        ),
        Known(
            name="seven points in the plane, gamma 0.272",
            points=((0, 1), (0, -1), ("42.22", "30.76"), ("-42.22", "30.76")),
            multiplicities=(3, 2, 1, 1),
            step="1.57654",
            gamma=0.271876860261699127695,
            period=31,
            start=(2.3770009004098345, 16.01893178240289),
            multipliers=(-0.464658111506, -0.065391119946),
            proved=False,
        ),
        Known(
            name="eight points in the plane, gamma 0.7",
            points=((0, 1), (0, -1), (128, "25.6"), (-128, "25.6")),
            multiplicities=(4, 2, 1, 1),
            step=None,
            gamma=0.7,
            period=26,
            start=(0.5802976359739992, 27.462622909369273),
            multipliers=(),
            proved=False,
        ),
        Known(
            name="eleven points in the plane, gamma 0.3",
            points=((0, 1), (0, -1), (128, "51.2"), (-128, "51.2")),
            multiplicities=(5, 4, 1, 1),
            step=None,
            gamma=0.3,
            period=26,
            start=(1.1452548397787203, 15.137689085747898),
            multipliers=(),
            proved=False,
        ),
        Known(
            name="seventeen points in the plane, gamma 0.1",
            points=((0, 1), (0, -1), (256, "102.4"), (-256, "102.4")),
            multiplicities=(8, 7, 1, 1),
            step=None,
            gamma=0.1,
            period=30,
            start=(1.1785577636646376, 7.961581827562987),
            multipliers=(),
            proved=False,
        ),
    )
}
"""Stable cycles by name."""

CONTROLS = {
    found.name: found
    for found in (
        Known(
            name="no cycle from 1, gamma 1.5",
            points=((1,), (-1,), (20,)),
            multiplicities=(51, 49, 1),
            step=None,
            gamma=1.5,
            period=1,
            start=(1.0,),
            multipliers=(-0.5,),
            proved=False,
        ),
        Known(
            name="no cycle from 1, gamma 1.9",
            points=((1,), (-1,), (20,)),
            multiplicities=(51, 49, 1),
            step=None,
            gamma=1.9,
            period=1,
            start=(1.0,),
            multipliers=(-0.9,),
            proved=False,
        ),
    )
}
"""Data like those of a hinge kick, whose outlier is too weak: orbits converge."""
