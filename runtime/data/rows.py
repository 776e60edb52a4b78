"""Filling the arrays of a batch with chosen rows of packed streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moec.runtime.batch import Batch
from moec.runtime.data.packing import Rows
from moec.runtime.data.streams import TokenStream


@dataclass(frozen=True, slots=True, eq=False)
class PackedStream:
    """A stream and the rows that it is packed into."""

    stream: TokenStream
    rows: Rows
    row_targets: np.ndarray


def gather(packed: tuple[PackedStream, ...], source: np.ndarray, row: np.ndarray, seq_len: int, weight: float) -> Batch:
    """The batch of the given rows: place i of it has row `row[i]` of source `source[i]`, empty where `source[i]` is -1.

    Real targets weigh `weight`. Shapes: `source`, `row` [n]; the batch [n, S], numpy arrays.
    """
    tokens, targets, positions, segments = (np.zeros((len(row), seq_len), np.int32) for _ in range(4))
    for number, part in enumerate(packed):
        places = np.flatnonzero(source == number)
        read, write, position, segment = _indices(part.rows, row[places], places, seq_len)
        tokens.flat[write] = part.stream.tokens[read]
        targets.flat[write] = part.stream.tokens[read + 1]
        positions.flat[write] = position
        segments.flat[write] = segment
    weights = np.where(segments > 0, np.float32(weight), np.float32(0.0))
    return Batch(tokens, targets, positions, segments, weights)


def _indices(
    rows: Rows, chosen: np.ndarray, places: np.ndarray, seq_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each token of the chosen rows: its index in the stream and in the flat batch, its position, its segment."""
    pieces, rank, place = _pieces_of(rows, chosen, places)
    lengths = rows.lengths[pieces]
    before = np.cumsum(lengths) - lengths
    before_row = np.maximum.accumulate(np.where(rank == 0, before, 0))
    position = np.arange(lengths.sum()) - np.repeat(before, lengths)
    read = np.repeat(rows.starts[pieces], lengths) + position
    write = np.repeat(place * seq_len + before - before_row, lengths) + position
    return read, write, position, np.repeat(rank + 1, lengths)


def _pieces_of(rows: Rows, chosen: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pieces of the chosen rows in order, each with its rank in its row and its row's place in the batch."""
    first = rows.first_piece[chosen]
    counts = rows.first_piece[chosen + 1] - first
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + rank, rank, np.repeat(places, counts)
