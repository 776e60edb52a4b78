"""A picture of each sample folder as an editor shows it: mistakes under the lines, numbers behind them, colours,
symbols, and what is offered at each `‸`. The pictures are in tests/golden/lsp; --update-golden draws them anew.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk import CURSOR, Desk
from lsprotocol import types

from moec.lsp.completion import complete
from moec.lsp.diagnostics import as_lsp
from moec.lsp.hover import hover
from moec.lsp.numbers import inlay_hints, lenses
from moec.lsp.outline import folds, symbols
from moec.lsp.tokens import TYPES, semantic_tokens
from moec.lsp.view import View

SAMPLES = sorted(path for path in (Path(__file__).parent / "samples").iterdir() if path.is_dir())
OFFERS_SHOWN = 12
ESTIMATE = re.compile(r"[0-9.,]+ (?:[KMGT]iB|[mun]?s|min|h|days)\b")
"""Bytes and times, which a picture shows as `#`: how they are estimated is tested elsewhere, and grows better."""


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_view_of_a_sample(sample: Path, desk: Desk, golden: Callable[[str, str], None]) -> None:
    shutil.copytree(sample, desk.folder, dirs_exist_ok=True)
    (main,) = sample.glob("main.moe*")
    marked = main.read_text(encoding="utf-8")
    view = desk.view(marked.replace(CURSOR, ""), main.name, certain=True)
    parts = (lines_of(view), section("symbols", symbol_lines(view)), section("folds", fold_lines(view)))
    parts += (section("colours", colour_lines(view)), section("cursors", cursor_lines(view, marked)))
    picture = ESTIMATE.sub("#", "\n".join(parts).replace(str(desk.folder), "."))
    golden(f"lsp/{sample.name}.txt", f"{picture}\n")


def section(title: str, lines: Iterator[str]) -> str:
    return "\n".join((f"\n--- {title} ---", *lines))


def lines_of(view: View) -> str:
    """Each line with the lenses above it, the hints behind it, and the mistakes below it."""
    source = view.text.source
    told = sorted(as_told(view), key=lambda one: (one.range.start.line, one.range.start.character))
    shown: list[str] = []
    for number in range(len(source.line_starts)):
        titles = [one.command.title for one in lenses(view) if one.range.start.line == number and one.command]
        shown += [f"     | « {' | '.join(titles)} »"] if titles else []
        hints = [str(one.label) for one in inlay_hints(view, view.lines.whole) if one.position.line == number]
        behind = f"   « {' » « '.join(hints)} »" if hints else ""
        shown.append(f"{number + 1:4} | {source.line(number + 1)}{behind}".rstrip())
        for one in (one for one in told if one.range.start.line == number):
            shown += underlined(one)
    return "\n".join(shown)


def as_told(view: View) -> list[types.Diagnostic]:
    assert view.checked is not None
    return [as_lsp(one, view) for one in view.checked.diagnostics if view.front.real(one.span).file == view.name]


def underlined(told: types.Diagnostic) -> Iterator[str]:
    start, end = told.range.start, told.range.end
    width = max(1, end.character - start.character) if start.line == end.line else 1
    severity = "error" if told.severity == types.DiagnosticSeverity.Error else "warning"
    first, *others = told.message.split("\n")
    yield f"     | {' ' * start.character}{'^' * width} {severity} {told.code}: {first}"
    yield from (f"     | {' ' * start.character}  {line}" for line in others)
    for other in told.related_information or ():
        place = other.location.range.start
        yield f"     | {' ' * start.character}  {place.line + 1}:{place.character + 1}: {other.message}"


def symbol_lines(view: View) -> Iterator[str]:
    waiting = [("", one) for one in reversed(symbols(view))]
    while waiting:
        indent, one = waiting.pop()
        yield f"{indent}{one.name} ({one.kind.name}) {one.detail or ''}".rstrip()
        waiting += [(f"{indent}  ", child) for child in reversed(one.children or ())]


def fold_lines(view: View) -> Iterator[str]:
    for one in folds(view):
        yield f"{one.start_line + 1} to {one.end_line + 1} {one.kind.value if one.kind else ''}".rstrip()


def colour_lines(view: View) -> Iterator[str]:
    data, line, column, words = semantic_tokens(view).data, 0, 0, dict[int, list[str]]()
    for at in range(0, len(data), 5):
        line, column = line + data[at], data[at + 1] + (0 if data[at] else column)
        start = view.lines.offset(types.Position(line, column))
        end = view.lines.offset(types.Position(line, column + data[at + 2]))
        words.setdefault(line, []).append(f"{view.text.source.text[start:end]}/{TYPES[data[at + 3]]}")
    for number, found in words.items():
        yield f"{number + 1:4} | {'  '.join(found)}"


def cursor_lines(view: View, marked: str) -> Iterator[str]:
    """The offers at each cursor, in the order of the editor, and the hover there."""
    place = -1
    for count in range(marked.count(CURSOR)):
        place = marked.index(CURSOR, place + 1)
        position = view.lines.position(place - count)
        items = complete(view, position, with_places=True).items
        labels = [item.label for item in sorted(items, key=lambda item: (item.sort_text or "", item.label))]
        more = f" and {len(labels) - OFFERS_SHOWN} more" if len(labels) > OFFERS_SHOWN else ""
        shown = ", ".join(labels[:OFFERS_SHOWN]) or "nothing"
        yield f"{position.line + 1}:{position.character + 1} offers {shown}{more}"
        answer = hover(view, position)
        if answer and isinstance(answer.contents, types.MarkupContent):
            yield from (f"     {text}" for text in answer.contents.value.split("\n") if text)
