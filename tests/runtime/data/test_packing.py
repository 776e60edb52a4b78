"""Pieces of a stream in rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.runtime.data.packing import Rows, pack
from moec.runtime.data.streams import TokenStream

document_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)
row_lengths = st.integers(1, 40)


def stream_of(lengths: list[int]) -> TokenStream:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenStream(np.zeros(starts[-1] + 1, np.uint8), starts)


def covered(rows: Rows) -> list[int]:
    """Every input index of the stream that some piece covers, sorted."""
    pieces = zip(rows.starts, rows.lengths, strict=True)
    return sorted(index for start, length in pieces for index in range(start, start + length))


@pytest.mark.parametrize("packing", ["documents", "concatenate"])
@given(lengths=document_lengths, seq_len=row_lengths)
def test_each_input_is_in_exactly_one_row_and_no_row_is_too_long(
    packing: str, lengths: list[int], seq_len: int
) -> None:
    rows = pack(stream_of(lengths), seq_len, packing)
    assert covered(rows) == list(range(sum(lengths)))
    assert rows.first_piece[0] == 0
    assert rows.first_piece[-1] == len(rows.starts) == len(rows.lengths)
    assert 0 < rows.n_targets.min() <= rows.n_targets.max() <= seq_len
    assert rows.n_targets.sum() == sum(lengths)


@given(lengths=document_lengths, seq_len=row_lengths)
def test_no_piece_crosses_from_one_document_into_the_next(lengths: list[int], seq_len: int) -> None:
    stream = stream_of(lengths)
    rows = pack(stream, seq_len, "documents")
    first = np.searchsorted(stream.starts, rows.starts, side="right")
    last = np.searchsorted(stream.starts, rows.starts + rows.lengths - 1, side="right")
    np.testing.assert_array_equal(first, last)


@given(lengths=document_lengths, seq_len=row_lengths)
def test_at_most_one_row_of_left_over_pieces_is_half_empty(lengths: list[int], seq_len: int) -> None:
    filled = pack(stream_of(lengths), seq_len, "documents").n_targets
    assert (filled * 2 <= seq_len).sum() <= 1


@given(lengths=document_lengths, seq_len=row_lengths)
def test_concatenated_rows_are_full_but_for_the_last(lengths: list[int], seq_len: int) -> None:
    filled = pack(stream_of(lengths), seq_len, "concatenate").n_targets
    assert (filled[:-1] == seq_len).all()


def test_pieces_go_into_the_fullest_row_that_has_room() -> None:
    rows = pack(stream_of([6, 5, 4, 3, 2]), 10, "documents")
    by_row = [rows.lengths[a:b].tolist() for a, b in zip(rows.first_piece[:-1], rows.first_piece[1:], strict=True)]
    assert by_row == [[6, 4], [5, 3, 2]]


def test_a_stream_without_documents_gives_no_rows() -> None:
    for packing in ("documents", "concatenate"):
        assert pack(stream_of([]), 8, packing).n_rows == 0
