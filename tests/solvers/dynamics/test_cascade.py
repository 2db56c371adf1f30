"""The cascade: the anchor of 30 digits, closed forms and Feigenbaum's constant."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics.cascade import FEIGENBAUM, cascade
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.parameters import Family, by_coordinate
from quincunx.solvers.dynamics.smooth_map import SmoothMap

ANCHOR = Logistic([1, -1], [4, 1])
# By bisection on the multiplier with 30 digits.
GAMMAS = [2, 2.5919331745531, 2.7512483770562, 2.7857695880076, 2.7932106495099, 2.7948056488125]

HUMP = SmoothMap(
    lambda x, r: np.reshape(r, (-1, 1)) * x * (1 - x),
    lambda x, r: np.reshape(r, (-1, 1, 1)) * (1 - 2 * x[:, :, None]),
    [0],
    [1],
)


def test_the_anchor():
    found = cascade(ANCHOR, doublings=6)
    assert found.ended == ""
    assert found.periods == (1, 2, 4, 8, 16, 32)
    # Measured 4e-14: as many digits as the anchor has.
    assert np.abs(found.gammas - GAMMAS).max() < 1e-12
    assert found.parameter[0] == pytest.approx(12.5, abs=1e-12)
    assert np.abs(found.parameter * 0.16 - found.gammas).max() < 1e-14
    assert found.ratios == pytest.approx([3.7155, 4.6150, 4.6393, 4.6652], abs=5e-5)
    # Every flip is one: a cycle to rounding, all points distinct, with multiplier -1.
    for event in found.events:
        assert event.cycle.residual < 1e-14
        assert abs(event.cycle.multipliers[0] + 1) < 1e-9
        assert len(np.unique(np.round(event.cycle.points, 9))) == event.cycle.period
    assert found.limit * 0.16 == pytest.approx(2.7952, abs=1e-4)
    assert repr(found).startswith("Cascade(1 -> 2 at 12.5, 2 -> 4 at 16.199582")


def test_ratios_tend_to_feigenbaum():
    found = cascade(ANCHOR, doublings=9)
    # Measured 5e-5: the ratio of period 64 to 128.
    assert abs(found.ratios[-1] - FEIGENBAUM) < 2e-4


def test_the_logistic_map_and_progress():
    lines = []
    found = cascade(HUMP, [[0.6]], 2.5, doublings=4, progress=lines.append)
    assert abs(found.parameter[0] - 3) < 1e-12
    assert abs(found.parameter[1] - (1 + math.sqrt(6))) < 1e-12
    # Known to these digits: Feigenbaum, 1978, and every table since.
    assert found.parameter[2:] == pytest.approx([3.544090359552, 3.564407266095], abs=1e-11)
    assert np.isnan(found.gammas).all()
    assert len(lines) == 4 and lines[1].startswith("period 2 doubles at step 3.449489")


def test_a_cascade_from_a_cycle_in_a_coordinate():
    # Scaling both points of {a, -a} x (4, 1) by a is a step larger by a^2: flips at a^2 = 12.5 / 8.
    steps = cascade(ANCHOR, doublings=3).parameter

    def at(value):
        return Logistic([value, -value], [4, 1]), 8.0

    found = cascade(Family(at, "a"), [[math.log(4)]], 1.0, doublings=3)
    assert found.parameter == pytest.approx(np.sqrt(steps / 8), abs=1e-12)


def test_a_cascade_that_ends():
    # The odd map's 2-cycle never flips.
    found = cascade(Logistic([1, -1]), doublings=3, until=(1, 20))
    assert found.periods == (1,)
    assert found.parameter[0] == pytest.approx(8, abs=1e-12)
    assert found.ended == "step reached 20"
    assert math.isnan(found.limit) and len(found.ratios) == 0


def test_bad_input_is_refused():
    with pytest.raises(ModelError, match="doublings is 0"):
        cascade(ANCHOR, doublings=0)
    with pytest.raises(ModelError, match="only a logistic loss"):
        cascade(HUMP)
    with pytest.raises(ModelError, match="start="):
        cascade(HUMP, [[0.6]])
    with pytest.raises(ModelError, match="separa"):
        cascade(Logistic([1, 2]))
    # At a fixed gamma the minimiser never flips.
    family = by_coordinate(Logistic([1, -1, 2]), 2, gamma=1.5)
    problem, _ = family.at(2.0)
    with pytest.raises(ModelError, match="does not flip"):
        cascade(family, problem.minimizer()[None], 2.0, until=(1.9, 2.3))
