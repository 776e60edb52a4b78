"""The kernels of attention. All see the same: the past of the own segment, at most `window` tokens of it."""

from __future__ import annotations

import math

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, axis_size, constrain

MASKED = -1e30
"""The score of what is not seen; finite, so that a row that sees nothing gives a mean and not NaN."""

LEAST_BAND = 64
"""Queries of the smallest band of the blockwise kernel. Measured on 2 CPU cores, docs/log.md 2026-11-24, 64 to 1024."""

BANDS = 16
"""Bands at most; each is compiled by itself."""

PIECE = 512
"""Queries of a band whose scores are in memory at a time."""

KEPT_LENGTH = 512
"""Up to this sequence length scores are kept for the backward pass, beyond it they are made again."""


def reference(
    q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array, visible_BSK: jax.Array, *, softcap: float | None
) -> jax.Array:
    """Attention with all scores and the whole mask in memory."""
    if axis_size("seq") > 1:
        k_BKGH, v_BKGH = (constrain(x, PartitionSpec(BATCH_AXES, None, "model", None)) for x in (k_BKGH, v_BKGH))
    q_BGRSH, k_BGKH, v_BGKH = _by_head(q_BSNH, k_BKGH, v_BKGH)
    return _by_token(_block(q_BGRSH, k_BGKH, v_BGKH, visible_BSK, softcap))


def blockwise(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    """Attention over bands of queries, each with only the keys that its window and the causal order leave.

    Where positions lie on the seq axis, each device computes its own queries against all keys.
    """
    if axis_size("seq") == 1:
        return _by_token(_bands(*_by_head(q_BSNH, k_BSGH, v_BSGH), segments_BS, window, softcap))

    def local(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array) -> jax.Array:
        k, v, every = (jax.lax.all_gather(x, "seq", axis=1, tiled=True) for x in (k, v, segments))
        first_row = jax.lax.axis_index("seq") * q.shape[1]
        heads = _by_head(q, k, v)
        return _by_token(_pieces(*heads, segments, every, first_row, 0, window, softcap, remake=True))

    stream = PartitionSpec(BATCH_AXES, "seq", "model", None)
    return jax.shard_map(
        local, in_specs=(stream, stream, stream, PartitionSpec(BATCH_AXES, "seq")), out_specs=stream, check_vma=False
    )(q_BSNH, k_BSGH, v_BSGH, segments_BS)


def _bands(
    q_BGRSH: jax.Array,
    k_BGSH: jax.Array,
    v_BGSH: jax.Array,
    segments_BS: jax.Array,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    """All queries, band by band; what a band cannot see is not computed."""
    length = q_BGRSH.shape[3]
    band, outputs = max(LEAST_BAND, -(-length // BANDS)), []
    for start in range(0, length, band):
        rows = slice(start, min(start + band, length))
        keys = slice(0 if window is None else max(0, start - window + 1), rows.stop)
        heads = q_BGRSH[:, :, :, rows], k_BGSH[:, :, keys], v_BGSH[:, :, keys]
        segments = segments_BS[:, rows], segments_BS[:, keys]
        remake = length > KEPT_LENGTH
        outputs.append(_pieces(*heads, *segments, start, keys.start, window, softcap, remake=remake))
    return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=3)


def _pieces(
    q_BGRSH: jax.Array,
    k_BGKH: jax.Array,
    v_BGKH: jax.Array,
    segments_BS: jax.Array,
    segments_BK: jax.Array,
    first_row: int | jax.Array,
    first_key: int,
    window: int | None,
    softcap: float | None,
    *,
    remake: bool,
) -> jax.Array:
    """Some consecutive queries against some consecutive keys, PIECE queries at a time; `remake` keeps no scores."""

    def piece(q: jax.Array, segments: jax.Array, row: int | jax.Array) -> jax.Array:
        distance = row + jnp.arange(q.shape[3])[:, None] - first_key - jnp.arange(k_BGKH.shape[2])
        seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
        own = segments[:, :, None] == segments_BK[:, None, :]
        return _block(q, k_BGKH, v_BGKH, own & seen, softcap)

    run = jax.checkpoint(piece) if remake else piece
    rows = q_BGRSH.shape[3]
    n_pieces = next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= PIECE)
    if n_pieces == 1:
        return run(q_BGRSH, segments_BS, first_row)
    shape = (*q_BGRSH.shape[:3], n_pieces, rows // n_pieces, q_BGRSH.shape[4])
    queries = jnp.moveaxis(q_BGRSH.reshape(shape), 3, 0)
    segments = jnp.moveaxis(segments_BS.reshape(-1, n_pieces, rows // n_pieces), 1, 0)
    starts = first_row + jnp.arange(n_pieces) * (rows // n_pieces)
    mixed = jax.lax.map(lambda one: run(*one), (queries, segments, starts))
    return jnp.moveaxis(mixed, 0, 3).reshape(q_BGRSH.shape)


def _block(
    q_BGRSH: jax.Array, k_BGKH: jax.Array, v_BGKH: jax.Array, visible_BSK: jax.Array, softcap: float | None
) -> jax.Array:
    """Softmax in float32 of the scores of some queries against some keys, times the values."""
    scores = jnp.einsum("bgrsh,bgkh->bgrsk", q_BGRSH, k_BGKH, preferred_element_type=jnp.float32)
    scores = scores * (1.0 / math.sqrt(q_BGRSH.shape[-1]))
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    scores = jnp.where(visible_BSK[:, None, None], scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v_BGKH.dtype)
    return jnp.einsum("bgrsk,bgkh->bgrsh", weights, v_BGKH)


def _by_head(q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Heads before tokens, queries grouped by the key-value head that they read."""
    sequences, length, n_heads, d_head = q_BSNH.shape
    n_kv_heads = k_BKGH.shape[2]
    grouped = q_BSNH.reshape(sequences, length, n_kv_heads, n_heads // n_kv_heads, d_head)
    return jnp.moveaxis(grouped, 1, 3), jnp.moveaxis(k_BKGH, 1, 2), jnp.moveaxis(v_BKGH, 1, 2)


def _by_token(x_BGRSH: jax.Array) -> jax.Array:
    sequences, n_kv_heads, repeats, length, d_head = x_BGRSH.shape
    return jnp.moveaxis(x_BGRSH, 3, 1).reshape(sequences, length, n_kv_heads * repeats, d_head)
