"""The documents in a file: text and JSON Lines, either also behind gzip, and Parquet."""

from __future__ import annotations

import codecs
import gzip
import json
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from moec.runtime.data.errors import DataError

FORMATS = ("auto", "text", "jsonl", "parquet")

_FORMAT_OF_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".py": "python"}


def read_documents(path: Path, format: str, text_field: str) -> Iterator[str]:
    """The documents of one file that are not empty, in the order of the file.

    `text`: the whole file is one document, UTF-8; a Python file in whatever encoding it declares (PEP 263).
    `jsonl`: one per line, an object whose `text_field` is a string. `parquet`: one per row of the column `text_field`.
    `auto` goes by the file's suffix, text where it says nothing.
    Errors: DataError that names the file, and the line or row.
    """
    match _format_of(path) if format == "auto" else format:
        case "jsonl":
            documents = _read_jsonl(path, text_field)
        case "parquet":
            documents = _read_parquet(path, text_field)
        case "python":
            documents = _read_python(path)
        case _:
            documents = _read_text(path)
    return (document for document in documents if document)


def _format_of(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return _FORMAT_OF_SUFFIX.get(suffix, "text")


def _read_text(path: Path) -> Iterator[str]:
    with _open(path) as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    yield _decode(content, str(path))


def _read_python(path: Path) -> Iterator[str]:
    try:
        with tokenize.open(path) as file:
            yield file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not in the encoding that it declares ({error}). Leave it out of the source."
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_jsonl(path: Path, text_field: str) -> Iterator[str]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _text_of_record(line, f"{path}, line {number}", text_field)


def _text_of_record(line: bytes, place: str, text_field: str) -> str:
    try:
        record = json.loads(_decode(line, place))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{place} is not a JSON record ({error}). Each line must hold one JSON object.") from error
    if not isinstance(record, dict):
        raise DataError(f"{place} holds a JSON {type(record).__name__}. Each line must hold one JSON object.")
    if text_field not in record:
        fields = ", ".join(map(str, record)) or "none"
        raise DataError(
            f"{place} has no field {text_field!r}; its fields: {fields}. Set text_field to the one with the text."
        )
    text = record[text_field]
    if not isinstance(text, str):
        raise DataError(f"{place}: the field {text_field!r} is a {type(text).__name__}. It must be a string.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: the text is not Unicode ({error}). Correct or drop the record.") from error
    return text


def _read_parquet(path: Path, text_field: str) -> Iterator[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f'{path} is a Parquet file and pyarrow is not installed. Run: pip install "moec[parquet]"'
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if text_field not in columns:
                raise DataError(
                    f"{path} has no column {text_field!r}; its columns: {', '.join(columns)}. "
                    "Set text_field to the one with the text."
                )
            first = 0
            for batch in file.iter_batches(columns=[text_field]):
                yield from _texts_of_column(batch.column(0).to_pylist(), path, first)
                first += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _texts_of_column(values: list[object], path: Path, first: int) -> Iterator[str]:
    for row, value in enumerate(values, start=first):
        if not isinstance(value, str):
            raise DataError(
                f"{path}, row {row}: the text is a {type(value).__name__}. It must be a string in every row."
            )
        yield value


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _decode(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place} is not UTF-8 text (byte {error.start} is 0x{content[error.start]:02x}). "
            "Convert it to UTF-8 or leave it out of the source."
        ) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({error}). Restore the file or leave it out of the source.")
