"""Data frames: entries of tables, and tables from observations."""

import numpy as np
import pytest
from hypothesis import given

from quincunx import Variable
from quincunx._errors import ModelError, UnknownNameError
from quincunx.graphs.files.frames import arc_from_data, pdg_from_frame, pdg_to_frame
from tests.graphs.files.models import pdgs, same

pd = pytest.importorskip("pandas")


@given(pdgs())
def test_round_trip_or_refusal(pdg):
    try:
        frame = pdg_to_frame(pdg)
    except ModelError:
        return
    assert same(pdg_from_frame(frame), pdg)


def test_a_frame_as_one_would_write_it():
    frame = pd.DataFrame({"event": ["rain=yes", "rain=no"], "probability": [0.25, None]})
    assert pdg_from_frame(frame).arcs[0].table.tolist() == [0.25, 0.75]


def test_malformed():
    with pytest.raises(ModelError, match="'probability'"):
        pdg_from_frame(pd.DataFrame({"event": ["a=1"]}))
    with pytest.raises(ModelError, match="unknown column 'odds'"):
        pdg_from_frame(pd.DataFrame({"event": ["a=1"], "probability": [1], "odds": [2]}))
    with pytest.raises(ModelError, match="row 7: probability should be a number"):
        pdg_from_frame(pd.DataFrame({"event": ["a=1"], "probability": ["x"]}, index=[7]))
    with pytest.raises(ModelError, match=r"'0,7'; it has a decimal comma: write 0\.7"):
        pdg_from_frame(pd.DataFrame({"event": ["a=1"], "probability": ["0,7"]}))


SEEN = pd.DataFrame({"s": ["y", "y", "n", "y"], "n": [1, 2, 1, 1]})


def test_counts():
    arc = arc_from_data(SEEN, "n", "s")
    assert arc.sources[0].states == ("n", "y")
    assert arc.targets[0].states == (1, 2)
    assert arc.table == pytest.approx(np.array([[2 / 3, 1 / 3], [3 / 5, 2 / 5]]))


def test_rows_never_observed_are_undefined_without_pseudo_counts():
    s = Variable("s", ["n", "y", "never"])
    arc = arc_from_data(SEEN, ["n"], [s], pseudo_count=0, beta=4, label="seen")
    assert arc.table[:2].tolist() == [[1, 0], [2 / 3, 1 / 3]]
    assert np.isnan(arc.table[2]).all()
    assert (arc.beta, arc.label) == (4, "seen")
    listed = arc_from_data(SEEN, ["n"], "s", pseudo_count=0, variables=[s], beta=4, label="seen")
    assert listed == arc


def test_categories_give_the_states():
    data = SEEN.assign(s=pd.Categorical(SEEN["s"], ["y", "n", "x"]))
    assert arc_from_data(data, "s").targets[0].states == ("y", "n", "x")


def test_missing_values_are_dropped_with_a_warning():
    data = SEEN.assign(unused=None)
    data.loc[0, "s"] = None
    with pytest.warns(UserWarning, match="1 of 4 observations"):
        arc = arc_from_data(data, "s", pseudo_count=0)
    assert arc.table == pytest.approx([1 / 3, 2 / 3])


def test_bad_requests():
    with pytest.raises(UnknownNameError, match="no column 'm'"):
        arc_from_data(SEEN, "m")
    with pytest.raises(UnknownNameError, match="no state 'y'"):
        arc_from_data(SEEN, "s", variables=[Variable("s", ["n"])])
    with pytest.raises(ModelError, match="pseudo_count"):
        arc_from_data(SEEN, "s", pseudo_count=-1)
    with pytest.raises(ModelError, match="no value of 's'"):
        arc_from_data(SEEN[:0], "s")
    with pytest.raises(ModelError, match="cannot be sorted"):
        arc_from_data(pd.DataFrame({"s": ["a", 1]}), "s")
