"""The lines of a source that a diagnostic is about, with its marks and labels below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moec.spec.render.paint import Paint, Style
from moec.spec.render.visible import cells, visible, width
from moec.spec.source import Source, Span


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to underline, and what to say of it."""

    span: Span
    text: str
    style: Style
    sign: str


def gutter_width(marks: Sequence[Mark], source: Source) -> int:
    """The width of the widest line number that `marks` need."""
    return max(len(str(source.position(mark.span.start).line)) for mark in marks)


def excerpt(marks: Sequence[Mark], source: Source, gutter: int, columns: int, paint: Paint) -> list[str]:
    """The marked lines of `source`, each once, numbered; below each its marks from left to right.

    Units: `gutter` and `columns` are columns of the terminal; longer lines are cut around their first mark.
    """
    lines: list[str] = []
    by_line: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.span.start, mark.span.end)):
        by_line.setdefault(source.position(mark.span.start).line, []).append(mark)
    for number, on_line in by_line.items():
        window = _window(source, number, on_line[0], max(columns - gutter - 3, 20))
        bar = paint("|", "gutter")
        lines.append(f"{paint(str(number).rjust(gutter), 'gutter')} {bar} {''.join(window.shown)}".rstrip())
        lines += (f"{' ' * gutter} {bar} {_underline(mark, source, number, window, paint)}" for mark in on_line)
    return lines


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a line that is shown: code points from `first`, and what is shown for each."""

    first: int
    shown: list[str]


def _window(source: Source, number: int, mark: Mark, columns: int) -> _Window:
    line = source.line(number)
    start = source.position(mark.span.start).column - 1
    if len(line) <= columns and sum(map(width, shown := cells(line))) <= columns:
        return _Window(0, shown)
    first = 0 if start < columns // 2 else start - columns // 4
    shown = _fitting(cells(line[first : first + columns]), columns - 2)
    cut_behind = first + len(shown) < len(line)
    if first:
        shown[0] = "…"
    return _Window(first, [*shown, "…"] if cut_behind else shown)


def _fitting(shown: list[str], columns: int) -> list[str]:
    """As many of `shown` as fit, at least one."""
    taken = 0
    for count, piece in enumerate(shown):
        taken += width(piece)
        if taken > columns and count:
            return shown[:count]
    return shown


def _underline(mark: Mark, source: Source, number: int, window: _Window, paint: Paint) -> str:
    start = source.position(mark.span.start).column - 1 - window.first
    end_position = source.position(mark.span.end)
    line_end = len(source.line(number))
    end = (end_position.column - 1 if end_position.line == number else line_end) - window.first
    before = sum(map(width, window.shown[:start]))
    length = max(1, sum(map(width, window.shown[max(start, 0) : end])))
    text = f" {visible(mark.text)}" if mark.text else ""
    return " " * before + paint(mark.sign * length + text, mark.style)
