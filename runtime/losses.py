"""The loss of next-token prediction, from hidden states without ever holding all logits."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
from jax import numpy as jnp
from jax.typing import DTypeLike

from moec.runtime.batch import Batch
from moec.runtime.mesh import AXES, axis_size

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
    are rounded to `dtype`; softmax is in float32. `softcap` caps them, `cap * tanh(logit / cap)`.
    Shapes: hidden [B, S, D], w [D, V].
    """
    w_DV = w_DV.astype(hidden_BSD.dtype)
    length = hidden_BSD.shape[1]
    pieces = _pieces(hidden_BSD.shape[0], length, w_DV.shape[1], chunk)

    def chunk_loss(hidden: jax.Array, targets: jax.Array, weights: jax.Array, w: jax.Array) -> Prediction:
        logits = jnp.matmul(hidden, w, preferred_element_type=jnp.float32).astype(dtype).astype(jnp.float32)
        if softcap is not None:
            logits = softcap * jnp.tanh(logits / softcap)
        logsumexp = jax.nn.logsumexp(logits, axis=-1)
        at_target = jax.nn.one_hot(targets, w.shape[1], dtype=jnp.float32)
        target = jnp.sum(logits * at_target, axis=-1)
        return Prediction(jnp.sum(weights * (logsumexp - target)), jnp.sum(weights * logsumexp**2))

    if pieces == 1:
        return chunk_loss(hidden_BSD, batch.targets_BS, batch.weights_BS, w_DV)

    def step(total: Prediction, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Prediction, None]:
        return jax.tree.map(jnp.add, total, jax.checkpoint(chunk_loss, prevent_cse=False)(*piece, w_DV)), None

    def cut(array: jax.Array) -> jax.Array:
        strided = array.reshape(array.shape[0], length // pieces, pieces, *array.shape[2:])
        return jnp.moveaxis(strided, 2, 0)

    zero = Prediction(jnp.float32(0), jnp.float32(0))
    total, _ = jax.lax.scan(step, zero, (cut(hidden_BSD), cut(batch.targets_BS), cut(batch.weights_BS)))
    return total


def _pieces(sequences: int, length: int, vocab_size: int, chunk: int | None) -> int:
    """Into how many chunks a sequence is cut: the least divisor of its length that keeps a chunk small enough."""
    if chunk is None:
        chunk = CHUNK_BYTES // (4 * vocab_size) * math.prod(axis_size(axis) for axis in AXES)
    fits = (pieces for pieces in range(1, length + 1) if length % pieces == 0 and sequences * length // pieces <= chunk)
    return next(fits, length)
