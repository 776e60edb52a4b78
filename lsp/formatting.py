"""The canonical layout, as edits that touch only the lines that change."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import pairwise

from lsprotocol import types

from moec.lsp.view import View
from moec.spec.diagnostics import has_errors
from moec.spec.formatter import format_file
from moec.spec.parser import parse


def format_whole(view: View) -> list[types.TextEdit] | None:
    """The edits that lay the file out; None for a text with mistakes, and for YAML, which has formatters of its own."""
    after = _canonical(view)
    if after is None:
        return None
    return [edit for _, edit in _edits(view, after)]


def format_range(view: View, within: types.Range) -> list[types.TextEdit] | None:
    """Those of the edits that touch the lines of `within`."""
    after = _canonical(view)
    if after is None:
        return None
    first, last = within.start.line, within.end.line
    if within.end.character == 0 and last > first:
        last -= 1
    return [edit for lines, edit in _edits(view, after) if lines.start <= last and lines.stop >= first]


def _canonical(view: View) -> list[str] | None:
    """The lines of the canonical text, with the line ends that the file has."""
    if view.is_yaml:
        return None
    source = view.text.source
    file, told = parse(source)
    if has_errors(told):
        return None
    ending = _line_ending(source.text)
    text = format_file(file)
    return [f"{line}{ending}" for line in text.split("\n")[:-1]]


def _line_ending(text: str) -> str:
    """The line end that the file has most often."""
    windows = text.count("\r\n")
    counts = {"\n": text.count("\n") - windows, "\r\n": windows, "\r": text.count("\r") - windows}
    return max(counts, key=lambda ending: counts[ending])


def _edits(view: View, after: list[str]) -> Iterator[tuple[range, types.TextEdit]]:
    """Each change with the lines that it replaces."""
    source = view.text.source
    bounds = (*source.line_starts, len(source.text))
    before = [source.text[start:end] for start, end in pairwise(bounds)]
    if before and before[-1] == "":
        before.pop()
    for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            new = "".join(after[new_start:new_end])
            where = view.lines.range(bounds[start], bounds[end])
            yield range(start, end), types.TextEdit(where, new)
