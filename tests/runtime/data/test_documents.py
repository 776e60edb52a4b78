"""The documents in a file, and what is said about files that hold none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from moec.runtime.data.documents import read_documents
from moec.runtime.data.errors import DataError


def documents(path: Path, format: str = "auto", text_field: str = "text") -> list[str]:
    return list(read_documents(path, format, text_field))


def test_a_text_file_is_one_document_without_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffgrüße\r\n\r\nende".encode())
    assert documents(path) == ["grüße\r\n\r\nende"]


def test_an_empty_file_holds_no_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert documents(tmp_path / "a.txt") == []


def test_a_python_file_is_read_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert documents(path) == ["# coding: latin-1\nx = 'é'\n"]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json"])
def test_json_lines_give_a_document_per_line_and_skip_blank_ones(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text('{"text": "one", "id": 1}\n\n{"text": ""}\n{"text": "zwö\\nlf"}')
    assert documents(path) == ["one", "zwö\nlf"]


def test_gzip_is_looked_through(tmp_path: Path) -> None:
    for name, content in {"a.txt.gz": "plain", "b.jsonl.gz": json.dumps({"text": "record"})}.items():
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    assert documents(tmp_path / "a.txt.gz") == ["plain"]
    assert documents(tmp_path / "b.jsonl.gz") == ["record"]


def test_the_format_that_is_named_wins_over_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('{"body": "one"}\n{"body": "two"}\n')
    assert documents(path, "jsonl", "body") == ["one", "two"]
    assert documents(path, "text") == ['{"body": "one"}\n{"body": "two"}\n']


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"text": ', "is not a JSON record"),
        (b"[" * 100_000, "is not a JSON record"),
        (b'["text"]', "holds a JSON list"),
        (b'{"body": "x", "id": 1}', "has no field 'text'; its fields: body, id"),
        (b'{"text": 3}', "the field 'text' is a int"),
        (b'{"text": "\\ud800"}', "is not Unicode"),
        (b'{"text": "\xff"}', r"is not UTF-8 text \(byte 10 is 0xff\)"),
    ],
)
def test_a_malformed_record_is_refused_with_its_file_and_line(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line)
    with pytest.raises(DataError, match=rf"a\.jsonl, line 2:? .*{complaint}|a\.jsonl, line 2: .*{complaint}"):
        documents(path)


def test_parquet_gives_a_document_per_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"body": ["one", "", "two"], "id": [1, 2, 3]}), path)
    assert documents(path, text_field="body") == ["one", "two"]


def test_parquet_without_the_column_or_with_a_missing_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one", None], "id": [1, 2]}), path)
    with pytest.raises(DataError, match=r"a\.parquet, row 1: the text is a NoneType"):
        documents(path)
    with pytest.raises(DataError, match="has no column 'body'; its columns: text, id"):
        documents(path, text_field="body")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'pip install "moec\[parquet\]"'):
        documents(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.parquet", "a.txt.gz", "a.jsonl.gz", "a.txt", "a.py"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe not what the suffix says")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        documents(tmp_path / name)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt cannot be read.*Restore the file"):
        documents(tmp_path / "gone.txt")
