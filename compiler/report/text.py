"""Report -> text for a terminal: aligned columns, at most 100 wide, no colour."""

from __future__ import annotations

from collections.abc import Iterator

from moec.compiler.places import NOWHERE, Places
from moec.compiler.plain_text import columns, plain, wrapped
from moec.compiler.plan import Plan
from moec.compiler.report.document import Bars, Facts, Part, Report, Section, Table
from moec.compiler.report.sections import report_of
from moec.compiler.report.text_table import MARGIN, WIDTH, table_text

_SHORTEST_BAR, _LONGEST_BAR = 10, 30
_VALUE_COLUMN = 36


def plan_text(plan: Plan, places: Places = NOWHERE) -> str:
    """What `moec plan` prints; `places` say which line of the spec a number comes from."""
    return as_text(report_of(plan, places))


def as_text(report: Report) -> str:
    """The whole report; ends with a line end."""
    rows = [*wrapped(plain(report.title), WIDTH), *(row for line in report.summary for row in _paragraph(line))]
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
        yield from _paragraph(part.text)


def _paragraph(text: str, indent: int = len(MARGIN)) -> Iterator[str]:
    yield from (" " * indent + row for row in wrapped(plain(text), WIDTH - indent))


def _facts(part: Facts) -> Iterator[str]:
    """Name and value on a line, below them what the value is worked out from, and whose rule that is."""
    width = min(_VALUE_COLUMN, max(columns(fact.name) for fact in part.facts))
    for fact in part.facts:
        yield f"{MARGIN}{fact.name.ljust(width)}  {plain(fact.value)}"
        if fact.formula:
            yield from _paragraph(f"= {fact.formula}", indent=6)
        origin = ", ".join(text for text in (fact.source, fact.place) if text)
        if origin:
            yield from _paragraph(f"[{origin}]", indent=6)


def _bars(part: Bars) -> Iterator[str]:
    labels = max(columns(bar.label) for bar in part.bars)
    values = max(columns(bar.value) for bar in part.bars)
    notes = max(columns(bar.note) for bar in part.bars)
    length = max(_SHORTEST_BAR, min(_LONGEST_BAR, WIDTH - len(MARGIN) - labels - values - notes - 6))
    for bar in part.bars:
        filled = min(length, max(1 if bar.share > 0 else 0, round(bar.share * length)))
        drawn = "#" * filled + "." * (length - filled)
        yield f"{MARGIN}{bar.label.ljust(labels)}  {bar.value.rjust(values)}  {drawn}  {bar.note}"
