"""Rows of `seq_len` tokens from a token stream: which piece of the stream lies where in which row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moec.runtime.data.streams import TokenStream

PACKINGS = ("documents", "concatenate")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Pieces of a stream, grouped by the row that they lie in; each input of the stream is in exactly one piece.

    Shapes: `first_piece` [rows + 1]: row r has the pieces first_piece[r] to first_piece[r + 1]; `starts`, `lengths`
    [pieces]: where a piece is in the stream. In a row its pieces stand one after the other from the left. All int64.
    """

    first_piece: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.first_piece) - 1

    @property
    def n_targets(self) -> np.ndarray:
        """Real targets of each row; the rest of it is padding. Shapes: [rows], int64."""
        return np.diff(np.concatenate([[0], np.cumsum(self.lengths)])[self.first_piece])


def pack(stream: TokenStream, seq_len: int, packing: str) -> Rows:
    """Rows of at most `seq_len` tokens.

    `concatenate`: the stream is cut every `seq_len` tokens, and documents run on from row to row.
    `documents`: a document is cut into pieces of `seq_len`; what is left over is packed, the longest first, each into
    the fullest row that has room (best-fit decreasing). Source: Ding et al. 2024, arXiv 2404.10830 (Best-fit Packing).
    """
    if packing == "concatenate":
        starts = np.arange(0, stream.n_targets, seq_len, dtype=np.int64)
        lengths = np.minimum(seq_len, stream.n_targets - starts)
        return Rows(np.arange(len(starts) + 1), starts, lengths)
    full_starts, rest_starts, rest_lengths = _cut(stream, seq_len)
    packed = _best_fit(rest_lengths, seq_len)
    order = np.array([piece for row in packed for piece in row], np.int64)
    pieces_per_row = np.array([1] * len(full_starts) + [len(row) for row in packed], np.int64)
    return Rows(
        first_piece=np.concatenate([[0], np.cumsum(pieces_per_row)]).astype(np.int64),
        starts=np.concatenate([full_starts, rest_starts[order]]),
        lengths=np.concatenate([np.full(len(full_starts), seq_len, np.int64), rest_lengths[order]]),
    )


def _cut(stream: TokenStream, seq_len: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts of the pieces that fill a row; starts and lengths of the shorter last pieces of documents."""
    begin = stream.starts[:-1]
    lengths = np.diff(stream.starts)
    full = lengths // seq_len
    first_of_document = np.cumsum(full) - full
    place = np.arange(full.sum()) - np.repeat(first_of_document, full)
    full_starts = np.repeat(begin, full) + place * seq_len
    rest = lengths % seq_len
    return full_starts, (begin + full * seq_len)[rest > 0], rest[rest > 0]


def _best_fit(lengths: np.ndarray, seq_len: int) -> list[list[int]]:
    """Rows of piece numbers. Bit n of `open_spaces` is set while some row has a space of n left."""
    rows: list[list[int]] = []
    rows_with_space: list[list[int]] = [[] for _ in range(seq_len)]
    open_spaces = 0
    for piece in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[piece])
        fitting = open_spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_space[space].pop()
            if not rows_with_space[space]:
                open_spaces ^= 1 << space
        else:
            space, row = seq_len, len(rows)
            rows.append([])
        rows[row].append(piece)
        if space > length:
            rows_with_space[space - length].append(row)
            open_spaces |= 1 << (space - length)
    return rows
