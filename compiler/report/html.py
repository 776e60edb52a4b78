"""Plans -> one HTML page: pictures and the whole report of each run, with nothing fetched and no script.

All words pass `_words`, whoever wrote them: what a spec says is data, never markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from moec.compiler.places import Places
from moec.compiler.plain_text import plain
from moec.compiler.plan import Plan
from moec.compiler.report.compare import answers, comparison
from moec.compiler.report.document import Bars, Column, Fact, Facts, Part, Report, Section, Table
from moec.compiler.report.figures import memory_figure, mesh_figure, time_figure
from moec.compiler.report.increase import increase_section
from moec.compiler.report.law_figure import law_figure
from moec.compiler.report.page_style import STYLE
from moec.compiler.report.sections import report_of
from moec.compiler.report.svg import PATTERNS, memory_svg, mesh_svg, time_svg
from moec.compiler.report.svg_law import law_svg

NOTHING_FETCHED: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page forbids a browser: all but the style that stands on it."""


def plans_html(plans: Sequence[tuple[Plan, Places]]) -> str:
    """A page with the runs side by side, then each with its pictures and sections; ends with a line end."""
    names = [plan.run.name for plan, _ in plans]
    body = [f"<h1>{_words('Plan of ' + ', '.join(names))}</h1>"]
    if len(plans) > 1:
        body += _side_by_side([plan for plan, _ in plans])
    for number, (plan, places) in enumerate(plans):
        body += _run(number, plan, places)
    return "\n".join((*_head(names), PATTERNS, *body, "</body></html>")) + "\n"


def _side_by_side(plans: Sequence[Plan]) -> Iterator[str]:
    """The way to each run, the table of all, and what makes a step longer than the first run's."""
    links = " ".join(f'<a href="#run-{number}">{_words(plan.run.name)}</a>' for number, plan in enumerate(plans))
    yield f"<nav>{links}</nav>"
    yield "<h2>Side by side</h2>"
    yield from _table(comparison(plans))
    for answer in answers(plans):
        yield from _section(increase_section(answer))


def _head(names: Sequence[str]) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_FETCHED}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_words('Plan of ' + ', '.join(names))}</title>"
    yield f"<style>{STYLE}</style></head><body>"


def _run(number: int, plan: Plan, places: Places) -> Iterator[str]:
    """The pictures come first: they are what most readers want."""
    report: Report = report_of(plan, places)
    yield f'<h2 id="run-{number}">{_words(report.title)}</h2>'
    yield f"<p>{'<br>'.join(_words(line) for line in report.summary)}</p>"
    yield '<div class="figures">'
    yield from figures_html(plan)
    yield "</div>"
    for section in report.sections:
        yield from _section(section)


def figures_html(plan: Plan) -> Iterator[str]:
    """The four pictures of a plan, each with its title above it."""
    memory, time, mesh, laws = memory_figure(plan), time_figure(plan), mesh_figure(plan), law_figure(plan)
    for title, svg in (
        (memory.title, memory_svg(memory)),
        (time.title, time_svg(time)),
        (mesh.title, mesh_svg(mesh)),
        (laws.title, law_svg(laws)),
    ):
        yield f"<figure><figcaption>{_words(title)}</figcaption>\n{svg}\n</figure>"


def _section(section: Section) -> Iterator[str]:
    yield f"<h3>{_words(section.title)}</h3>"
    for part in section.parts:
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Facts):
        yield "<dl>"
        yield from (_fact(fact) for fact in part.facts)
        yield "</dl>"
    elif isinstance(part, Bars):
        yield from _table(_bars_as_table(part))
    else:
        yield f"<p>{_words(part.text)}</p>"


def _bars_as_table(part: Bars) -> Table:
    """The numbers of bars, which the pictures have drawn."""
    columns = (Column("what"), Column("value", "right"), Column("", "right"))
    return Table(columns, tuple((bar.label, bar.value, bar.note) for bar in part.bars))


def _fact(fact: Fact) -> str:
    formula = f"<dd><code>= {_words(fact.formula)}</code></dd>" if fact.formula else ""
    origin = ", ".join(_words(text) for text in (fact.source, fact.place) if text)
    source = f'<dd class="source">{origin}</dd>' if origin else ""
    return f"<dt>{_words(fact.name)}: {_words(fact.value)}</dt>{formula}{source}"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="wide"><table><thead>'
    titles = (f"<th{_side(column)}>{_words(column.title)}</th>" for column in table.columns)
    yield f"<tr>{''.join(titles)}</tr></thead><tbody>"
    yield from (_row(row, table.columns) for row in table.rows)
    if table.total:
        yield _row(table.total, table.columns, ' class="total"')
    yield "</tbody></table></div>"


def _row(row: tuple[str, ...], columns: tuple[Column, ...], style: str = "") -> str:
    """The cells of a row; a row of one cell is a heading over the whole width."""
    if len(row) == 1:
        return f'<tr class="heading"><td colspan="{len(columns)}">{_words(row[0])}</td></tr>'
    cells = (f"<td{_side(column)}>{_cell(text, column)}</td>" for text, column in zip(row, columns, strict=True))
    return f"<tr{style}>{''.join(cells)}</tr>"


def _cell(text: str, column: Column) -> str:
    return f"<code>{_words(text)}</code>" if column.is_code and text else _words(text)


def _side(column: Column) -> str:
    return ' class="right"' if column.align == "right" else ""


def _words(text: str) -> str:
    """`text` on one line, as a browser shows it and never obeys it."""
    return escape(plain(text))
