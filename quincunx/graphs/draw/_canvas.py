"""A page in inches to draw on, with matplotlib: boxes, lines and arrows that keep their shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from quincunx.graphs.draw._packing import Point, Size

Axes: TypeAlias = Any  # matplotlib.axes.Axes

INK, DIM, FAINT, RULE = "#22303c", "#435260", "#7b8894", "#d3dae0"
TIP_LENGTH, TIP_WIDTH = 0.12, 0.095  # inches, of an arrow's head
X_HEIGHT = 0.34  # how far the middle of letters is above their baseline, in sizes of the font
BEHIND, LINES, BOXES = 0, 1, 3  # what covers what


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line is drawn.

    Attributes:
        color: as matplotlib has it.
        width: in points.
        style: of matplotlib, such as "-" or "--".
        twin: whether there are two lines, side by side.
    """

    color: str
    width: float
    style: str = "-"
    twin: bool = False


@dataclass(frozen=True, slots=True)
class Canvas:
    """Axes in which an inch is a unit, and what is drawn there.

    Attributes:
        ax: the axes.
        scale: what letters and widths of lines are multiplied by where there is less room.
        origin: the canvas's lower left corner in the axes.
    """

    ax: Axes
    scale: float
    origin: Point = (0.0, 0.0)

    def part(self, x: float, y: float) -> "Canvas":
        """Return the canvas whose lower left corner is at a point of this one."""
        return Canvas(self.ax, self.scale, self._at((x, y)))

    def plot(self, x: float, y: float, size: Size) -> Axes:
        """Return new axes, of their own units, in a rectangle of the canvas."""
        return self.ax.inset_axes((*self._at((x, y)), *size), transform=self.ax.transData)

    def write(
        self,
        at: Point,
        text: str,
        size: float,
        *,
        across: str = "center",
        upright: str = "center",
        color: str = INK,
        bold: bool = False,
    ) -> None:
        """Write text as it is, its dollar signs too; ``upright="center"`` centres small letters."""
        x, y = self._at(at)
        if upright == "center" and "\n" not in text:
            # Else names with and without descenders would stand at different heights.
            upright, y = "baseline", y - X_HEIGHT * size / 72
        self.ax.text(
            x,
            y,
            text,
            fontsize=size * self.scale,
            ha=across,
            va=upright,
            color=color,
            weight="bold" if bold else "normal",
            linespacing=1.15,
            parse_math=False,
            usetex=False,
            zorder=BOXES + 1,
        )

    def box(self, middle: Point, size: Size, fill: str, edge: str, width: float = 1.1) -> None:
        """Draw a box with round corners."""
        from matplotlib.patches import FancyBboxPatch

        x, y = self._at(middle)
        look: dict[str, Any] = {"fc": fill, "ec": edge, "lw": width * self.scale, "zorder": BOXES}
        look["boxstyle"] = f"round,pad=0,rounding_size={min(0.07, *(s / 2 for s in size))}"
        corner = (x - size[0] / 2, y - size[1] / 2)
        self.ax.add_patch(FancyBboxPatch(corner, *size, **look))

    def bar(self, corner: Point, size: Size, color: str, order: float = BEHIND) -> None:
        """Fill a rectangle."""
        from matplotlib.patches import Rectangle

        self.ax.add_patch(Rectangle(self._at(corner), *size, color=color, lw=0, zorder=order))

    def dot(self, middle: Point, color: str, radius: float) -> None:
        """Draw a disc."""
        from matplotlib.patches import Circle

        self.ax.add_patch(Circle(self._at(middle), radius, color=color, lw=0, zorder=BOXES))

    def mark(self, at: Point, mark: str, color: str, size: float) -> None:
        """Draw one of matplotlib's marks, of a size in points."""
        x, y = self._at(at)
        self.ax.plot(x, y, ls="", marker=mark, ms=size * self.scale, color=color, clip_on=False)

    def line(self, way: Sequence[Point], stroke: Stroke) -> None:
        """Draw a smooth line from the first of two or more points to the last, near the others.

        It stays between the chords.
        """
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        points = [self._at(p) for p in way]
        path, codes = [points[0]], [Path.MOVETO]
        for i in range(1, len(points) - 1):
            # A quadratic B-spline: it bends from the middle of a chord to that of the next.
            following = points[i + 1]
            end = following if i == len(points) - 2 else _middle(points[i], following)
            path += [points[i], end]
            codes += [Path.CURVE3, Path.CURVE3]
        if len(points) == 2:
            path, codes = points, [Path.MOVETO, Path.LINETO]
        coats = [(stroke.color, stroke.width)]
        if stroke.twin:
            coats = [(stroke.color, stroke.width + 2.4), ("white", stroke.width * 0.4 + 0.8)]
        for ink, broad in coats:
            look = {"edgecolor": ink, "linewidth": broad * self.scale, "linestyle": stroke.style}
            # Projecting ends reach under the boxes, so that a slanted one leaves no notch.
            look["capstyle"] = "projecting" if stroke.style == "-" else "butt"
            patch = PathPatch(Path(path, codes), fill=False, **look)
            self.ax.add_patch(patch).set_zorder(LINES)

    def arrow(self, way: Sequence[Point], stroke: Stroke) -> None:
        """Draw a line as :meth:`line` does, with a head at its end."""
        from matplotlib.patches import Polygon

        (x0, y0), (x1, y1) = way[-2], way[-1]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        broad = TIP_WIDTH * (1.5 if stroke.twin else 1.0) / 2 + stroke.width * 0.01
        neck = (x1 - dx * TIP_LENGTH, y1 - dy * TIP_LENGTH)
        self.line([*way[:-1], neck], stroke)
        sides = [(neck[0] - s * dy * broad, neck[1] + s * dx * broad) for s in (1, -1)]
        corners = [self._at(p) for p in ((x1, y1), *sides)]
        self.ax.add_patch(Polygon(corners, color=stroke.color, lw=0, zorder=LINES + 1))

    def _at(self, point: Point) -> Point:
        return self.origin[0] + point[0], self.origin[1] + point[1]


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
