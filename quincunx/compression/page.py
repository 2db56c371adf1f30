"""A report that people look at: one HTML page with its pictures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
svg text { font: 11px system-ui, sans-serif; fill: #333; }
.bar { fill: #2a6f97; } .note { color: #555; }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #16181c; } th, td { border-color: #444; }
  svg text { fill: #ccc; } .bar { fill: #61a5c2; } .note { color: #aaa; } }
"""
ROW, LEFT, WIDE, RIGHT = 15, 250, 480, 90


def page(title: str, figures: Sequence[tuple[str, str]], report: Mapping[str, Any] | None) -> str:
    """Write the page.

    Arguments:
        title: of the page.
        figures: names and values, for the table at the top.
        report: what ``quincunx-report.json`` holds, or None.
    """
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in figures)
    parts = [f"<h1>{escape(title)}</h1>", f"<table>{rows}</table>"]
    if report is not None:
        layers = report["layers"]
        parts += [
            "<h2>Error of each layer's outputs</h2>",
            "<p class=note>tr(E H E') over tr(W H W'): the squares of the errors of a layer's "
            "outputs on the calibration text, as a fraction of the outputs' own.</p>",
            _bars([(layer["name"], layer["relative_loss"]) for layer in layers]),
            "<h2>Layers</h2>",
            _table(layers),
            f"<p class=note>Recipe {escape(str(report['recipe']))}. Calibration "
            f"{escape(str(report['calibration']))}.</p>",
        ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _bars(values: Sequence[tuple[str, float]]) -> str:
    """Draw a bar for each name."""
    most = max((value for _, value in values), default=0.0) or 1.0
    drawn = []
    for number, (name, value) in enumerate(values):
        y = ROW * number
        drawn.append(
            f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(_short(name))}</text>'
            f'<rect class="bar" x="{LEFT}" y="{y + 2}" width="{WIDE * value / most:.1f}" '
            f'height="{ROW - 4}"><title>{escape(name)}: {value:.3e}</title></rect>'
            f'<text x="{LEFT + WIDE * value / most + 5:.1f}" y="{y + 11}">{value:.2%}</text>'
        )
    height = ROW * len(values)
    return (
        f'<svg role="img" width="{LEFT + WIDE + RIGHT}" height="{height}" '
        f'viewBox="0 0 {LEFT + WIDE + RIGHT} {height}">{"".join(drawn)}</svg>'
    )


def _short(name: str) -> str:
    return name if len(name) <= 40 else "…" + name[-39:]


def _table(layers: Sequence[Mapping[str, Any]]) -> str:
    """List the layers."""
    rows = []
    for layer in layers:
        m, n = layer["shape"]
        rows.append(
            f"<tr><td>{escape(layer['name'])}</td><td>{m} x {n}</td><td>{layer['bits']:g}</td>"
            f"<td>{layer['stored_bits'] / (m * n):.3f}</td><td>{layer['proxy_loss']:.4g}</td>"
            f"<td>{layer['relative_loss']:.3%}</td><td>{layer['tokens']:,}</td></tr>"
        )
    head = "".join(
        f"<th>{h}</th>"
        for h in ("layer", "out x in", "bits", "stored", "proxy loss", "relative", "tokens")
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
