"""Diagnostics for people: the message, the lines at fault with marks below them, and how to mend them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from moec.spec.diagnostics import Diagnostic
from moec.spec.render.excerpt import Mark, excerpt, gutter_width
from moec.spec.render.paint import Paint, in_colour, plain
from moec.spec.render.visible import positions, visible
from moec.spec.source import Sources, Span


def render_full(diagnostics: Iterable[Diagnostic], sources: Sources, *, color: bool, width: int) -> str:
    """All `diagnostics` in their order with excerpts of `sources`, and a last line that counts them; "" for none.

    Units: `width` is in columns of the terminal.
    """
    told = tuple(diagnostics)
    if not told:
        return ""
    paint = in_colour if color else plain
    blocks = ["\n".join(_lines(diagnostic, sources, width, paint)) for diagnostic in told]
    return "\n\n".join((*blocks, count(told))) + "\n"


def count(diagnostics: Sequence[Diagnostic]) -> str:
    """How many errors and warnings there are: `2 errors, 1 warning`."""
    parts: list[str] = []
    for severity in ("error", "warning"):
        number = sum(diagnostic.severity == severity for diagnostic in diagnostics)
        if number:
            parts.append(f"{number} {severity}" + ("s" if number > 1 else ""))
    return ", ".join(parts)


def _lines(diagnostic: Diagnostic, sources: Sources, width: int, paint: Paint) -> list[str]:
    severity = diagnostic.severity
    lines = [f"{paint(f'{severity}[{diagnostic.code}]', severity)}{paint(f': {visible(diagnostic.message)}', 'title')}"]
    by_file = _marks_by_file(diagnostic, sources)
    gutter = max((gutter_width(marks, sources[file]) for file, marks in by_file.items()), default=1)
    lines.append(f"{' ' * gutter}{paint('-->', 'gutter')} {_place(diagnostic.span, sources)}")
    for file, marks in by_file.items():
        if file != diagnostic.span.file:
            lines.append(f"{' ' * gutter}{paint(':::', 'gutter')} {_place(marks[0].span, sources)}")
        lines += excerpt(marks, sources[file], gutter, width, paint)
    remarks = [("check", diagnostic.check)] if diagnostic.check else []
    remarks += [("help", text) for text in diagnostic.helps]
    remarks += [("note", text) for text in diagnostic.notes]
    for kind, text in remarks:
        lines += _remark(kind, text, gutter, width, paint)
    return lines


def _marks_by_file(diagnostic: Diagnostic, sources: Sources) -> dict[str, list[Mark]]:
    """The marks of a diagnostic, those in its own file first; none in files that could not be read."""
    marks = [Mark(diagnostic.span, diagnostic.label, diagnostic.severity, "^")]
    marks += (Mark(other.span, other.text, "second", "-") for other in diagnostic.others)
    by_file: dict[str, list[Mark]] = {}
    for mark in marks:
        if mark.span.file in sources:
            by_file.setdefault(mark.span.file, []).append(mark)
    return by_file


def _place(span: Span, sources: Sources) -> str:
    start, _ = positions(span, sources)
    place = f":{start.line}:{start.column}" if span.file in sources else ""
    return visible(span.file) + place


def _remark(kind: str, text: str, gutter: int, width: int, paint: Paint) -> list[str]:
    head = f"{' ' * gutter} = {kind}: "
    room = max(width - len(head), 20)
    wrapped = [
        piece
        for line in visible(text).split("\n")
        for piece in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    first = f"{' ' * gutter} {paint('=', 'gutter')} {paint(kind, 'help')}: {wrapped[0]}"
    return [first, *(" " * len(head) + line for line in wrapped[1:])]
