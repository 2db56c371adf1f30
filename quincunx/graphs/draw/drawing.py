"""A drawing: its size on paper, and how it is painted into axes, figures and files."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from quincunx._atomic import atomic_write
from quincunx._errors import ModelError, need_extra
from quincunx.graphs.draw._canvas import Axes, Canvas
from quincunx.graphs.draw._text import text_size

Figure: TypeAlias = Any  # matplotlib.figure.Figure

LARGEST = 48.0  # inches of a figure; what needs more is drawn smaller
MARGIN, GUTTER, TITLE = 0.25, 0.45, 11.5  # inches, inches, points
KINDS = ("svg", "png", "pdf")
DOTS = 160  # an inch of a png


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that can be shown, saved, and put into axes of matplotlib (extra ``plots``).

    A notebook shows it by itself. Nothing opens a window or needs a display.

    Attributes:
        width: inches.
        height: inches.
        paint: draws it on a canvas of that size.
    """

    width: float
    height: float
    paint: Callable[[Canvas], None] = field(repr=False, compare=False)

    def on(self, ax: Axes) -> Axes:
        """Draw into axes of matplotlib, smaller where these have less room, and return them."""
        ax.set_xlim(0, self.width)
        ax.set_ylim(0, self.height)
        ax.set_aspect("equal")
        ax.set_axis_off()
        room = ax.get_window_extent()
        dots = ax.figure.dpi
        scale = min(1.0, room.width / dots / self.width, room.height / dots / self.height)
        self.paint(Canvas(ax, scale))
        return ax

    def figure(self) -> Figure:
        """Return a new figure of matplotlib with the drawing, no side above 48 inches."""
        from matplotlib.figure import Figure

        shrink = min(1.0, LARGEST / self.width, LARGEST / self.height)
        figure = Figure(figsize=(self.width * shrink, self.height * shrink))
        self.on(figure.add_axes((0, 0, 1, 1)))
        return figure

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of the kind that its name ends with; it is whole or not there.

        The same drawing gives the same bytes with the same version of matplotlib.

        Arguments:
            path: the file, which is replaced if it exists.

        Raises:
            ModelError: the name does not end with .svg, .png or .pdf.
            FileNotFoundError: the folder does not exist.
        """
        kind = picture_kind(path)
        with atomic_write(path, "wb") as file:
            _render(self.figure(), file, kind)

    def _repr_svg_(self) -> str:
        """Show the drawing in a notebook."""
        file = io.BytesIO()
        _render(self.figure(), file, "svg")
        return file.getvalue().decode()


def picture_kind(path: str | os.PathLike[str]) -> str:
    """Return the kind of picture that a file's name ends with: ``svg``, ``png`` or ``pdf``.

    Raises:
        ModelError: it ends with something else.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> from quincunx.graphs.draw import picture_kind
        >>> picture_kind("graph.SVG")
        'svg'
    """
    need_extra("matplotlib", "plots", "a drawing")
    kind = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
    if kind not in KINDS:
        raise ModelError(
            f"{os.fspath(path)}: the name of a picture ends with .svg, .png or .pdf, which says "
            "of which kind it is"
        )
    return kind


def beside(left: Drawing, right: Drawing) -> Drawing:
    """Set two drawings side by side, their upper edges level."""
    height = max(left.height, right.height)

    def paint(canvas: Canvas) -> None:
        left.paint(canvas.part(0, height - left.height))
        right.paint(canvas.part(left.width + GUTTER, height - right.height))

    return Drawing(left.width + GUTTER + right.width, height, paint)


def titled(drawing: Drawing, title: str) -> Drawing:
    """Write a title of one or more lines above a drawing.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need_extra("matplotlib", "plots", "a drawing")
    broad, high = text_size(title, TITLE, bold=True)
    width = max(drawing.width, broad + 2 * MARGIN)
    height = drawing.height + high + MARGIN

    def paint(canvas: Canvas) -> None:
        drawing.paint(canvas.part((width - drawing.width) / 2, 0))
        at = (MARGIN, height - MARGIN)
        canvas.write(at, title, TITLE, across="left", upright="top", bold=True)

    return Drawing(width, height, paint)


def _render(figure: Figure, file: Any, kind: str) -> None:
    import matplotlib

    # Neither the date nor random names: the same drawing is the same file.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    with matplotlib.rc_context({"svg.hashsalt": "quincunx"}):
        figure.savefig(file, format=kind, dpi=DOTS, facecolor="white", metadata=dates[kind])
