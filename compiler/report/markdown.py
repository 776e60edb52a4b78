"""Report -> Markdown: the plan.md that is written beside a program."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moec.compiler.places import NOWHERE, Places
from moec.compiler.plain_text import plain
from moec.compiler.plan import Plan
from moec.compiler.report.document import Bars, Column, Fact, Facts, Part, Report, Section, Table
from moec.compiler.report.sections import report_of

_BAR = 20
_SPECIAL = re.compile(r"([|*`<>\[\]#~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def plan_markdown(plan: Plan, places: Places = NOWHERE) -> str:
    """The text of plan.md; `places` say which line of the spec a number comes from."""
    return as_markdown(report_of(plan, places))


def as_markdown(report: Report) -> str:
    """The whole report; ends with a line end."""
    rows = [f"# {escaped(report.title)}", "", *(f"{escaped(line)}  " for line in report.summary)]
    for section in report.sections:
        rows += ["", *section_markdown(section)]
    return "\n".join(row.rstrip() if row.strip() == "" else row for row in rows) + "\n"


def section_markdown(section: Section) -> Iterator[str]:
    """The title as a heading, then the parts with a blank line before each."""
    yield f"## {escaped(section.title)}"
    for part in section.parts:
        yield ""
        yield from _part(part)


def escaped(text: str) -> str:
    """`text` on one line, with what Markdown would read as markup taken literally."""
    return _SPECIAL.sub(r"\\\1", plain(text))


def code_span(text: str) -> str:
    """`text` in a code span; "" stays empty."""
    return f"`{plain(text).replace('`', chr(39)).replace('|', '/')}`" if text else ""


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Facts):
        yield from (line for fact in part.facts for line in _fact(fact))
    elif isinstance(part, Bars):
        yield from _bars(part)
    else:
        yield escaped(part.text)


def _table(table: Table) -> Iterator[str]:
    yield _row(escaped(column.title) for column in table.columns)
    yield _row("---:" if column.align == "right" else "---" for column in table.columns)
    yield from (_row(_cells(row, table.columns)) for row in table.rows)
    if table.total:
        yield _row(f"**{escaped(cell)}**" if cell else "" for cell in table.total)


def _cells(row: tuple[str, ...], columns: tuple[Column, ...]) -> Iterator[str]:
    """The cells of a row; a heading is bold and leaves the rest of its row empty."""
    if len(row) == 1:
        return iter((f"**{escaped(row[0])}**", *[""] * (len(columns) - 1)))
    pairs = zip(row, columns, strict=True)
    return (code_span(cell) if column.is_code else escaped(cell) for cell, column in pairs)


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fact(fact: Fact) -> Iterator[str]:
    """One bullet: name, value, formula, and in italics where both come from."""
    formula = f" = {code_span(fact.formula)}" if fact.formula else ""
    origin = ", ".join(escaped(text) for text in (fact.source, fact.place) if text)
    yield f"- {code_span(fact.name)}: **{escaped(fact.value)}**{formula}" + (f" *({origin})*" if origin else "")


def _bars(part: Bars) -> Iterator[str]:
    yield "| what | value | | |"
    yield "|---|---:|---|---|"
    for bar in part.bars:
        filled = min(_BAR, max(1 if bar.share > 0 else 0, round(bar.share * _BAR)))
        drawn = "█" * filled + "░" * (_BAR - filled)
        yield f"| {escaped(bar.label)} | {escaped(bar.value)} | {drawn} | {escaped(bar.note)} |"
