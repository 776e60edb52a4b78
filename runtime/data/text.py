"""Text to batches: what a program says about its data, and the batches of any step of its training and evaluation.

The order has no state: the batch of step n follows from n alone, so a resumed run reads on exactly where it stopped, on
any number of hosts. Reading, splitting and tokenising is in corpus.py, packing in packing.py, the order in order.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from moec.runtime.data.corpus import open_corpus
from moec.runtime.data.documents import FORMATS
from moec.runtime.data.errors import DataError
from moec.runtime.data.loading import Batches, load
from moec.runtime.data.order import interleave
from moec.runtime.data.packing import PACKINGS, pack
from moec.runtime.data.rows import PackedStream
from moec.runtime.data.selection import TrainSelection, select_held_out
from moec.runtime.data.streams import token_counts
from moec.runtime.data.tokenizers import Tokenizer, open_tokenizer
from moec.runtime.program import Training


@dataclass(frozen=True, slots=True)
class TextData:
    """The text that a model learns from.

    `sources`: "python_stdlib", a path or a glob each, mixed row by row in the proportion of `mixture`. `format`: auto,
    text, jsonl or parquet; `text_field` names the field or column of the last two. `tokenizer`: "bytes", a `tokenizers`
    JSON file or a SentencePiece model. `split`: the fraction of the documents that is held out, chosen by their text
    alone. `packing`: "documents" keeps documents of a row apart, "concatenate" joins them. `seed` shuffles the rows.
    Errors: DataError for a value outside of these.
    """

    sources: tuple[str, ...]
    mixture: tuple[float, ...]
    format: str
    text_field: str
    tokenizer: str
    vocab_size: int
    split: float
    packing: str
    seed: int

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.mixture) or min(self.mixture) <= 0:
            raise DataError(f"Each source needs one mixture weight above 0: {self.sources!r} has {self.mixture!r}.")
        if self.format not in FORMATS:
            raise DataError(f"The format {self.format!r} is not one of {', '.join(FORMATS)}.")
        if self.packing not in PACKINGS:
            raise DataError(f"The packing {self.packing!r} is not one of {', '.join(PACKINGS)}.")
        if not 0 <= self.split < 1:
            raise DataError(f"The split {self.split!r} is not a fraction from 0 to below 1.")


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """How much text there is. `fingerprint` is a hash of the content, the split and the tokenizer, of no path."""

    train_documents: int
    train_tokens: int
    held_out_documents: int
    held_out_tokens: int
    fingerprint: str


def corpus_facts(data: TextData, *, cache_dir: Path | None = None) -> CorpusFacts:
    """How much text `data` has, over all its sources; ends of documents count as tokens."""
    corpus = open_corpus(data, cache_dir)
    return CorpusFacts(
        train_documents=sum(source.train.n_documents for source in corpus),
        train_tokens=sum(source.train.n_targets for source in corpus),
        held_out_documents=sum(source.held_out.n_documents for source in corpus),
        held_out_tokens=sum(source.held_out.n_targets for source in corpus),
        fingerprint="+".join(source.fingerprint for source in corpus),
    )


@lru_cache(maxsize=2)
def tokenizer_of(data: TextData) -> Tokenizer:
    """The tokenizer of `data`, to encode a prompt and to read what was generated."""
    return open_tokenizer(data.tokenizer, data.vocab_size)


def train_batches(
    data: TextData,
    training: Training,
    *,
    first_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    cache_dir: Path | None = None,
) -> Batches:
    """The batches of the steps from `first_step` (the number of steps done) to the last, made ahead in the background.

    Each process gets its slice of every micro-batch: the slices of all, joined along the second dim, are the global
    batch. `close()` ends it early. Shapes: numpy arrays [micro_batches, micro_sequences / process_count, S].
    Errors: DataError if the text cannot be used or a source has fewer training tokens than `seq_len`.
    """
    local = _share(training.micro_sequences, process_index, process_count)
    packed = _packed(data, training.seq_len, "train", cache_dir)
    for source, part in zip(data.sources, packed, strict=True):
        if part.stream.n_targets < training.seq_len:
            raise DataError(
                f"The source {source!r} has {part.stream.n_targets:,} training tokens, fewer than one sequence of "
                f"seq_len = {training.seq_len:,}. Add text or lower seq_len."
            )
    selection = TrainSelection(packed, interleave(data.mixture), data.seed, training)
    return load(lambda step: selection.batch(step, local), first_step, training.steps)


def eval_batches(
    data: TextData,
    seq_len: int,
    sequences: int,
    tokens: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
    cache_dir: Path | None = None,
) -> Batches:
    """Held-out batches of `sequences` rows, at most `tokens` tokens (but one row), the same ones at every call.

    The weights sum to 1 over all the batches: the sum of the batches' cross-entropies is the held-out loss in nats per
    token. The last batch is filled up with empty rows (segment 0). Nothing comes where `split` is 0.
    Shapes: numpy arrays [sequences / process_count, S].
    """
    local = _share(sequences, process_index, process_count)
    packed = _packed(data, seq_len, "held_out", cache_dir)
    selection = select_held_out(packed, seq_len, sequences, at_most_rows=max(1, tokens // seq_len))
    return load(lambda number: selection.batch(number, local), 0, selection.n_batches)


def unigram_loss(data: TextData, *, seq_len: int, tokens: int, cache_dir: Path | None = None) -> float | None:
    """Nats per token of the model that knows only how frequent each token is, on the targets that `eval_batches` gives.

    Its frequencies are those of the training split, add-one smoothed: (count + 1) / (total + vocab_size).
    None where `split` is 0.
    """
    trained = np.zeros(data.vocab_size, np.int64)
    for source in open_corpus(data, cache_dir):
        trained += token_counts(source.train, data.vocab_size)
    seen = np.zeros(data.vocab_size, np.int64)
    for batch in eval_batches(data, seq_len, 1, tokens, cache_dir=cache_dir):
        seen += np.bincount(batch.targets_BS[batch.segments_BS > 0], minlength=data.vocab_size)
    if not seen.any():
        return None
    log_frequencies = np.log((trained + 1) / (trained.sum() + data.vocab_size))
    return float(-(seen @ log_frequencies) / seen.sum())


@lru_cache(maxsize=4)
def _packed(
    data: TextData, seq_len: int, part: Literal["train", "held_out"], cache_dir: Path | None
) -> tuple[PackedStream, ...]:
    corpus = open_corpus(data, cache_dir)
    streams = [source.train if part == "train" else source.held_out for source in corpus]
    rows = [pack(stream, seq_len, data.packing) for stream in streams]
    return tuple(PackedStream(stream, row, row.n_targets) for stream, row in zip(streams, rows, strict=True))


def _share(sequences: int, process_index: int, process_count: int) -> slice:
    """The sequences of one process; that they divide evenly is the compiler's promise."""
    if sequences % process_count or not 0 <= process_index < process_count:
        raise ValueError(f"process {process_index} of {process_count} has no whole share of {sequences} sequences")
    size = sequences // process_count
    return slice(process_index * size, (process_index + 1) * size)
