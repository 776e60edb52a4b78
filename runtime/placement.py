"""From the rows that a process reads to arrays that lie over the whole mesh."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from moec.runtime.batch import Batch
from moec.runtime.mesh import BATCH_AXES


@dataclass(frozen=True, slots=True)
class RowShare:
    """This process reads part `index` of `count` equal, contiguous parts of each micro-batch's rows."""

    index: int
    count: int


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """How a step's [M, B, S] lies: rows over the batch axes, positions over seq, micro-batches one after the other."""
    return NamedSharding(mesh, PartitionSpec(None, BATCH_AXES, "seq"))


def row_share(mesh: Mesh, sequences: int) -> RowShare:
    """The part of `sequences` rows that this process's devices hold; all rows where that part is not contiguous."""
    places = batch_sharding(mesh).addressable_devices_indices_map((1, sequences, max(mesh.shape["seq"], 1)))
    rows = sorted({row for index in places.values() for row in range(*index[1].indices(sequences))})
    size = len(rows)
    together = rows[-1] - rows[0] + 1 == size and sequences % size == 0 and rows[0] % size == 0
    return RowShare(index=rows[0] // size, count=sequences // size) if together else RowShare(0, 1)


def place(batch: Batch, sharding: NamedSharding, share: RowShare) -> Batch:
    """The global batch of which `batch` (numpy, [M, B / share.count, S]) is this process's part."""
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(lambda rows: _global_array(rows, sharding, share), batch)


def _global_array(rows: np.ndarray, sharding: NamedSharding, share: RowShare) -> jax.Array:
    shape = (rows.shape[0], rows.shape[1] * share.count, rows.shape[2])
    offset = share.index * rows.shape[1]

    def shard(index: tuple[slice, ...]) -> np.ndarray:
        start, stop, _ = index[1].indices(shape[1])
        return rows[index[0], start - offset : stop - offset, index[2]]

    return jax.make_array_from_callback(shape, sharding, shard)
