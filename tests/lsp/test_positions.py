"""Lines and columns, whatever the editor counts and however lines end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from moec.lsp.positions import Lines, apply_change
from moec.spec.source import Source

Encoding = types.PositionEncodingKind
TEXT = "a = 1\r\n# 𝔐oe 😀\rb = 2\nc"


@pytest.mark.parametrize(("encoding", "column"), [(Encoding.Utf8, 13), (Encoding.Utf16, 9), (Encoding.Utf32, 7)])
def test_columns_count_in_the_units_of_the_encoding(encoding: Encoding, column: int) -> None:
    lines = Lines(Source("a.moe", TEXT), encoding)
    assert lines.position(TEXT.index("\rb")) == types.Position(1, column)


@pytest.mark.parametrize("encoding", [Encoding.Utf8, Encoding.Utf16, Encoding.Utf32])
def test_lines_end_at_all_three_line_ends_and_nowhere_else(encoding: Encoding) -> None:
    text = "a\x0cb\x85c\u2028d\r\ne\rf\ng"
    lines = Lines(Source("a.moe", text), encoding)
    assert [lines.position(text.index(char)).line for char in "adefg"] == [0, 0, 1, 2, 3]


def test_a_place_inside_a_character_is_its_start_and_past_a_line_its_end() -> None:
    lines = Lines(Source("a.moe", TEXT), Encoding.Utf16)
    assert lines.offset(types.Position(1, 3)) == TEXT.index("𝔐")
    assert lines.offset(types.Position(0, 99)) == TEXT.index("\r\n")
    assert lines.offset(types.Position(99, 0)) == len(TEXT)


texts = st.text(st.sampled_from("ab é😀\r\n\x0c"), max_size=20)
encodings = st.sampled_from([Encoding.Utf8, Encoding.Utf16, Encoding.Utf32])


@given(texts, encodings)
def test_every_place_comes_back(text: str, encoding: Encoding) -> None:
    lines = Lines(Source("a.moe", text), encoding)
    between = {index + 1 for index in range(len(text)) if text[index : index + 2] == "\r\n"}
    for offset in set(range(len(text) + 1)) - between:
        assert lines.offset(lines.position(offset)) == offset


@given(texts, texts, encodings, st.data())
def test_a_change_does_what_an_editor_does(text: str, new: str, encoding: Encoding, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    source = Source("a.moe", text)
    lines = Lines(source, encoding)
    within = lines.range(start, end)
    start, end = lines.offset(within.start), lines.offset(within.end)
    change = types.TextDocumentContentChangePartial(range=within, text=new)
    assert apply_change(source, change, encoding).text == text[:start] + new + text[end:]


def test_a_change_of_everything_replaces_everything() -> None:
    change = types.TextDocumentContentChangeWholeDocument("new")
    assert apply_change(Source("a.moe", "old"), change, Encoding.Utf8) == Source("a.moe", "new")
