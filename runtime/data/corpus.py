"""Sources to token streams: read, split by document, tokenise; held in memory or, when large, in mapped files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from moec.runtime.data.documents import read_documents
from moec.runtime.data.errors import DataError
from moec.runtime.data.sources import source_files
from moec.runtime.data.split import document_hashes, held_out_mask
from moec.runtime.data.streams import StreamWriter, TokenStream, token_dtype
from moec.runtime.data.tokenizers import Tokenizer, open_tokenizer

if TYPE_CHECKING:
    from moec.runtime.data.text import TextData

# Sources up to this size are tokenised anew by each process and held in memory.
# Assumption: that is seconds of work and a small part of a host's memory.
IN_MEMORY_BYTES = 256 * 2**20

_LAYOUT = "moec token streams 1"
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class SourceCorpus:
    """The two parts of one source and a hash of all that they were made from."""

    train: TokenStream
    held_out: TokenStream
    fingerprint: str


@lru_cache(maxsize=4)
def open_corpus(
    data: TextData, cache_dir: Path | None = None, in_memory_bytes: int = IN_MEMORY_BYTES
) -> tuple[SourceCorpus, ...]:
    """The token streams of each source of `data`; a process reads its files once, whatever happens to them later.

    A source larger than `in_memory_bytes` is tokenised once into a folder of `cache_dir` that is named after the
    content of the files, and mapped into memory; without a `cache_dir` everything is held in memory.
    Errors: DataError if a file cannot be used, or a source has no text or too few documents for the split.
    """
    tokenizer = open_tokenizer(data.tokenizer, data.vocab_size)
    return tuple(_open_source(source, data, tokenizer, cache_dir, in_memory_bytes) for source in data.sources)


def _open_source(
    source: str, data: TextData, tokenizer: Tokenizer, cache_dir: Path | None, in_memory_bytes: int
) -> SourceCorpus:
    files = source_files(source)
    fingerprint = _fingerprint(files, data, tokenizer)
    if cache_dir is None or sum(path.stat().st_size for path in files) <= in_memory_bytes:
        return _tokenize_in_memory(source, files, data, tokenizer, fingerprint)
    folder = cache_dir / fingerprint.removeprefix("sha256:")
    if not folder.exists():
        _tokenize_to_folder(source, files, data, tokenizer, folder)
    return _map_folder(folder, token_dtype(tokenizer.vocab_size), fingerprint)


def _fingerprint(files: tuple[Path, ...], data: TextData, tokenizer: Tokenizer) -> str:
    """A hash of the files' content in their order and of the settings that shape the streams, and of no path."""
    settings = (_LAYOUT, data.format, data.text_field, tokenizer.identity, f"{data.split!r}")
    total = hashlib.sha256("\n".join(settings).encode())
    for path in files:
        try:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error}). Restore the file or leave it out of the source."
            ) from error
    return "sha256:" + total.hexdigest()


def _tokenize_in_memory(
    source: str, files: tuple[Path, ...], data: TextData, tokenizer: Tokenizer, fingerprint: str
) -> SourceCorpus:
    buffers = BytesIO(), BytesIO()
    starts = _write_streams(source, files, data, tokenizer, buffers)
    dtype = token_dtype(tokenizer.vocab_size)
    train, held_out = (
        TokenStream(np.frombuffer(buffer.getbuffer(), dtype), begin)
        for buffer, begin in zip(buffers, starts, strict=True)
    )
    return SourceCorpus(train, held_out, fingerprint)


def _tokenize_to_folder(
    source: str, files: tuple[Path, ...], data: TextData, tokenizer: Tokenizer, folder: Path
) -> None:
    """Writes a complete `folder` or none; of several processes that write the same one, the first to end wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}-", dir=folder.parent))
    try:
        with (partial / "train.tokens").open("wb") as train, (partial / "held_out.tokens").open("wb") as held_out:
            starts = _write_streams(source, files, data, tokenizer, (train, held_out))
        np.save(partial / "train.starts.npy", starts[0])
        np.save(partial / "held_out.starts.npy", starts[1])
        _move_into_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_into_place(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)
    except OSError:
        if not folder.exists():
            raise


def _map_folder(folder: Path, dtype: np.dtype, fingerprint: str) -> SourceCorpus:
    try:
        train, held_out = (
            TokenStream(np.memmap(folder / f"{part}.tokens", dtype, mode="r"), np.load(folder / f"{part}.starts.npy"))
            for part in ("train", "held_out")
        )
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"The cached tokens in {folder} cannot be read ({error}). Delete the folder: it is made again."
        ) from error
    if any(len(stream.tokens) != stream.starts[-1] + 1 for stream in (train, held_out)):
        raise DataError(f"The cached tokens in {folder} are incomplete. Delete the folder: it is made again.")
    return SourceCorpus(train, held_out, fingerprint)


def _write_streams(
    source: str, files: tuple[Path, ...], data: TextData, tokenizer: Tokenizer, outputs: tuple[BinaryIO, BinaryIO]
) -> tuple[np.ndarray, np.ndarray]:
    """Two passes over the files: one decides the split, one tokenises. Gives where the documents of each part start."""
    hashes = document_hashes(_documents(files, data))
    if hashes.size == 0:
        raise DataError(
            f"The source {source!r} has no text: all its {len(files)} files are empty. Name files with text."
        )
    held_out = held_out_mask(hashes, data.split)
    dtype = token_dtype(tokenizer.vocab_size)
    writers = [StreamWriter(output, dtype, tokenizer.end_of_document) for output in outputs]
    documents = _documents(files, data)
    for first in range(0, hashes.size, _DOCUMENTS_AT_ONCE):
        parts = held_out[first : first + _DOCUMENTS_AT_ONCE]
        texts = list(islice(documents, len(parts)))
        if len(texts) < len(parts):
            raise DataError(f"The files of {source!r} changed while they were read. Run again when they are at rest.")
        for part, ids in zip(parts, tokenizer.encode_many(texts), strict=True):
            writers[int(part)].append(ids)
    return writers[0].starts, writers[1].starts


def _documents(files: tuple[Path, ...], data: TextData) -> Iterator[str]:
    return (document for path in files for document in read_documents(path, data.format, data.text_field))
