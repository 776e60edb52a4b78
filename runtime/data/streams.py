"""Tokens of many documents as one flat stream, and the writer that makes it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class TokenStream:
    """Documents one after the other, an end-of-document token before the first and after each.

    Shapes: `tokens` [targets + 1], an unsigned integer type; `starts` [documents + 1], int64: the inputs of document i
    are tokens[starts[i] : starts[i + 1]], its targets the same one place further. So each token of a document and its
    end is a target exactly once, and the input before a document's first token is an end of document.
    """

    tokens: np.ndarray
    starts: np.ndarray

    @property
    def n_documents(self) -> int:
        return len(self.starts) - 1

    @property
    def n_targets(self) -> int:
        """How many tokens there are to predict."""
        return len(self.tokens) - 1


class StreamWriter:
    """Appends documents to a binary file in the layout of TokenStream."""

    def __init__(self, file: BinaryIO, dtype: np.dtype, end_of_document: int) -> None:
        self._file = file
        self._dtype = dtype
        self._end = np.array([end_of_document], dtype).tobytes()
        self._starts = array("q", [0])
        file.write(self._end)

    def append(self, ids: np.ndarray) -> None:
        self._file.write(ids.astype(self._dtype).tobytes())
        self._file.write(self._end)
        self._starts.append(self._starts[-1] + len(ids) + 1)

    @property
    def starts(self) -> np.ndarray:
        return np.array(self._starts, np.int64)


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned integer type for the ids below `vocab_size`."""
    return np.min_scalar_type(vocab_size - 1)


def token_counts(stream: TokenStream, vocab_size: int) -> np.ndarray:
    """How often each token is a target. Shapes: [vocab_size], int64."""
    counts = np.zeros(vocab_size, np.int64)
    for chunk in _chunks(stream.tokens[1:]):
        counts += np.bincount(chunk, minlength=vocab_size)
    return counts


def _chunks(tokens: np.ndarray) -> Iterator[np.ndarray]:
    size = 1 << 22  # bincount widens each id to 8 bytes: 32 MiB at a time
    return (tokens[first : first + size] for first in range(0, len(tokens), size))
