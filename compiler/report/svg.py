"""Figures -> inline SVG for a page. Kinds are told apart by hatching as well as by colour, and by words beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from moec.compiler.plain_text import plain, wrapped
from moec.compiler.report.figures import NOTHING_CUT, AxisBand, MemoryFigure, MeshFigure, Part, TimeFigure

WIDTH: Final = 480
ROW: Final = 44
"""Height of a bar with its words above it."""

FILLS: Final = {
    "parameters": "solid",
    "gradients": "right",
    "optimizer": "left",
    "activations": "dots",
    "compute": "solid",
    "memory": "right",
    "network": "cross",
    "overhead": "dots",
}
"""Which pattern a kind has."""

PATTERNS: Final = """<svg class="patterns" width="0" height="0" aria-hidden="true"><defs>
<pattern id="solid" width="8" height="8" patternUnits="userSpaceOnUse">
<rect width="8" height="8" fill="#2f5d8a"/></pattern>
<pattern id="right" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="#f3c88b"/>
<path d="M-2 10 10-2M-2 2 2-2M6 10 10 6" stroke="#7a4a00" stroke-width="1.5"/></pattern>
<pattern id="left" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="#bfe0c2"/>
<path d="M-2-2 10 10M6-2 10 2M-2 6 2 10" stroke="#1f5a2a" stroke-width="1.5"/></pattern>
<pattern id="cross" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="#e7b3b3"/>
<path d="M-2-2 10 10M-2 10 10-2" stroke="#7d1f1f" stroke-width="1.2"/></pattern>
<pattern id="dots" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="#e4e4ee"/>
<circle cx="2" cy="2" r="1.3" fill="#444"/><circle cx="6" cy="6" r="1.3" fill="#444"/></pattern>
</defs></svg>"""
"""The fills of all drawings of a page, which stand on it once."""

MOST_ROWS: Final = 12
"""Parts of a step that are drawn one by one; the rest are added up by cause."""

BOLD: Final = ' font-weight="600"'
SMALL: Final = ' font-size="12" fill="#333"'


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    """Words at a place; what they say is data, never markup."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(plain(words))}</text>'


def bar(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A rectangle in the pattern of its kind, at least a hair wide."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" '
        f'fill="url(#{FILLS[kind]})" stroke="#222" stroke-width="0.8"/>'
    )


def drawing(title: str, height: float, shapes: Sequence[str]) -> str:
    """A figure as wide as its column; `title` is what a screen reader says."""
    inside = "\n".join(shapes)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(plain(title), quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">\n{inside}\n</svg>'
    )


def memory_svg(figure: MemoryFigure) -> str:
    """One bar of all parts against the memory of a device, and a line for each part."""
    total = sum(part.value for part in figure.parts)
    whole = max(figure.limit, total) or 1
    shapes, x = [text(0, 16, figure.note, BOLD)], 0.0
    for part in figure.parts:
        width = WIDTH * part.value / whole
        shapes.append(bar(x, 28, width, 40, part.kind))
        x += width
    if figure.limit:
        end = WIDTH * figure.limit / whole
        shapes.append(f'<rect x="0.5" y="28" width="{end - 1:.1f}" height="40" fill="none" stroke="#222"/>')
    for number, part in enumerate(figure.parts):
        y = 96 + 22 * number
        shapes += [bar(0, y - 12, 16, 14, part.kind), text(24, y, part.label), text(WIDTH, y, part.text, "", "end")]
    return drawing(figure.title, 92 + 22 * len(figure.parts), shapes)


def time_svg(figure: TimeFigure) -> str:
    """A bar for each part of a step, longest first, with its cause."""
    parts = most_of(figure.parts)
    longest = max(part.value for part in parts)
    shapes = [text(0, 16, figure.note, BOLD)]
    for number, part in enumerate(parts):
        y = 44 + ROW * number
        shapes += [
            text(0, y, f"{part.label} ({part.kind})"),
            text(WIDTH, y, part.text, "", "end"),
            bar(0, y + 6, WIDTH * part.value / longest, 16, part.kind),
        ]
    return drawing(figure.title, 44 + ROW * len(parts) - 12, shapes)


def most_of(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The largest parts, and what the smaller ones of each cause add up to."""
    shown, rest = tuple(parts[:MOST_ROWS]), parts[MOST_ROWS:]
    kinds = dict.fromkeys(part.kind for part in rest)
    return (*shown, *(_added_up([part for part in rest if part.kind == kind]) for kind in kinds))


def _added_up(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Part(f"{len(parts)} others", sum(part.value for part in parts), f"up to {first.text} each", first.kind)


BAND: Final = 118
"""Height of an axis: its name, what lies on it, the cells, what is sent on two lines."""

SENT_COLUMNS: Final = 68
"""Letters of small print that the width holds."""

MOST_CELLS: Final = 12


def mesh_svg(figure: MeshFigure) -> str:
    """A band for each axis, outermost first: as many cells as fit, what lies on it, what is sent over it."""
    shapes = [text(0, 16, figure.note, BOLD)]
    for number, band in enumerate(figure.bands):
        shapes += _band(band, 44 + BAND * number)
    if not figure.bands:
        shapes.append(text(0, 40, NOTHING_CUT))
    return drawing(figure.title, 44 + max(12, BAND * len(figure.bands) - 20), shapes)


def _band(band: AxisBand, y: float) -> Iterator[str]:
    cells = band.cells(MOST_CELLS)
    width, dashes = WIDTH / len(cells), "4 3" if band.slow else ""
    yield text(0, y, band.name, BOLD)
    yield text(0, y + 18, band.carries, SMALL)
    for cell, label in enumerate(cells):
        fill = "#fff" if cell % 2 else "#dce6f0"
        yield (
            f'<rect x="{cell * width + 0.5:.1f}" y="{y + 26:.1f}" width="{width - 1:.1f}" height="24" fill="{fill}" '
            f'stroke="#222" stroke-width="0.8" stroke-dasharray="{dashes}"/>'
        )
        yield text(cell * width + width / 2, y + 43, label, SMALL, "middle")
    for line, words in enumerate(wrapped(band.sending, SENT_COLUMNS)):
        yield text(0, y + 68 + 15 * line, words, SMALL)
