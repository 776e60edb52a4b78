"""`moec.spec.kept_table`: the parser's table between processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moec.spec.grammar import compute_table, load_table
from moec.spec.kept_table import keep_table, read_table

GRAMMAR = "a grammar"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the table lies once it was kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "moec" / "grammar.json"


def test_what_was_kept_is_the_table_that_lark_computes(kept: Path) -> None:
    table = compute_table()
    keep_table(GRAMMAR, table)
    assert read_table(GRAMMAR) == table
    assert [file.name for file in kept.parent.iterdir()] == ["grammar.json"]


def test_the_table_of_another_grammar_is_not_taken(kept: Path) -> None:
    keep_table(GRAMMAR, compute_table())
    assert read_table("another grammar") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"form": 1}',
        '{"form": 1, "source": "a grammar"}',
        '{"form": 1, "source": "a grammar", "content": [1]}',
        "[" * 100_000,
        json.dumps({"form": 2, "source": GRAMMAR, "content": {"start": 0, "end": 1, "actions": []}}),
        json.dumps(
            {"form": 1, "source": GRAMMAR, "content": {"start": 0, "end": 1, "actions": [[0, {"N": ["o", 2]}]]}}
        ),
    ],
)
def test_a_damaged_file_counts_as_none(kept: Path, text: str) -> None:
    kept.parent.mkdir()
    kept.write_text(text, encoding="utf-8")
    assert read_table(GRAMMAR) is None


def test_a_folder_that_cannot_be_made_keeps_nothing_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_table(GRAMMAR, compute_table())
    assert read_table(GRAMMAR) is None


def test_a_process_keeps_the_table_for_the_next(kept: Path) -> None:
    load_table.cache_clear()
    computed = load_table()
    assert kept.exists()
    load_table.cache_clear()
    assert load_table() == computed
