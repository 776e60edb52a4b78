"""A user's text is made harmless and keeps what can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.compiler.plain_text import columns, plain, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\nc", "a b c"),
        ('say "no"', "say 'no'"),
        ("a\\b", "a/b"),
        ("\u202eab\u2066", "ab"),
        ("\x1b[31mred", "[31mred"),
        ("\ud800", ""),
        ("für 漢字 😀", "für 漢字 😀"),
        ("  many   spaces ", "many spaces"),
    ],
)
def test_what_could_end_a_comment_is_taken_out(text, shown):
    assert plain(text) == shown


@given(st.text(), st.integers(min_value=12, max_value=120))
def test_wrapped_text_fits_and_is_whole(text, width):
    rows = wrapped(plain(text), width)
    assert all(columns(row) <= width for row in rows)
    assert "".join("".join(rows).split()) == "".join(plain(text).split())


def test_wide_letters_take_two_columns():
    assert columns("漢字a") == 5
