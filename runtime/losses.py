"""The loss of next-token prediction, from hidden states without ever holding all logits."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike

from moec.runtime.batch import Batch
from moec.runtime.mesh import AXES, BATCH_AXES, axis_size, is_sharded

CHUNK_BYTES = 2**28
"""How much memory of one device the logits of a chunk may take by default: 256 MiB."""


class Prediction(NamedTuple):
    """The weighted sums over all targets of cross-entropy (nats) and of logsumexp(logits)^2. Shapes: [] both."""

    cross_entropy: jax.Array
    squared_logsumexp: jax.Array


def cross_entropy(
    hidden_BSD: jax.Array,
    w_DV: jax.Array,
    batch: Batch,
    *,
    chunk: int | None = None,
    softcap: float | None = None,
    dtype: DTypeLike = "float32",
) -> Prediction:
    """The cross-entropy of `batch.targets_BS`, weighted with `batch.weights_BS`.

    Logits are made for `chunk` tokens over all devices at a time, the same number of positions of every sequence (by
    default as many as fit 256 MiB per device), and made again in the backward pass where there are several chunks. They
    are rounded to `dtype`; softmax is in float32. `softcap` caps them, `cap * tanh(logit / cap)`. On a mesh the head is
    gathered once and its gradient summed over devices once, whatever the number of chunks.
    Shapes: hidden [B, S, D], w [D, V].
    """
    w_DV = w_DV.astype(hidden_BSD.dtype)
    sequences, length, vocab_size = *hidden_BSD.shape[:2], w_DV.shape[1]
    pieces = _pieces(sequences, length, length // axis_size("seq"), vocab_size, chunk)
    loss = partial(_in_pieces, pieces=pieces, softcap=softcap, dtype=dtype)
    if not is_sharded():
        return loss(hidden_BSD, batch.targets_BS, batch.weights_BS, w_DV)
    cut = axis_size("fsdp") > 1 and w_DV.shape[0] % axis_size("fsdp") == 0
    row_axes = (*BATCH_AXES, "seq")

    def local(hidden_bsD: jax.Array, targets_bs: jax.Array, weights_bs: jax.Array, w_dv: jax.Array) -> Prediction:
        w_Dv = jax.lax.all_gather(w_dv, "fsdp", axis=0, tiled=True) if cut else w_dv
        sums = loss(hidden_bsD, targets_bs, weights_bs, w_Dv)
        return jax.tree.map(lambda total: jax.lax.psum(total, row_axes), sums)

    rows = PartitionSpec(BATCH_AXES, "seq")
    head = PartitionSpec("fsdp" if cut else None, "model")
    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(BATCH_AXES, "seq", None), rows, rows, head),
        out_specs=PartitionSpec(),
        check_vma=False,
    )(hidden_BSD, batch.targets_BS, batch.weights_BS, w_DV)


def _in_pieces(
    hidden: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    w: jax.Array,
    *,
    pieces: int,
    softcap: float | None,
    dtype: DTypeLike,
) -> Prediction:
    """The sums over one device's tokens, `pieces` chunks of them one after the other."""
    chunk_loss = partial(_chunk_loss, softcap=softcap, dtype=dtype)
    if pieces == 1:
        return chunk_loss(hidden, targets, weights, w)

    def step(total: Prediction, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Prediction, None]:
        return jax.tree.map(jnp.add, total, jax.checkpoint(chunk_loss, prevent_cse=False)(*piece, w)), None

    def cut(array: jax.Array) -> jax.Array:
        strided = array.reshape(array.shape[0], array.shape[1] // pieces, pieces, *array.shape[2:])
        return jnp.moveaxis(strided, 2, 0)

    zero = Prediction(jnp.float32(0), jnp.float32(0))
    total, _ = jax.lax.scan(step, zero, (cut(hidden), cut(targets), cut(weights)))
    return total


def _chunk_loss(
    hidden: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    w_Dv: jax.Array,
    *,
    softcap: float | None,
    dtype: DTypeLike,
) -> Prediction:
    """The sums over one chunk; each device of the model axis has the logits of its part of the vocabulary."""
    logits = jnp.matmul(hidden, w_Dv, preferred_element_type=jnp.float32).astype(dtype).astype(jnp.float32)
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    shards, here = axis_size("model"), w_Dv.shape[1]
    if shards == 1:
        logsumexp = jax.nn.logsumexp(logits, axis=-1)
        target = jnp.sum(logits * jax.nn.one_hot(targets, here, dtype=jnp.float32), axis=-1)
    else:
        largest = jax.lax.pmax(jax.lax.stop_gradient(jnp.max(logits, axis=-1)), "model")
        sums = jax.lax.psum(jnp.sum(jnp.exp(logits - largest[..., None]), axis=-1), "model")
        logsumexp = jnp.log(sums) + largest
        own = targets - here * jax.lax.axis_index("model")
        target = jax.lax.psum(jnp.sum(logits * jax.nn.one_hot(own, here, dtype=jnp.float32), axis=-1), "model")
    return Prediction(jnp.sum(weights * (logsumexp - target)), jnp.sum(weights * logsumexp**2))


def _pieces(sequences: int, length: int, local_length: int, vocab_size: int, chunk: int | None) -> int:
    """Into how many chunks a sequence is cut: the least divisor of its length on a device that keeps a chunk small
    enough."""
    if chunk is None:
        chunk = CHUNK_BYTES // (4 * vocab_size) * math.prod(axis_size(axis) for axis in AXES)
    divisors = (pieces for pieces in range(1, local_length + 1) if local_length % pieces == 0)
    return next((pieces for pieces in divisors if sequences * length // pieces <= chunk), local_length)
