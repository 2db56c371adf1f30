"""Shades for amounts: from orange to dark brown, told apart by every eye and in greyscale."""

from dataclasses import dataclass
from typing import TypeAlias

from quincunx.graphs.draw._canvas import DIM, Canvas

Color: TypeAlias = tuple[int, int, int]  # red, green and blue, 0 to 255

NOTHING = "#bac3ca"  # a line's colour for no amount
# ColorBrewer's YlOrBr from its fifth step on: lightness falls evenly, from below that of NOTHING.
STEPS = ((254, 153, 41), (236, 112, 20), (204, 76, 2), (153, 52, 4), (102, 37, 6))
BAR, WIDTH, PARTS = 1.5, 0.16, 48  # inches high, inches wide, rectangles


@dataclass(frozen=True, slots=True)
class Shades:
    """Colours for the amounts from 0 to ``most``.

    Reference:
        C. Brewer, M. Harrower, "ColorBrewer.org", 2003, scheme YlOrBr.
    """

    most: float

    def color(self, amount: float) -> str:
        """Return the colour of an amount as ``#rrggbb``; beyond the ends it is that of the end."""
        at = min(max(amount / self.most, 0.0), 1.0) * (len(STEPS) - 1)
        i = min(int(at), len(STEPS) - 2)
        return blend(STEPS[i], STEPS[i + 1], at - i)


def blend(low: Color, high: Color, share: float) -> str:
    """Return the colour between two, from ``low`` at 0 to ``high`` at 1, as ``#rrggbb``."""
    parts = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def shade_bar(canvas: Canvas, shades: Shades, title: str) -> None:
    """Draw the bar that says what the shades mean, centred on the canvas's left edge's foot."""
    low = -BAR / 2 - 0.1
    step = BAR / PARTS
    for i in range(PARTS):
        color = shades.color(shades.most * (i + 0.5) / PARTS)
        # A little higher than its share, so that no light shows between.
        canvas.bar((0, low + i * step), (WIDTH, step * (1.5 if i < PARTS - 1 else 1)), color)
    for share in (0.0, 0.5, 1.0):
        at = (WIDTH + 0.07, low + share * BAR)
        canvas.write(at, f"{share * shades.most:.2g}", 8.0, across="left", color=DIM)
    canvas.write((0, low + BAR + 0.1), title, 8.5, across="left", upright="bottom")
