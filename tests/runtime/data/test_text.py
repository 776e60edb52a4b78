"""Batches of training and evaluation: their content, their order, and what is said about text that does not do."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moec.runtime.batch import Batch
from moec.runtime.data import loading, text
from moec.runtime.data.corpus import open_corpus
from moec.runtime.data.errors import DataError
from moec.runtime.data.text import TextData, eval_batches, train_batches, unigram_loss
from moec.runtime.program import Training

MakeData = Callable[..., TextData]

TRAINING = Training(steps=30, seq_len=32, micro_batches=2, micro_sequences=4, seed=0)
ARRAYS = ("tokens_BS", "targets_BS", "positions_BS", "segments_BS", "weights_BS")
PACKING = pytest.mark.parametrize("packing", ["documents", "concatenate"])


def arrays(batch: Batch) -> dict[str, np.ndarray]:
    return {name: getattr(batch, name) for name in ARRAYS}


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        for name, array in arrays(one).items():
            np.testing.assert_array_equal(array, getattr(other, name))
            assert array.dtype == getattr(other, name).dtype


def rows_of(batch: Batch) -> list[tuple[int, ...]]:
    """The (input, target, position, segment) numbers of each row, padding included, flattened to something hashable."""
    parts = (batch.tokens_BS, batch.targets_BS, batch.positions_BS, batch.segments_BS)
    flat = np.stack([part.reshape(-1, part.shape[-1]) for part in parts], axis=-1)
    return [tuple(row.ravel().tolist()) for row in flat]


def epoch_of(data: TextData, seq_len: int) -> Training:
    """A training of one-row steps that reads each training row exactly once."""
    rows = text._packed(data, seq_len, "train", None)[0].rows.n_rows
    return Training(steps=rows, seq_len=seq_len, micro_batches=1, micro_sequences=1, seed=0)


def segments_of(batch: Batch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The inputs, targets and positions of each segment of each row."""
    tokens, targets, positions, segments = (
        part.reshape(-1, part.shape[-1])
        for part in (batch.tokens_BS, batch.targets_BS, batch.positions_BS, batch.segments_BS)
    )
    return [
        (
            tokens[row][segments[row] == number],
            targets[row][segments[row] == number],
            positions[row][segments[row] == number],
        )
        for row in range(len(tokens))
        for number in range(1, segments[row].max() + 1)
    ]


def test_a_batch_has_the_shape_and_types_of_its_step(text_data: MakeData) -> None:
    batch = next(train_batches(text_data(), TRAINING))
    assert {array.shape for array in arrays(batch).values()} == {(2, 4, 32)}
    assert batch.weights_BS.dtype == np.float32
    assert {array.dtype for name, array in arrays(batch).items() if name != "weights_BS"} == {np.dtype(np.int32)}


@PACKING
def test_the_same_data_and_training_give_the_same_batches(text_data: MakeData, packing: str) -> None:
    ours = list(train_batches(text_data(packing=packing), TRAINING))
    assert_equal(ours, list(train_batches(text_data(packing=packing), TRAINING)))
    assert len(ours) == TRAINING.steps


def test_another_seed_gives_another_order(text_data: MakeData) -> None:
    one, other = (next(train_batches(text_data(seed=seed), TRAINING)) for seed in (0, 1))
    assert rows_of(one) != rows_of(other)


@PACKING
@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_the_slices_of_all_processes_make_up_the_global_batch(
    text_data: MakeData, packing: str, process_count: int
) -> None:
    data = text_data(packing=packing)
    whole = list(train_batches(data, TRAINING))
    shares = [
        list(train_batches(data, TRAINING, process_index=index, process_count=process_count))
        for index in range(process_count)
    ]
    joined = [
        Batch(*(np.concatenate([arrays(part)[name] for part in parts], axis=1) for name in arrays(parts[0])))
        for parts in zip(*shares, strict=True)
    ]
    assert_equal(joined, whole)


@pytest.mark.parametrize("first_step", [0, 1, 13, 29])
def test_reading_on_at_a_step_gives_what_an_unbroken_run_gives(text_data: MakeData, first_step: int) -> None:
    whole = list(train_batches(text_data(), TRAINING))
    assert_equal(list(train_batches(text_data(), TRAINING, first_step=first_step)), whole[first_step:])


def test_reading_on_after_the_last_step_gives_nothing(text_data: MakeData) -> None:
    assert list(train_batches(text_data(), TRAINING, first_step=30)) == []


def test_the_same_rows_come_in_batches_of_any_shape(text_data: MakeData) -> None:
    wide = Training(steps=15, seq_len=32, micro_batches=1, micro_sequences=16, seed=0)
    narrow_rows = [row for batch in train_batches(text_data(), TRAINING) for row in rows_of(batch)]
    wide_rows = [row for batch in train_batches(text_data(), wide) for row in rows_of(batch)]
    assert narrow_rows == wide_rows


@PACKING
def test_grain_and_the_thread_give_the_same_bytes(
    text_data: MakeData, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for loader in (loading.load_with_grain, loading.load_with_thread):
        monkeypatch.setattr(text, "load", loader)
        data = text_data(packing=packing)
        results.append([*train_batches(data, TRAINING, first_step=3), *eval_batches(data, 32, 4, 10_000)])
    assert_equal(*results)


@PACKING
def test_each_training_token_is_a_target_exactly_once_per_epoch(text_data: MakeData, packing: str) -> None:
    data = text_data(packing=packing)
    stream = open_corpus(data, None)[0].train
    pairs = Counter[tuple[int, int]]()
    for batch in train_batches(data, epoch_of(data, 32)):
        real = batch.segments_BS > 0
        pairs.update(zip(batch.tokens_BS[real].tolist(), batch.targets_BS[real].tolist(), strict=True))
    assert pairs == Counter(zip(stream.tokens[:-1].tolist(), stream.tokens[1:].tolist(), strict=True))


def test_the_next_epoch_has_the_same_rows_in_another_order(text_data: MakeData) -> None:
    once = epoch_of(text_data(), 32)
    rows = [rows_of(batch)[0] for batch in train_batches(text_data(), replace(once, steps=2 * once.steps))]
    first, second = rows[: once.steps], rows[once.steps :]
    assert Counter(first) == Counter(second)
    assert first != second


def test_a_segment_is_a_stretch_of_one_document_that_counts_from_zero(text_data: MakeData) -> None:
    (source,) = open_corpus(text_data(), None)
    documents = [
        source.train.tokens[a : b + 1].tobytes()
        for a, b in zip(source.train.starts[:-1], source.train.starts[1:], strict=True)
    ]
    several = 0
    for batch in train_batches(text_data(), TRAINING):
        several += int((batch.segments_BS > 1).any())
        for tokens, targets, positions in segments_of(batch):
            piece = bytes([*tokens.tolist(), targets[-1]])
            assert any(piece in document for document in documents)
            assert tokens[1:].tolist() == targets[:-1].tolist()
            assert positions.tolist() == list(range(len(tokens)))
    assert several > 0


def test_concatenated_rows_are_one_segment_that_runs_across_documents(text_data: MakeData) -> None:
    stream = open_corpus(text_data(), None)[0].train.tokens.tobytes()
    inner_ends = 0
    for batch in train_batches(text_data(packing="concatenate"), TRAINING):
        for tokens, targets, positions in segments_of(batch):
            assert bytes([*tokens.tolist(), targets[-1]]) in stream
            assert positions.tolist() == list(range(len(tokens)))
            inner_ends += int((tokens[1:] == 0).any())
        assert batch.segments_BS.max() == 1
    assert inner_ends > 0


def test_padding_stands_at_the_end_of_a_row_and_is_empty(text_data: MakeData) -> None:
    padded = 0
    for batch in train_batches(text_data(), TRAINING):
        empty = batch.segments_BS == 0
        padded += int(empty.sum())
        assert (np.diff(empty.astype(int), axis=-1) >= 0).all()
        assert not any(array[empty].any() for array in arrays(batch).values())
    assert padded > 0


@PACKING
def test_weights_are_equal_over_the_targets_of_a_step_and_their_mean_over_micro_batches_sums_to_one(
    text_data: MakeData, packing: str
) -> None:
    for batch in train_batches(text_data(packing=packing), TRAINING):
        real = batch.segments_BS > 0
        assert batch.weights_BS.sum(axis=(1, 2)).mean() == pytest.approx(1, abs=1e-5)
        assert len(set(batch.weights_BS[real].tolist())) == 1
        assert (batch.weights_BS[~real] == 0).all()


def test_sources_are_mixed_in_the_proportion_of_their_weights(text_data: MakeData, tmp_path: Path) -> None:
    for name, letter in (("x", "x"), ("y", "y")):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.txt").write_text(letter * (100 + number))
    data = text_data(sources=(f"{tmp_path}/x/*", f"{tmp_path}/y/*"), mixture=(3.0, 1.0))
    rows = [set(row[0::4]) - {0} for batch in train_batches(data, TRAINING) for row in rows_of(batch)]
    assert rows.count({ord("x")}) == 180
    assert rows.count({ord("y")}) == 60


def test_two_sources_of_the_same_text_are_read_in_different_orders(text_data: MakeData, corpus_glob: str) -> None:
    data = text_data(sources=(corpus_glob, corpus_glob), mixture=(1.0, 1.0))
    rows = [row for batch in train_batches(data, TRAINING) for row in rows_of(batch)]
    assert rows[0::2] != rows[1::2]


def test_evaluation_reads_each_held_out_token_once_and_no_training_token(text_data: MakeData) -> None:
    (source,) = open_corpus(text_data(), None)
    seen = Counter[int]()
    for batch in eval_batches(text_data(), 32, 4, 10**6):
        assert batch.tokens_BS.shape == (4, 32)
        seen.update(batch.targets_BS[batch.segments_BS > 0].tolist())
    assert seen == Counter(source.held_out.tokens[1:].tolist())


def test_the_weights_of_an_evaluation_sum_to_one_over_its_batches_and_empty_rows_fill_the_last(
    text_data: MakeData,
) -> None:
    batches = list(eval_batches(text_data(), 32, 16, 10**6))
    assert sum(batch.weights_BS.sum(dtype=np.float64) for batch in batches) == pytest.approx(1, abs=1e-6)
    assert (batches[-1].segments_BS[-1] == 0).all()
    assert (batches[-1].segments_BS[0] > 0).any()


@pytest.mark.parametrize(("tokens", "rows"), [(1, 1), (32, 1), (64, 2), (100, 3)])
def test_an_evaluation_reads_no_more_tokens_than_allowed_but_one_row(
    text_data: MakeData, tokens: int, rows: int
) -> None:
    batches = list(eval_batches(text_data(), 32, 4, tokens))
    assert sum(int((batch.segments_BS > 0).any(axis=-1).sum()) for batch in batches) == rows


def test_the_held_out_rows_do_not_depend_on_the_seed_and_split_between_processes(text_data: MakeData) -> None:
    whole = list(eval_batches(text_data(), 32, 4, 200))
    assert_equal(list(eval_batches(text_data(seed=9), 32, 4, 200)), whole)
    shares = [list(eval_batches(text_data(), 32, 4, 200, process_index=i, process_count=2)) for i in (0, 1)]
    joined = [
        Batch(*(np.concatenate([arrays(part)[name] for part in parts]) for name in arrays(parts[0])))
        for parts in zip(*shares, strict=True)
    ]
    assert_equal(joined, whole)


def test_a_split_of_zero_trains_on_everything_and_evaluates_nothing(text_data: MakeData) -> None:
    data = text_data(split=0.0)
    assert open_corpus(data, None)[0].train.n_documents == 40
    assert list(eval_batches(data, 32, 4, 1000)) == []
    assert unigram_loss(data, seq_len=32, tokens=1000) is None


def test_the_unigram_loss_is_the_cross_entropy_of_smoothed_frequencies(text_data: MakeData) -> None:
    (source,) = open_corpus(text_data(), None)
    counts = Counter(source.train.tokens[1:].tolist())
    held_out = source.held_out.tokens[1:].tolist()
    total = len(source.train.tokens) - 1 + 256
    expected = -sum(math.log((counts[token] + 1) / total) for token in held_out) / len(held_out)
    assert unigram_loss(text_data(), seq_len=32, tokens=10**6) == pytest.approx(expected, rel=1e-12)


def test_the_unigram_loss_is_taken_on_the_same_targets_as_an_evaluation(text_data: MakeData) -> None:
    (source,) = open_corpus(text_data(), None)
    frequencies = (np.bincount(source.train.tokens[1:], minlength=256) + 1) / (source.train.n_targets + 256)
    expected = sum(
        float((batch.weights_BS * -np.log(frequencies[batch.targets_BS])).sum())
        for batch in eval_batches(text_data(), 32, 4, 200)
    )
    assert unigram_loss(text_data(), seq_len=32, tokens=200) == pytest.approx(expected, rel=1e-6)


def test_large_sources_go_through_the_cache_folder_with_the_same_batches(
    text_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = list(train_batches(text_data(), TRAINING))
    monkeypatch.setattr(text, "open_corpus", lambda data, cache_dir: open_corpus(data, cache_dir, 0))
    assert_equal(list(train_batches(text_data(), TRAINING, cache_dir=tmp_path / "cache")), in_memory)
    assert (tmp_path / "cache").is_dir()


def test_a_sequence_longer_than_all_the_text_is_refused(text_data: MakeData) -> None:
    with pytest.raises(
        DataError, match=r"has 3,\d\d\d training tokens, fewer than .* seq_len = 100,000.*lower seq_len"
    ):
        train_batches(text_data(), replace(TRAINING, seq_len=100_000))


def test_a_share_that_is_not_whole_is_a_programming_error(text_data: MakeData) -> None:
    with pytest.raises(ValueError, match="process 0 of 3 has no whole share of 4 sequences"):
        train_batches(text_data(), TRAINING, process_count=3)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mixture": (1.0, 1.0)}, "one mixture weight above 0"),
        ({"mixture": (0.0,)}, "one mixture weight above 0"),
        ({"sources": (), "mixture": ()}, "one mixture weight above 0"),
        ({"format": "csv"}, "'csv' is not one of auto, text, jsonl, parquet"),
        ({"packing": "none"}, "'none' is not one of documents, concatenate"),
        ({"split": 1.0}, "1.0 is not a fraction"),
        ({"split": -0.1}, "-0.1 is not a fraction"),
    ],
)
def test_a_value_that_text_data_cannot_have_is_refused(
    text_data: MakeData, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        text_data(**changes)


def test_importing_the_data_room_loads_no_optional_library() -> None:
    optional = ["grain", "tokenizers", "sentencepiece", "pyarrow"]
    code = f"import sys, moec.runtime.data.text; print([name for name in {optional} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
