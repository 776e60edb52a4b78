"""Report -> text for a terminal: aligned columns, at most 100 wide, no colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from moec.compiler.places import NOWHERE, Places
from moec.compiler.plain_text import columns, plain, wrapped
from moec.compiler.plan import Plan
from moec.compiler.report.document import Bars, Facts, Part, Report, Section, Table
from moec.compiler.report.sections import report_of

WIDTH = 100
_BAR = 30
_MARGIN = "  "


def plan_text(plan: Plan, places: Places = NOWHERE) -> str:
    """What `moec plan` prints; `places` say which line of the spec a number comes from."""
    return as_text(report_of(plan, places))


def as_text(report: Report) -> str:
    """The whole report; ends with a line end."""
    rows = [plain(report.title), *(_MARGIN + row for line in report.summary for row in wrapped(plain(line), WIDTH - 2))]
    for section in report.sections:
        rows += ["", *section_text(section)]
    return "\n".join(row.rstrip() for row in rows) + "\n"


def section_text(section: Section) -> Iterator[str]:
    """The title in capitals, then the parts with a blank line between them."""
    yield section.title.upper()
    for number, part in enumerate(section.parts):
        if number:
            yield ""
        yield from part_text(part)


def part_text(part: Part) -> Iterator[str]:
    """The lines of one part."""
    if isinstance(part, Table):
        yield from table_text(part)
    elif isinstance(part, Facts):
        yield from _facts(part)
    elif isinstance(part, Bars):
        yield from _bars(part)
    else:
        yield from (_MARGIN + row for row in wrapped(plain(part.text), WIDTH - 2))


def table_text(table: Table) -> Iterator[str]:
    """The header, the rows and the total in aligned columns; text that is too long for the width is cut with `…`."""
    header = tuple(column.title for column in table.columns)
    rows = [[plain(cell) for cell in row] for row in (header, *table.rows, *((table.total,) if table.total else ()))]
    widths = _widths(rows)
    for number, row in enumerate(rows):
        if number == len(rows) - 1 and table.total:
            yield _MARGIN + "-" * (sum(widths) + 2 * (len(widths) - 1))
        cells = (_cell(cell, width, column.align) for cell, width, column in zip(row, widths, table.columns, strict=True))
        yield (_MARGIN + "  ".join(cells)).rstrip()


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """As wide as the widest cell; where that is too much in all, the widest column gives way."""
    widths = [max(columns(cell) for cell in column) for column in zip(*rows, strict=True)]
    excess = sum(widths) + 2 * len(widths) - WIDTH
    if excess > 0:
        widest = widths.index(max(widths))
        widths[widest] = max(8, widths[widest] - excess)
    return widths


def _cell(text: str, width: int, align: str) -> str:
    shown = text if columns(text) <= width else _cut(text, width)
    space = " " * (width - columns(shown))
    return space + shown if align == "right" else shown + space


def _cut(text: str, width: int) -> str:
    while columns(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _facts(part: Facts) -> Iterator[str]:
    """The name and the value, below them formula and source, indented to one column."""
    width = max(columns(fact.name) for fact in part.facts) + 2
    room = WIDTH - 2 - width
    for fact in part.facts:
        yield f"{_MARGIN}{fact.name.ljust(width)}{plain(fact.value)}"
        origin = ", ".join(text for text in (plain(fact.source), plain(fact.place)) if text)
        below = [f"= {plain(fact.formula)}"] if fact.formula else []
        below += [f"[{origin}]"] if origin else []
        yield from (_MARGIN + " " * width + row for line in below for row in wrapped(line, room))


def _bars(part: Bars) -> Iterator[str]:
    labels = max(columns(bar.label) for bar in part.bars)
    values = max(columns(bar.value) for bar in part.bars)
    for bar in part.bars:
        filled = min(_BAR, max(1 if bar.share > 0 else 0, round(bar.share * _BAR)))
        drawn = "#" * filled + "." * (_BAR - filled)
        yield f"{_MARGIN}{bar.label.ljust(labels)}  {bar.value.rjust(values)}  {drawn}  {bar.note}"
