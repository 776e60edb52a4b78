"""The layout of `moec fmt`, by edits that leave alone what is right."""

from __future__ import annotations

import pytest
from desk import BASE, Desk
from lsprotocol import types

from moec.lsp.formatting import format_range, format_whole
from moec.lsp.view import View
from moec.spec.formatter import format_file
from moec.spec.parser import parse
from moec.spec.source import Source

CANONICAL = format_file(parse(Source("a.moe", BASE))[0])
MESSY = CANONICAL.replace("  n_layers   = 2\n", " n_layers=2\n").replace("let heads = 12", "let   heads=12")


def applied(view: View, edits: list[types.TextEdit] | None) -> str:
    assert edits is not None
    text, lines = view.text.source.text, view.lines
    for one in sorted(edits, key=lambda one: one.range.start, reverse=True):
        text = text[: lines.offset(one.range.start)] + one.new_text + text[lines.offset(one.range.end) :]
    return text


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_file_is_laid_out_with_the_line_ends_that_it_has(desk: Desk, ending: str) -> None:
    view = desk.view(MESSY.replace("\n", ending))
    assert applied(view, format_whole(view)) == CANONICAL.replace("\n", ending)


def test_what_is_right_is_left_alone(desk: Desk) -> None:
    assert format_whole(desk.view(CANONICAL)) == []
    edits = format_whole(desk.view(MESSY))
    assert edits is not None
    assert len(edits) == 2


def test_a_missing_line_end_at_the_end_is_added(desk: Desk) -> None:
    view = desk.view(CANONICAL.rstrip("\n"))
    assert applied(view, format_whole(view)) == CANONICAL


def test_a_range_is_laid_out_alone(desk: Desk) -> None:
    view = desk.view(MESSY)
    line = MESSY.splitlines().index(" n_layers=2")
    within = types.Range(types.Position(line, 0), types.Position(line + 1, 0))
    after = applied(view, format_range(view, within))
    assert "let   heads=12" in after
    assert "  n_layers   = 2\n" in after


def test_a_broken_text_and_yaml_are_not_touched(desk: Desk) -> None:
    assert format_whole(desk.view(MESSY + "}")) is None
    assert format_whole(desk.view("edition:    2026\n", "a.moe.yaml")) is None
