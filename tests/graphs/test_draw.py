"""Pictures of graphs, trees, answers and paths: that they show what they say, legibly."""

import itertools
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import quincunx
from quincunx import PDG, Arc, Table, Variable, cluster_tree
from quincunx._errors import MissingExtraError, ModelError, UnknownNameError
from quincunx.graphs.draw import (
    beside,
    draw_cluster_tree,
    draw_path,
    draw_pdg,
    draw_posteriors,
    neighbourhood,
    picture_kind,
    titled,
)
from quincunx.graphs.draw._shades import NOTHING, Shades
from quincunx.graphs.draw.posteriors import BAR, COLORS
from quincunx.graphs.examples import chest_clinic, weather
from tests.problems import random_pdg

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
pytestmark = needs_matplotlib

DOCS = Path(__file__).parents[2] / "docs"
RAIN = Variable("rain", ["no", "yes"])
GAMMAS = [1.0, 0.1, 0.01, None]


def odd_graph() -> PDG:
    """A graph with a cycle, a hard arc, one without a table, and names that need care."""
    a, b, c, d = (Variable(name, [0, 1]) for name in ("$a$", "b" * 60, "c", "d"))
    even = np.full((2, 2), 0.5)
    return PDG(
        [
            Arc(a, b, even),
            Arc(b, c, even, beta=3, label="from b to c"),
            Arc(c, a, even, alpha=0),
            Arc([a, b], d, None, alpha=0.5),
            Arc([], [a, d], even / 2, beta=math.inf),
        ],
        [Variable("alone", [0])],
    )


def forest():
    """Clusters that nothing joins, one of a single cell, with short names and large counts."""
    return cluster_tree(
        [Variable(name, range(300 * i + 1)) for i, name in enumerate("ijkl")], [["i", "j"]]
    )


TABLES = [Table([RAIN], [0.25, 0.75]), Table([], 1.0)]
DRAWINGS = {
    "weather": lambda: draw_pdg(weather(), {"forecast": 0.2, "plan": 0.01}),
    "odd": lambda: draw_pdg(odd_graph()),
    "empty": lambda: draw_pdg(PDG()),
    "clinic": lambda: draw_pdg(chest_clinic().to_pdg()),
    "forest": lambda: draw_cluster_tree(forest()),
    "clusters": lambda: draw_cluster_tree(quincunx.plan(chest_clinic()).tree),
    "no clusters": lambda: draw_cluster_tree(cluster_tree([], [])),
    "tables": lambda: draw_posteriors(TABLES),
    "no tables": lambda: draw_posteriors([]),
    "compared": lambda: draw_posteriors({"before": TABLES, "given $x$ = a long story": TABLES}),
    "path": lambda: draw_path(GAMMAS, [0.4, 0.2, 0.1, 0.1], [0, 0.1, math.inf, 0]),
    "lines": lambda: draw_path(GAMMAS, [0] * 4, [0] * 4, {"$p$": np.ones(4), "q": np.ones(4)}),
    "point": lambda: draw_path([None], [0.1], [1e-9]),
    "both": lambda: titled(beside(draw_pdg(weather()), draw_posteriors(TABLES)), "one\nand more"),
}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def axes(drawing):
    (ax,) = drawing.figure().axes
    return ax


def patches(ax, kind):
    return [patch for patch in ax.patches if type(patch).__name__ == kind]


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_text_is_on_the_page_and_no_two_overlap(name):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = DRAWINGS[name]().figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.get_window_extent(renderer)
    written = [text for ax in figure.axes for text in ax.texts]
    assert not any(text.get_parse_math() for text in written)
    boxes = [text.get_window_extent(renderer) for text in written if text.get_text()]
    frames = [
        frame.get_window_extent(renderer)
        for ax in figure.axes
        for frame in patches(ax, "FancyBboxPatch")
    ]
    for box, frame in itertools.product(boxes, frames):
        if frame.contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2):
            assert frame.x0 - 1 < box.x0 and box.x1 < frame.x1 + 1
            assert frame.y0 - 1 < box.y0 and box.y1 < frame.y1 + 1
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    for one, other in itertools.combinations(boxes, 2):
        # Lines of text are a little higher than letters: 2 of 100 dots an inch may be shared.
        assert min(one.x1, other.x1) - max(one.x0, other.x0) < 1 or (
            min(one.y1, other.y1) - max(one.y0, other.y0) < 2.5
        )


@pytest.mark.parametrize("name", ["odd", "lines", "both"])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_file_is_of_the_kind_that_its_name_says_and_the_same_each_time(name, kind, tmp_path):
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    for file in ("one", "other"):
        DRAWINGS[name]().save(tmp_path / f"{file}.{kind.upper()}")
    one, other = sorted(tmp_path.iterdir())
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(start)


CYCLES = """
import sys
from quincunx import PDG, Arc, Variable
from quincunx.graphs.draw import draw_pdg

names = [f"v{i}" for i in range(9)]
pairs = [(names[i], names[j]) for i in range(9) for j in {(2 * i + 1) % 9, (i + 4) % 9} - {i}]
arcs = [Arc(a, b, [[0.5, 0.5], [0.5, 0.5]]) for a, b in pairs]
draw_pdg(PDG(arcs, [Variable(name, [0, 1]) for name in names])).save(sys.argv[1])
"""


def test_hash_seeds_change_nothing(tmp_path):
    # The order of a set of names changes with the seed.
    for seed in ("1", "2"):
        command = [sys.executable, "-c", CYCLES, str(tmp_path / f"{seed}.svg")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_a_picture_that_fails_leaves_the_older_one(tmp_path):
    path = tmp_path / "picture.svg"
    path.write_text("older")

    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quincunx.graphs.draw.Drawing(1, 1, fail).save(path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["picture.xyz", "picture", "svg"])
def test_an_unknown_kind_of_picture_is_refused(tmp_path, name):
    with pytest.raises(ModelError, match=r"\.svg, \.png or \.pdf"):
        draw_pdg(weather()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("quincunx._errors.find_spec", lambda _: None)
    table = Table([RAIN], [0.5, 0.5])
    for draw in (
        lambda: draw_pdg(weather()),
        lambda: draw_cluster_tree(cluster_tree([], [])),
        lambda: draw_posteriors([table]),
        lambda: draw_path([None], [0], [0]),
        lambda: picture_kind("a.svg"),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'quincunx\[plots\]'"):
            draw()


def test_small_axes_get_small_letters():
    from matplotlib.figure import Figure

    drawing = draw_pdg(weather())
    figure = Figure(figsize=(drawing.width / 2, drawing.height / 2))
    ax = drawing.on(figure.add_axes((0, 0, 1, 1)))
    assert ax.figure is figure and not ax.axison
    sizes = zip(ax.texts, axes(drawing).texts, strict=True)
    assert all(
        abs(small.get_fontsize() / large.get_fontsize() - 0.5) < 1e-9 for small, large in sizes
    )


def test_notebooks_are_given_the_picture_as_text():
    assert draw_pdg(weather())._repr_svg_().startswith("<?xml")


def test_a_graph_shows_its_names_confidences_and_kinds_of_arcs():
    ax = axes(draw_pdg(odd_graph()))
    written = texts(ax)
    assert {"$a$", "c", "d", "alone", "b" * 23 + "…"} <= set(written)
    assert {"from b to c\nβ = 3", "α = 0", "no table\nα = 0.5", "hard"} <= set(written)
    lines = patches(ax, "PathPatch")
    # Two arrows of the hard arc have a white line over the coloured; three lines lack a table.
    assert sum(line.get_edgecolor() == (1, 1, 1, 1) for line in lines) == 2
    assert sum(line.get_linestyle() == "--" for line in lines) == 3
    assert len(patches(ax, "Polygon")) == sum(len(arc.targets) for arc in odd_graph().arcs)


def test_a_plain_arc_is_an_arrow_and_others_have_a_dot():
    a, b, c = (Variable(name, [0, 1]) for name in "abc")
    even = np.full((2, 2), 0.5)
    plain = axes(draw_pdg(PDG([Arc(a, b, even)])))
    assert not patches(plain, "Circle") and len(patches(plain, "PathPatch")) == 1
    twice = axes(draw_pdg(PDG([Arc(a, b, even), Arc(a, b, even)])))
    assert len(patches(twice, "Circle")) == 2 and len(patches(twice, "PathPatch")) == 4
    joint = axes(draw_pdg(PDG([Arc([a, b], c, np.full((2, 2, 2), 0.5))])))
    assert len(patches(joint, "Circle")) == 1 and len(patches(joint, "PathPatch")) == 3


def test_blame_is_written_and_darker_for_more():
    blame = {"forecast": 0.3, "barometer": 0.1, "plan": 1e-9}
    ax = axes(draw_pdg(weather(), blame))
    written = texts(ax)
    assert {"forecast\n0.3 nats", "barometer\n0.1 nats", "habit", "plan"} <= set(written)
    assert {"blame\n(nats)", "0", "0.15", "0.3"} <= set(written)
    heads = {patch.get_facecolor(): patch for patch in patches(ax, "Polygon")}
    assert len(heads) == 3  # two shades, and grey for the two arcs without blame
    from matplotlib.colors import to_rgba

    assert {to_rgba(Shades(0.3).color(nats)) for nats in (0.1, 0.3)} | {to_rgba(NOTHING)} == set(
        heads
    )
    broad = {line.get_edgecolor(): line.get_linewidth() for line in patches(ax, "PathPatch")}
    widths = [broad[to_rgba(c)] for c in (NOTHING, Shades(0.3).color(0.1), Shades(0.3).color(0.3))]
    assert widths == sorted(set(widths))


def test_without_blame_there_is_no_bar():
    for blame in (None, {}, {"plan": 1e-9}):
        assert "blame\n(nats)" not in texts(axes(draw_pdg(weather(), blame)))


def lightness(color):
    """CIE L* of a colour written #rrggbb, which is what greyscale shows."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    y = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return 116 * y ** (1 / 3) - 16 if y > 216 / 24389 else y * 24389 / 27


def test_shades_darken_evenly_and_answers_differ_in_greyscale():
    shades = [lightness(Shades(2.0).color(x)) for x in np.linspace(0, 2, 33)]
    steps = -np.diff(shades)
    # measured 1.28 to 1.78 of 100 a step, 48 in all; no blame is lighter than the least, 78 to 72
    assert steps.min() > 1.2 and shades[0] - shades[-1] > 45
    assert lightness(NOTHING) > shades[0] + 5
    assert Shades(1.0).color(-1) == Shades(1.0).color(0) and Shades(1.0).color(2) == "#662506"
    answers = [lightness(color) for color in COLORS]
    assert all(abs(a - b) > 12 for a, b in itertools.pairwise(answers))


@pytest.mark.parametrize(
    ("blame", "error", "text"),
    [
        ({"nobody": 1.0}, UnknownNameError, "no arc has that name"),
        ({"plan": math.inf}, ModelError, "finite"),
        ({"plan": math.nan}, ModelError, "finite"),
    ],
)
def test_blame_that_makes_no_sense_is_refused(blame, error, text):
    with pytest.raises(error, match=text):
        draw_pdg(weather(), blame)


def chain(n):
    names = [f"v{i}" for i in range(n)]
    even = np.full((2, 2), 0.5)
    arcs = [Arc(a, b, even) for a, b in itertools.pairwise(names)]
    return PDG(arcs, [Variable(name, [0, 1]) for name in names])


def test_large_graphs_are_refused_and_parts_of_them_drawn():
    with pytest.raises(ModelError, match=r"61 variables .* neighbourhood"):
        draw_pdg(chain(61))
    part = neighbourhood(chain(100), "v50", most=7)
    assert [v.name for v in part.variables] == [f"v{i}" for i in range(47, 54)]
    assert len(part.arcs) == 6
    assert len(neighbourhood(chain(100), ["v0", "v99"]).variables) == 60
    assert "v50" in texts(axes(draw_pdg(neighbourhood(chain(100), "v50"))))
    with pytest.raises(UnknownNameError, match="nothing"):
        neighbourhood(chain(3), "nothing")
    with pytest.raises(ModelError, match="2 is the most"):
        neighbourhood(chain(3), ["v0", "v1", "v2"], most=2)


@pytest.mark.parametrize("seed", range(15))
def test_a_neighbourhood_keeps_the_arcs_between_its_variables(seed):
    pdg = random_pdg(seed)
    part = neighbourhood(pdg, pdg.variables[0], most=3)
    names = {v.name for v in part.variables}
    assert pdg.variables[0].name in names and len(names) <= 3
    between = [a for a in pdg.arcs if names.issuperset(a.source_names + a.target_names)]
    assert list(part.arcs) == between
    assert neighbourhood(pdg, pdg.variables[0], most=99).arcs == tuple(
        arc for arc in pdg.arcs if reached(pdg).issuperset(arc.source_names + arc.target_names)
    )


def reached(pdg):
    """The variables that arcs join with the first, by repeated union."""
    names = {pdg.variables[0].name}
    for _ in pdg.variables:
        for arc in pdg.arcs:
            scope = set(arc.source_names + arc.target_names)
            names |= scope if scope & names else set()
    return names


def test_a_cluster_tree_shows_clusters_sepsets_and_cells():
    tree = quincunx.plan(chest_clinic()).tree
    written = [text.replace("\n", " ") for text in texts(axes(draw_cluster_tree(tree)))]
    for c, axes_above in enumerate(tree.parent_axes):
        assert ", ".join(tree.names(c)) in written
        if tree.parents[c] >= 0:
            assert ", ".join(tree.names(c)[: len(axes_above)]) in written
    assert sorted(t for t in written if t.endswith("cells")) == ["4 cells"] * 2 + ["8 cells"] * 4


@pytest.mark.parametrize("seed", range(10))
def test_clusters_stand_apart(seed):
    boxes = []
    for box in patches(
        axes(draw_cluster_tree(quincunx.plan(random_pdg(seed)).tree)), "FancyBboxPatch"
    ):
        boxes.append((box.get_x(), box.get_y(), box.get_width(), box.get_height()))
    for (x, y, w, h), (a, b, c, d) in itertools.combinations(boxes, 2):
        assert x + w <= a or a + c <= x or y + h <= b or b + d <= y


def test_a_tree_of_very_many_clusters_is_refused():
    with pytest.raises(ModelError, match="cannot be read"):
        draw_cluster_tree(quincunx.plan(chain(200)).tree)


def bars(ax, color):
    """Lengths of the bars of a colour as probabilities, from the top of the page down."""
    from matplotlib.colors import to_rgba

    found = [p for p in patches(ax, "Rectangle") if p.get_facecolor() == to_rgba(color)]
    return [p.get_width() / BAR for p in sorted(found, key=lambda p: -p.get_y())]


def test_bars_are_as_long_as_probabilities():
    before, after = Table([RAIN], [0.7, 0.3]), Table([RAIN], [0.9996, 0.0004])
    one = axes(draw_posteriors([before]))
    np.testing.assert_allclose(bars(one, COLORS[0]), [0.7, 0.3], rtol=1e-12)
    assert {"rain", "no", "yes", "0.700", "0.300"} == set(texts(one))
    both = axes(draw_posteriors({"before": [before], "after": [after]}))
    # The first bar of a colour is the legend's.
    np.testing.assert_allclose(bars(both, COLORS[0])[1:], [0.7, 0.3], rtol=1e-12)
    np.testing.assert_allclose(bars(both, COLORS[1])[1:], [0.9996, 0.0004], rtol=1e-12)
    assert {"before", "after", "1.000", "<.001"} <= set(texts(both))


def test_many_states_end_in_one_row_for_the_rest():
    values = np.arange(1.0, 31) / np.arange(1.0, 31).sum()
    table = Table([Variable("n", range(30))], values)
    ax = axes(draw_posteriors([table]))
    np.testing.assert_allclose(bars(ax, COLORS[0]), [*values[18:], values[:18].sum()], rtol=1e-9)
    assert "18 others" in texts(ax) and "17" not in texts(ax)
    thirteen = Table([Variable("n", range(13))], np.full(13, 1 / 13))
    assert len(bars(axes(draw_posteriors([thirteen])), COLORS[0])) == 13


def test_answers_that_cannot_be_compared_are_refused():
    table = Table([RAIN], [0.5, 0.5])
    other = Table([Variable("snow", ["no", "yes"])], [0.5, 0.5])
    with pytest.raises(ModelError, match="same variables"):
        draw_posteriors({"a": [table], "b": [other]})
    with pytest.raises(ModelError, match="same variables"):
        draw_posteriors({"a": [table], "b": [table, table]})
    with pytest.raises(ModelError, match="1 to 5"):
        draw_posteriors({str(i): [table] for i in range(6)})
    with pytest.raises(ModelError, match="61 tables"):
        draw_posteriors([table] * 61)
    with pytest.raises(ModelError, match="at most 1"):
        draw_posteriors([Table([RAIN], [2, 3])])


def test_a_path_has_its_points_its_interval_and_the_limit_at_the_left():
    values, gap = [0.4, 0.2, 0.15, 0.1], [0.1, 0.05, math.inf, 0.02]
    shuffled = [2, 0, 3, 1]
    given = ([x[i] for i in shuffled] for x in (GAMMAS, values, gap))
    lines = {"rain = yes": np.array([0.5, 0.4, 0.3, 0.2])[shuffled]}
    upper, lower = axes(draw_path(*given, lines)).child_axes
    course = next(
        line for line in upper.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 4
    )
    x = course.get_xdata()
    np.testing.assert_allclose(x[1:], [-2, -1, 0], atol=1e-12)
    assert x[0] < -2 and upper.get_xticks()[0] == x[0]
    assert [t.get_text() for t in lower.get_xticklabels()] == ["0+", "0.01", "0.1", "1"]
    np.testing.assert_allclose(course.get_ydata(), values[::-1])
    points = [line for line in upper.lines if line.get_marker() == "o" and len(line.get_xdata())]
    hollow = [p for p in points if p.get_markerfacecolor() == "white"]
    assert len(hollow) == 1 and list(hollow[0].get_ydata()) == [0.15]
    intervals = [path.vertices for path in upper.collections[1].get_paths()]
    np.testing.assert_allclose(
        [[v[0, 1], v[1, 1]] for v in intervals], [[0.08, 0.1], [0.15, 0.2], [0.3, 0.4]]
    )
    np.testing.assert_allclose(lower.lines[2 + 1].get_ydata(), [0.2, 0.3, 0.4, 0.5])


def test_rounding_errors_are_no_course():
    (ax,) = axes(draw_path([1, 0.1], [1e-15, -1e-15], [1e-9, 1e-9])).child_axes
    low, high = ax.get_ylim()
    assert high - low > 1e-3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([1, 1], [0, 0], [0, 0]), "each once"),
        (([], [], []), "one or more"),
        (([0.0], [0], [0]), "None for the limit"),
        (([-1], [0], [0]), "None for the limit"),
        (([math.inf], [0], [0]), "None for the limit"),
        (([1], [0, 1], [0]), "inconsistency: one number"),
        (([1], [0], [[0]]), "gap: one number"),
        (([1], [math.inf], [0]), "inconsistency: inf"),
        (([1], [0], [math.nan]), "gap: nan"),
        (([1], [0], [-1e-9]), ">= 0"),
        (([1], [0], [0], {"p": [0, 1]}), "query 'p'"),
        (([1], [0], [0], {str(i): [0] for i in range(9)}), "8 is the most"),
    ],
)
def test_a_path_that_makes_no_sense_is_refused(arguments, text):
    with pytest.raises(ModelError, match=text):
        draw_path(*arguments)


def test_drawings_are_joined_without_overlap():
    left, right = draw_pdg(weather()), draw_posteriors([Table([RAIN], [0.5, 0.5])])
    both = beside(left, right)
    assert both.width > left.width + right.width
    assert both.height == max(left.height, right.height)
    assert len(texts(axes(both))) == len(texts(axes(left))) + len(texts(axes(right)))
    named = titled(both, "a title " * 40)
    assert named.height > both.height and named.width > 2 * both.width


def test_the_page_shows_pictures_that_its_examples_make():
    page = (DOCS / "pictures.md").read_text()
    shown = re.findall(r"\]\(pictures/([\w.-]+)\)", page)
    assert len(shown) >= 4
    for name in shown:
        assert f'.save("{name}")' in page
        content = (DOCS / "pictures" / name).read_text()
        assert content.startswith("<?xml") and len(content) < 60_000
        assert "<dc:date>" not in content  # it would change with every run
