"""Which rows of the packed streams make up the batches of training and of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moec.runtime.batch import Batch
from moec.runtime.data.order import Interleave, shuffled_rows
from moec.runtime.data.rows import PackedStream, gather
from moec.runtime.program import Training


@dataclass(frozen=True, slots=True, eq=False)
class TrainSelection:
    """The rows of every training step: sources by the schedule, each source's rows in a new order in every epoch."""

    packed: tuple[PackedStream, ...]
    schedule: Interleave
    seed: int
    training: Training

    def batch(self, step: int, local: slice) -> Batch:
        """The sequences `local` of each micro-batch of a step; their weights know the targets of the whole step.

        Shapes: [micro_batches, local sequences, S].
        """
        training = self.training
        n_samples = training.micro_batches * training.micro_sequences
        source, row = self._rows(step * n_samples + np.arange(n_samples))
        n_targets = sum(int(part.row_targets[row[source == i]].sum()) for i, part in enumerate(self.packed))
        local_source, local_row = (
            array.reshape(training.micro_batches, training.micro_sequences)[:, local] for array in (source, row)
        )
        weight = training.micro_batches / n_targets
        batch = gather(self.packed, local_source.ravel(), local_row.ravel(), training.seq_len, weight)
        return _reshape(batch, (*local_row.shape, training.seq_len))

    def _rows(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source and the row of each sample. Shapes: [n]."""
        source, number = self.schedule.locate(samples)
        row = np.zeros_like(number)
        for index, part in enumerate(self.packed):
            chosen = source == index
            row[chosen] = shuffled_rows(number[chosen], part.rows.n_rows, self.seed, index)
        return source, row


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutSelection:
    """The rows of an evaluation, filled up with empty rows to whole batches.

    Shapes: `source`, `row` [batches, sequences]; source -1 is an empty row.
    """

    packed: tuple[PackedStream, ...]
    source: np.ndarray
    row: np.ndarray
    n_targets: int
    seq_len: int

    @property
    def n_batches(self) -> int:
        return len(self.source)

    def batch(self, number: int, local: slice) -> Batch:
        """The sequences `local` of a batch. Shapes: [local sequences, S]."""
        source, row = self.source[number, local], self.row[number, local]
        return gather(self.packed, source, row, self.seq_len, 1 / self.n_targets)


def select_held_out(
    packed: tuple[PackedStream, ...], seq_len: int, sequences: int, at_most_rows: int
) -> HeldOutSelection:
    """A fixed sample of the rows of all sources, in batches of `sequences`; no seed changes it."""
    source = np.repeat(np.arange(len(packed)), [part.rows.n_rows for part in packed])
    row = np.concatenate([np.arange(part.rows.n_rows) for part in packed])
    sample = shuffled_rows(np.arange(min(at_most_rows, len(row))), max(1, len(row)), seed=0, source=0)
    source, row = source[sample], row[sample]
    n_targets = sum(int(part.row_targets[row[source == i]].sum()) for i, part in enumerate(packed))
    empty = -len(row) % sequences
    return HeldOutSelection(
        packed=packed,
        source=np.pad(source, (0, empty), constant_values=-1).reshape(-1, sequences),
        row=np.pad(row, (0, empty)).reshape(-1, sequences),
        n_targets=n_targets,
        seq_len=seq_len,
    )


def _reshape(batch: Batch, shape: tuple[int, ...]) -> Batch:
    return Batch(
        tokens_BS=batch.tokens_BS.reshape(shape),
        targets_BS=batch.targets_BS.reshape(shape),
        positions_BS=batch.positions_BS.reshape(shape),
        segments_BS=batch.segments_BS.reshape(shape),
        weights_BS=batch.weights_BS.reshape(shape),
    )
