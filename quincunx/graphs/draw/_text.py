"""The room that text takes, in inches, and how it is cut to fit; matplotlib's fonts measure it."""

import math
from collections.abc import Sequence

POINT = 1 / 72  # inches
LINE = 1.35  # height of a line, in sizes of the font
LONGEST = 24  # letters of a name that are shown


def text_size(text: str, size: float, *, bold: bool = False) -> tuple[float, float]:
    """Return the width and height in inches of text of a size in points, lines and all."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    measure = TextToPath().get_text_width_height_descent
    lines = text.split("\n")
    width = max(measure(line, font, ismath=False)[0] for line in lines)
    return float(width) * POINT, len(lines) * LINE * size * POINT


def padded(text: str, size: float, across: float, upright: float) -> tuple[float, float]:
    """Return the size of a box around text, larger by so many inches; none around no text."""
    width, height = text_size(text, size)
    return (width + across, height + upright) if text else (0.0, 0.0)


def short(name: str) -> str:
    """Cut a name that is too long for a box."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def wrapped(names: Sequence[str]) -> str:
    """Write names in lines of a length that makes a large cluster a box and not a ribbon."""
    words = [short(n) for n in names]
    length = max(18.0, 1.8 * math.sqrt(sum(len(n) + 2 for n in words)))
    lines: list[str] = []
    for i, name in enumerate(words):
        word = name + ("," if i < len(words) - 1 else "")
        if lines and len(lines[-1]) + len(word) < length:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
