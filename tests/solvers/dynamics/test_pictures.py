"""Pictures: what is drawn is what was computed."""

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.dynamics import (
    Logistic,
    SmoothMap,
    basins,
    bifurcation,
    branches,
    cobweb,
    find_cycles,
    follow,
    trajectory,
)
from quincunx.solvers.dynamics.pictures.bifurcation import critical_points

pytest.importorskip("matplotlib")

SMALL = Logistic([1, -1], [4, 1])
HINGE = Logistic([1, -1, 1300], [5100, 4900, 1])
PLANE = Logistic(
    [[1, 0], [-1, 0], [0, 1], [0, -1], [300, 30], [-300, 30]], [500, 500, 600, 400, 1, 1]
)


def test_the_diagram_shows_both_attractors():
    reports = []
    figure = bifurcation(
        HINGE, [5.9, 6.0, 6.1], iterations=500, report=lambda *done: reports.append(done)
    )
    seen = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    for value in (0.0400053346, 0.9985641192, -0.3259604705):
        assert np.abs(seen - value).min() < 1e-9
    assert reports[-1] == (15, 15)
    assert "gamma" in figure.axes[0].child_axes[0].get_xlabel()


def test_the_usual_range_ends_beyond_the_critical_step():
    figure = bifurcation(SMALL, iterations=200, keep=4)
    low, high = figure.axes[0].get_xlim()
    assert low < SMALL.critical_step < high


def test_critical_points_are_where_the_derivative_vanishes():
    steps = np.array([1.0, 5.0, 12.5, 100.0])
    found = critical_points(SMALL, steps)
    assert np.isnan(found[0])  # 1/step is above f''(0) = 1/4: the map is monotone
    slopes = 1 - steps[1:] * SMALL.derivatives(found[1:])[1]
    # Measured: 5e-15; bisection to the last bit, times the step.
    assert slopes == pytest.approx(0, abs=1e-12)


def test_a_cobweb_goes_from_the_graph_to_the_diagonal():
    cycles = [c for c in find_cycles(SMALL, 14, max_period=2, starts=50) if c.period == 2]
    figure = cobweb(SMALL, 14, 0.1, iterations=20, cycles=cycles)
    graph, web = figure.axes[0].lines[1:3]
    x, y = web.get_data()
    assert x[0] == y[0] == 0.1
    # From the diagonal up or down to the graph, then across to the diagonal.
    assert y[1::2] == pytest.approx(SMALL.map(x[1::2, None], 14)[:, 0])
    assert y[::2] == pytest.approx(x[::2])
    assert graph.get_ydata() == pytest.approx(SMALL.map(graph.get_xdata()[:, None], 14)[:, 0])
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "period 2, stable"


def test_basins_of_the_plane_are_coloured_by_where_starts_end():
    figure = basins(PLANE, 7.18, [-3, -3], [3, 3], resolution=24)
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (24, 24, 3)
    assert len({tuple(c) for c in image.reshape(-1, 3).tolist()}) == 2  # two attractors, no white
    # The data are symmetric in the first coordinate, which is the horizontal one.
    assert np.array_equal(image, image[:, ::-1])
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert sorted(text.split(":")[0] for text in labels) == ["period 1", "period 2"]


def test_basins_of_the_line_are_drawn_against_the_step():
    steps = np.linspace(0.9, 1.4, 8) / HINGE.sharpness
    image = basins(HINGE, steps, -3, 3, resolution=20).axes[0].images[0].get_array()
    assert image.shape == (20, 8, 3)
    kinds = [len({tuple(c) for c in column}) for column in image.transpose(1, 0, 2).tolist()]
    # Below gamma 1.1093 all converge to the minimiser.
    assert kinds[:3] == [1, 1, 1] and kinds[-1] == 2


def test_branches_are_solid_where_stable():
    line = follow(SMALL, SMALL.minimizer()[None], 11.0, until=(11, 14))
    ax = branches(line).axes[0]
    solid, dashed = ax.lines[:2]
    steps = solid.get_xdata()
    assert np.array_equal(np.isfinite(solid.get_ydata())[1:], line.stable[1:] | line.stable[:-1])
    assert steps[np.isfinite(dashed.get_ydata())].max() == pytest.approx(14)
    assert "flip" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_a_trajectory_shows_loss_and_sharpness():
    figure = trajectory(HINGE, 6, [5.0], iterations=50)
    loss, sharp, gap = (ax.lines[0].get_ydata() for ax in figure.axes)
    path = [5.0]
    for _ in range(50):
        path.append(float(HINGE.map(np.array([[path[-1]]]), 6)[0, 0]))
    w = np.array(path)[:, None]
    assert loss == pytest.approx(HINGE.loss(w) - HINGE.loss(HINGE.minimizer()), rel=1e-9)
    assert sharp == pytest.approx(6 * HINGE.hessian(w)[:, 0, 0], rel=1e-9)
    assert gap == pytest.approx(np.abs(w[:, 0] - HINGE.minimizer()[0]), rel=1e-9)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: bifurcation(SMALL, [1.0, -1.0]), "step is -1"),
        (lambda: bifurcation(PLANE, [1.0], coordinate=2), "coordinate is 2"),
        (lambda: cobweb(PLANE, 1.0, 0), "one dimension; here are 2"),
        (lambda: basins(SMALL, 1.0, 1, -1), "low < high"),
        (lambda: basins(PLANE, [1.0, 2.0], -1, 1), "one step"),
        (lambda: branches(), "at least one branch"),
        (
            lambda: bifurcation(SmoothMap(lambda w, s: w, lambda w, s: w, [0], [1])),
            "give the steps",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ModelError, match=message):
        draw()
