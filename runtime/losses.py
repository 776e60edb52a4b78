"""The loss of next-token prediction, from hidden states without ever holding all logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike

from moec.runtime.batch import Batch
from moec.runtime.mesh import AXES, BATCH_AXES, axis_size, is_sharded

Total = TypeVar("Total")
Own = TypeVar("Own")

CHUNK_BYTES = 2**28
"""How much memory of one device the logits of a chunk may take by default: 256 MiB."""


class Prediction(NamedTuple):
    """The weighted sums over all targets: of cross-entropy (nats), and of `z_loss` times logsumexp(logits)^2. Shapes:
    [] both."""

    cross_entropy: jax.Array
    z_loss: jax.Array


class Gradients(NamedTuple):
    """Of the sum of a Prediction's terms, to hidden states in their dtype and to the head in float32."""

    to_hidden_bsD: jax.Array
    to_w_Dv: jax.Array


class Rows(NamedTuple):
    """Tokens that go through the head together: hidden states [b, s, D], targets and their weights [b, s]."""

    hidden_bsD: jax.Array
    targets_bs: jax.Array
    weights_bs: jax.Array


class Softmax(NamedTuple):
    """What the gradient of a chunk is made of: exp(logits - largest), their sums, the slope of the cap."""

    powers_Tv: jax.Array
    sums_T: jax.Array
    logsumexp_T: jax.Array
    slope_Tv: jax.Array | None


@dataclass(frozen=True, slots=True)
class Form:
    """The tokens of a device are cut into `pieces` chunks. Logits are rounded to `dtype`, then capped at `softcap`
    where it is not None; `z_loss` weighs the square of their logsumexp."""

    pieces: int
    softcap: float | None
    z_loss: float
    dtype: jnp.dtype


def cross_entropy(
    hidden_BSD: jax.Array,
    w_DV: jax.Array,
    batch: Batch,
    *,
    chunk: int | None = None,
    softcap: float | None = None,
    z_loss: float = 0.0,
    dtype: DTypeLike = "float32",
) -> Prediction:
    """The cross-entropy of `batch.targets_BS`, weighted with `batch.weights_BS`, and the z-loss with weight `z_loss`.

    Logits are made for `chunk` tokens over all devices at a time, the same number of positions of every sequence (by
    default as many as fit 256 MiB per device), and once: where the loss is differentiated, a chunk gives its gradient
    as soon as its sums. That is the gradient of cross-entropy and z-loss added up; of another combination of the two it
    is NaN. Logits are rounded to `dtype`; softmax is in float32. `softcap` caps them, `cap * tanh(logit / cap)`. On a
    mesh the head is gathered once and its gradient summed over devices once, whatever the number of chunks.
    `batch.weights_BS` is given and gets no gradient. Shapes: hidden [B, S, D], w [D, V].

    Source: Hsu et al. (Liger Kernel), arXiv 2410.10989, section 3.2, FusedLinearCrossEntropy.
    """
    w_DV = w_DV.astype(hidden_BSD.dtype)
    sequences, length, vocab_size = *hidden_BSD.shape[:2], w_DV.shape[1]
    pieces = _pieces(sequences, length, length // axis_size("seq"), vocab_size, chunk)
    form = Form(pieces, softcap, z_loss, jnp.dtype(dtype))
    if not is_sharded():
        return _predict(hidden_BSD, w_DV, batch.targets_BS, batch.weights_BS, form)
    cut = axis_size("fsdp") > 1 and w_DV.shape[0] % axis_size("fsdp") == 0
    row_axes = (*BATCH_AXES, "seq")

    def local(hidden_bsD: jax.Array, w_dv: jax.Array, targets_bs: jax.Array, weights_bs: jax.Array) -> Prediction:
        w_Dv = jax.lax.all_gather(w_dv, "fsdp", axis=0, tiled=True) if cut else w_dv
        sums = _predict(hidden_bsD, w_Dv, targets_bs, weights_bs, form)
        return jax.tree.map(lambda total: jax.lax.psum(total, row_axes), sums)

    rows = PartitionSpec(BATCH_AXES, "seq")
    head = PartitionSpec("fsdp" if cut else None, "model")
    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(BATCH_AXES, "seq", None), head, rows, rows),
        out_specs=PartitionSpec(),
        check_vma=False,
    )(hidden_BSD, w_DV, batch.targets_BS, batch.weights_BS)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _predict(
    hidden_bsD: jax.Array, w_Dv: jax.Array, targets_bs: jax.Array, weights_bs: jax.Array, form: Form
) -> Prediction:
    """The sums over one device's tokens, chunk after chunk; each device of the model axis has the logits of its part of
    the vocabulary."""

    def step(total: Prediction, chunk: Rows) -> tuple[Prediction, None]:
        return jax.tree.map(jnp.add, total, _predict_chunk(chunk, w_Dv, form)[0]), None

    return _over_chunks(step, _zero(), Rows(hidden_bsD, targets_bs, weights_bs), form.pieces)[0]


def _predict_forward(
    hidden_bsD: jax.Array, w_Dv: jax.Array, targets_bs: jax.Array, weights_bs: jax.Array, form: Form
) -> tuple[Prediction, Gradients]:
    """The same with the gradients, which each chunk gives while its logits are there."""

    def step(total: tuple[Prediction, jax.Array], chunk: Rows) -> tuple[tuple[Prediction, jax.Array], jax.Array]:
        sums, softmax = _predict_chunk(chunk, w_Dv, form)
        to_hidden_bsD, to_w_Dv = _differentiate_chunk(chunk, w_Dv, softmax, form)
        return jax.tree.map(jnp.add, total, (sums, to_w_Dv)), to_hidden_bsD

    start = _zero(), jnp.zeros(w_Dv.shape, jnp.float32)
    rows = Rows(hidden_bsD, targets_bs, weights_bs)
    (sums, to_w_Dv), to_hidden_bsD = _over_chunks(step, start, rows, form.pieces)
    return sums, Gradients(to_hidden_bsD, to_w_Dv)


def _predict_backward(form: Form, kept: Gradients, gradient: Prediction) -> tuple[jax.Array, jax.Array, None, None]:
    """Scales what the forward pass made. Under shard_map each device of the model axis brings its share of the gradient
    of the sums, which all of them have."""
    scale = gradient.cross_entropy
    if form.z_loss:
        scale = jnp.where(gradient.z_loss == scale, scale, jnp.nan)
    scale, dtype = _over_vocabulary(jax.lax.psum, scale), kept.to_hidden_bsD.dtype
    return (scale * kept.to_hidden_bsD).astype(dtype), (scale * kept.to_w_Dv).astype(dtype), None, None


_predict.defvjp(_predict_forward, _predict_backward)


def _predict_chunk(chunk: Rows, w_Dv: jax.Array, form: Form) -> tuple[Prediction, Softmax]:
    """The sums over one chunk, and what is left of its logits."""
    hidden_TD, targets_T, weights_T = _in_a_row(chunk)
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
        z_loss=form.z_loss * jnp.sum(weights_T * logsumexp_T * logsumexp_T),
    )
    return prediction, Softmax(powers_Tv, sums_T, logsumexp_T, slope_Tv)


def _differentiate_chunk(chunk: Rows, w_Dv: jax.Array, softmax: Softmax, form: Form) -> Gradients:
    """Written out so that the powers are made once and the matmuls see one array."""
    hidden_TD, targets_T, weights_T = _in_a_row(chunk)
    to_logsumexp_T = weights_T * (1.0 + 2.0 * form.z_loss * softmax.logsumexp_T)
    to_logits_Tv = softmax.powers_Tv * (to_logsumexp_T / softmax.sums_T)[:, None]
    to_logits_Tv = to_logits_Tv - jnp.where(_is_target(targets_T, w_Dv), weights_T[:, None], 0)
    if softmax.slope_Tv is not None:
        to_logits_Tv = to_logits_Tv * softmax.slope_Tv
    to_logits_Tv = to_logits_Tv.astype(hidden_TD.dtype)
    to_w_Dv = jnp.matmul(hidden_TD.T, to_logits_Tv, preferred_element_type=jnp.float32)
    return Gradients((to_logits_Tv @ w_Dv.T).reshape(chunk.hidden_bsD.shape), to_w_Dv)


def _over_chunks(
    step: Callable[[Total, Rows], tuple[Total, Own]], start: Total, rows: Rows, pieces: int
) -> tuple[Total, Own]:
    """What `step` adds up over chunks of equally many positions of every sequence, and what it gives for each, put
    together again."""
    if pieces == 1:
        return step(start, rows)

    def cut(array: jax.Array) -> jax.Array:
        strided = array.reshape(array.shape[0], array.shape[1] // pieces, pieces, *array.shape[2:])
        return jnp.moveaxis(strided, 2, 0)

    def join(array: jax.Array) -> jax.Array:
        strided = jnp.moveaxis(array, 0, 2)
        return strided.reshape(strided.shape[0], -1, *strided.shape[3:])

    total, own = jax.lax.scan(step, start, jax.tree.map(cut, rows))
    return total, jax.tree.map(join, own)


def _zero() -> Prediction:
    return Prediction(jnp.float32(0), jnp.float32(0))


def _in_a_row(chunk: Rows) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Hidden states [T, D], targets [T] and weights [T]."""
    return chunk.hidden_bsD.reshape(-1, chunk.hidden_bsD.shape[-1]), chunk.targets_bs.ravel(), chunk.weights_bs.ravel()


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
