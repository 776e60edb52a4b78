"""The loss of next-token prediction, from hidden states without ever holding all logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
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


class Kept(NamedTuple):
    """What the backward pass of a chunk needs: exp(logits - largest), their sums, the slope of the cap."""

    hidden_TD: jax.Array
    w_Dv: jax.Array
    targets_T: jax.Array
    weights_T: jax.Array
    powers_Tv: jax.Array
    sums_T: jax.Array
    logsumexp_T: jax.Array
    slope_Tv: jax.Array | None


@dataclass(frozen=True, slots=True)
class LogitsForm:
    """What is done to logits: rounded to `dtype`, then capped at `softcap` where it is not None."""

    softcap: float | None
    dtype: jnp.dtype


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
    `batch.weights_BS` is given and gets no gradient. Shapes: hidden [B, S, D], w [D, V].
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
    form = LogitsForm(softcap, jnp.dtype(dtype))

    def rows_loss(hidden: jax.Array, targets: jax.Array, weights: jax.Array, w: jax.Array) -> Prediction:
        return _predict(hidden.reshape(-1, w.shape[0]), w, targets.reshape(-1), weights.reshape(-1), form)

    if pieces == 1:
        return rows_loss(hidden, targets, weights, w)

    def step(total: Prediction, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Prediction, None]:
        return jax.tree.map(jnp.add, total, jax.checkpoint(rows_loss, prevent_cse=False)(*piece, w)), None

    def cut(array: jax.Array) -> jax.Array:
        strided = array.reshape(array.shape[0], array.shape[1] // pieces, pieces, *array.shape[2:])
        return jnp.moveaxis(strided, 2, 0)

    zero = Prediction(jnp.float32(0), jnp.float32(0))
    total, _ = jax.lax.scan(step, zero, (cut(hidden), cut(targets), cut(weights)))
    return total


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _predict(
    hidden_TD: jax.Array, w_Dv: jax.Array, targets_T: jax.Array, weights_T: jax.Array, form: LogitsForm
) -> Prediction:
    """The sums over one chunk; each device of the model axis has the logits of its part of the vocabulary."""
    return _predict_forward(hidden_TD, w_Dv, targets_T, weights_T, form)[0]


def _predict_forward(
    hidden_TD: jax.Array, w_Dv: jax.Array, targets_T: jax.Array, weights_T: jax.Array, form: LogitsForm
) -> tuple[Prediction, Kept]:
    logits_Tv = jnp.matmul(hidden_TD, w_Dv, preferred_element_type=jnp.float32)
    logits_Tv, slope_Tv = logits_Tv.astype(form.dtype).astype(jnp.float32), None
    if form.softcap is not None:
        ratio_Tv = jnp.tanh(logits_Tv / form.softcap)
        logits_Tv, slope_Tv = form.softcap * ratio_Tv, 1.0 - ratio_Tv * ratio_Tv
    largest_T = _over_vocabulary(jax.lax.pmax, jnp.max(logits_Tv, axis=-1))
    powers_Tv = jnp.exp(logits_Tv - largest_T[:, None])
    sums_T = _over_vocabulary(jax.lax.psum, jnp.sum(powers_Tv, axis=-1))
    at_target_Tv = jnp.where(_is_target(targets_T, w_Dv), logits_Tv, 0)
    target_T = _over_vocabulary(jax.lax.psum, jnp.sum(at_target_Tv, axis=-1))
    logsumexp_T = jnp.log(sums_T) + largest_T
    prediction = Prediction(
        cross_entropy=jnp.sum(weights_T * (logsumexp_T - target_T)),
        squared_logsumexp=jnp.sum(weights_T * logsumexp_T * logsumexp_T),
    )
    kept = Kept(hidden_TD, w_Dv, targets_T, weights_T, powers_Tv, sums_T, logsumexp_T, slope_Tv)
    return prediction, kept


def _predict_backward(form: LogitsForm, kept: Kept, gradient: Prediction) -> tuple[jax.Array, jax.Array, None, None]:
    """Written out so that the powers are made once and the matmuls see one array. Under shard_map each device of the
    model axis brings its share of the gradient of the sums, which all of them have."""
    gradient = jax.tree.map(partial(_over_vocabulary, jax.lax.psum), gradient)
    to_target_T = kept.weights_T * gradient.cross_entropy
    to_logsumexp_T = to_target_T + 2.0 * kept.weights_T * kept.logsumexp_T * gradient.squared_logsumexp
    to_logits_Tv = kept.powers_Tv * (to_logsumexp_T / kept.sums_T)[:, None]
    to_logits_Tv = to_logits_Tv - jnp.where(_is_target(kept.targets_T, kept.w_Dv), to_target_T[:, None], 0)
    if kept.slope_Tv is not None:
        to_logits_Tv = to_logits_Tv * kept.slope_Tv
    to_logits_Tv = to_logits_Tv.astype(kept.hidden_TD.dtype)
    to_w_Dv = jnp.matmul(kept.hidden_TD.T, to_logits_Tv, preferred_element_type=jnp.float32)
    return to_logits_Tv @ kept.w_Dv.T, to_w_Dv.astype(kept.w_Dv.dtype), None, None


_predict.defvjp(_predict_forward, _predict_backward)


def _over_vocabulary(collective: Callable[[jax.Array, str], jax.Array], value: jax.Array) -> jax.Array:
    return value if axis_size("model") == 1 else collective(value, "model")


def _is_target(targets_T: jax.Array, w_Dv: jax.Array) -> jax.Array:
    """Where the columns of the own part of the vocabulary are the targets [T, v]."""
    here = w_Dv.shape[1]
    first = 0 if axis_size("model") == 1 else here * jax.lax.axis_index("model")
    return (targets_T - first)[:, None] == jnp.arange(here)


def _pieces(sequences: int, length: int, local_length: int, vocab_size: int, chunk: int | None) -> int:
    """Into how many chunks a sequence is cut: the least divisor of its length on a device that keeps a chunk small
    enough."""
    if chunk is None:
        chunk = CHUNK_BYTES // (4 * vocab_size) * math.prod(axis_size(axis) for axis in AXES)
    divisors = (pieces for pieces in range(1, local_length + 1) if local_length % pieces == 0)
    return next((pieces for pieces in divisors if sequences * length // pieces <= chunk), local_length)
