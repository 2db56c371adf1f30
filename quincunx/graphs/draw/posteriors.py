"""Probabilities as small bar charts, a card for each table, several answers side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from quincunx._errors import ModelError, need_extra
from quincunx.graphs.draw._canvas import DIM, RULE, Canvas
from quincunx.graphs.draw._packing import Size
from quincunx.graphs.draw._text import short, text_size
from quincunx.graphs.draw.drawing import Drawing
from quincunx.graphs.table import Floats, Table

# Okabe and Ito's colours and ink; neighbours differ in lightness, for greyscale.
COLORS = ("#0072b2", "#e69f00", "#d55e00", "#56b4e9", "#22303c")
ROWS = 12  # states of a card; the others are added up in one more row
MOST_TABLES = 60
TITLE, STATE = 9.5, 8.5  # sizes of letters, in points
EDGE, PAD, GAP = 0.3, 0.1, 0.16  # inches: border, within a card, between cards
HEAD, ROW, BAR = 0.26, 0.2, 1.2  # inches: a card's title and rows, a probability of 1
COLUMN = 4.5  # inches, a column's height before there is a second one
FIGURE = 0.4  # inches for a number


def draw_posteriors(tables: Sequence[Table] | Mapping[str, Sequence[Table]]) -> Drawing:
    """Draw probabilities as bars: a card for each table, a row for each joint state.

    The twelve most probable states are shown in the order of the table, the others in one row.

    Arguments:
        tables: distributions, such as ``answer.query("rain")``; or several lists of them by what
            they answer, such as ``{"before": [...], "after": [...]}``, which are compared state
            by state. At most five lists, of at most 60 tables about the same variables.

    Returns:
        The drawing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ModelError: there are too many tables or lists, lists differ in their variables, or a table
            has entries above 1.

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> before, after = Table([rain], [0.7, 0.3]), Table([rain], [0.2, 0.8])
        >>> from quincunx.graphs.draw import draw_posteriors
        >>> picture = draw_posteriors({"before": [before], "after": [after]})
        >>> figure = picture.figure()  # or picture.save("rain.svg")

    Reference:
        The colours are from M. Okabe, K. Ito, "Color Universal Design", 2008.
    """
    need_extra("matplotlib", "plots", "a drawing")
    answers = tables if isinstance(tables, Mapping) else {"": tables}
    lists = [list(answer) for answer in answers.values()]
    _check(lists)
    cards = [_card(several) for several in zip(*lists, strict=True)]
    legend = [name for name in answers if name]
    left = max((text_size(s, STATE)[0] for card in cards for s in card.states), default=0.0)
    width = max(
        [PAD * 4 + left + BAR + FIGURE]
        + [text_size(card.title, TITLE, bold=True)[0] + 2 * PAD for card in cards]
    )
    columns = _columns(cards, width)
    high = max((sum(c.height + GAP for c in column) - GAP for column in columns), default=0.0)
    above = 0.3 * len(legend) if len(columns) == 1 else 0.3 * bool(legend)
    height = high + above + 2 * EDGE

    def paint(canvas: Canvas) -> None:
        _paint_legend(canvas.part(EDGE, height - EDGE), legend, len(columns) == 1)
        for i, column in enumerate(columns):
            top = EDGE + high
            for card in column:
                top -= card.height
                place = canvas.part(EDGE + i * (width + GAP), top)
                _paint_card(place, card, (width, card.height), left)
                top -= GAP

    return Drawing(2 * EDGE + max(len(columns), 1) * (width + GAP) - GAP, height, paint)


@dataclass(frozen=True, slots=True)
class _Card:
    """What stands on a card.

    Attributes:
        title: the variables.
        states: the rows' names.
        values: [rows, answers], float64.
    """

    title: str
    states: Sequence[str]
    values: Floats

    @property
    def step(self) -> float:
        """Inches from row to row."""
        return max(ROW, 0.135 * int(self.values.shape[1]) + 0.06)

    @property
    def height(self) -> float:
        """Inches."""
        return HEAD + self.step * len(self.states) + PAD


def _check(lists: Sequence[Sequence[Table]]) -> None:
    if not 1 <= len(lists) <= len(COLORS):
        raise ModelError(f"{len(lists)} answers to compare; a picture takes 1 to {len(COLORS)}")
    for answer in lists:
        if [t.variables for t in answer] != [t.variables for t in lists[0]]:
            raise ModelError(
                "answers are compared table by table, so each needs tables about the same "
                "variables in the same order"
            )
        for table in answer:
            if table.values.max(initial=0.0) > 1 + 1e-6:
                raise ModelError(
                    f"the table over {', '.join(table.names)} holds {table.values.max():g}; "
                    "probabilities are drawn, which are at most 1"
                )
    if len(lists[0]) > MOST_TABLES:
        raise ModelError(
            f"a picture of {len(lists[0])} tables cannot be read; {MOST_TABLES} is the most"
        )


def _card(several: Sequence[Table]) -> _Card:
    """Put the same question's answers on a card."""
    values = np.stack([table.values.ravel() for table in several], axis=1)
    states = [
        short(", ".join(map(str, key)))
        for key in product(*(v.states for v in several[0].variables))
    ]
    title = short(", ".join(several[0].names))
    if len(states) <= ROWS + 1:
        return _Card(title, states, values)
    # Stable, so that of equal ones the first are shown.
    shown = np.sort(np.argsort(-values.max(axis=1), kind="stable")[:ROWS])
    rest = np.delete(values, shown, axis=0).sum(axis=0, keepdims=True)
    names = [states[i] for i in shown] + [f"{len(states) - ROWS:,} others"]
    return _Card(title, names, np.concatenate([values[shown], rest]))


def _columns(cards: Sequence[_Card], width: float) -> list[list[_Card]]:
    """Fill as many columns as make a page about as high as it is wide, to about one height."""
    heights = [card.height + GAP for card in cards]
    page = max([COLUMN, (sum(heights) * (width + GAP)) ** 0.5, *heights])
    count = len(_filled(cards, page))
    limit = max([sum(heights) / max(count, 1), *heights])
    while len(_filled(cards, limit)) > count:
        limit += GAP
    return _filled(cards, limit)


def _filled(cards: Sequence[_Card], limit: float) -> list[list[_Card]]:
    """Fill columns one after the other, each up to a height."""
    columns: list[list[_Card]] = []
    filled = math.inf
    for card in cards:
        if filled + card.height > limit:
            columns.append([])
            filled = 0.0
        columns[-1].append(card)
        filled += card.height + GAP
    return columns


def _paint_card(canvas: Canvas, card: _Card, size: Size, left: float) -> None:
    canvas.box((size[0] / 2, size[1] / 2), size, "white", RULE, 0.9)
    canvas.write((PAD, size[1] - 0.05 - HEAD / 2), card.title, TITLE, across="left", bold=True)
    start = 2 * PAD + left
    thick = min(0.12, (card.step - 0.05) / card.values.shape[1])
    for row, (state, values) in enumerate(zip(card.states, card.values, strict=True)):
        middle = size[1] - HEAD - (row + 0.5) * card.step
        canvas.write((PAD + left, middle), state, STATE, across="right")
        for k, value in enumerate(values.tolist()):
            up = middle + (len(values) / 2 - k - 0.5) * (thick + 0.015)
            canvas.bar((start, up - thick / 2), (BAR, thick), "#eef1f4", 4)
            canvas.bar((start, up - thick / 2), (BAR * min(value, 1.0), thick), COLORS[k], 4)
            number = (start + BAR + FIGURE, up)
            letters = STATE - 1.0 if len(values) == 1 else 6.8
            canvas.write(number, _figure(value), letters, across="right", color=DIM)


def _figure(value: float) -> str:
    """Write a probability with three decimals, and say when it is smaller than they show."""
    return "<.001" if 0 < value < 0.0005 else f"{value:.3f}"


def _paint_legend(canvas: Canvas, names: Sequence[str], upright: bool) -> None:
    x, y = 0.0, -0.1
    for name, color in zip(names, COLORS, strict=False):
        canvas.bar((x, y - 0.06), (0.22, 0.12), color, 4)
        canvas.write((x + 0.3, y), name, STATE, across="left")
        if upright:
            y -= 0.24
        else:
            x += 0.3 + text_size(name, STATE)[0] + 0.3
