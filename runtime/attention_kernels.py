"""The kernels of attention. All see the same: the past of the own segment, at most `window` tokens of it."""

from __future__ import annotations

from functools import partial

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.attention_blocks import in_blocks
from moec.runtime.attention_scores import by_head, by_token, masked_scores, seen
from moec.runtime.mesh import BATCH_AXES, axis_size, constrain

BAND = 64
"""Queries of a band of a short sequence. Measured on 2 CPU cores, docs/log.md 2026-11-24, 64 to 1024."""

KEPT_LENGTH = 512
"""Up to this sequence length scores are kept for the backward pass, beyond it they are made again.

Measured on 2 CPU cores, docs/log.md 2026-11-28."""


def reference(
    q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array, visible_BSK: jax.Array, *, softcap: float | None
) -> jax.Array:
    """Attention with all scores and the whole mask in memory."""
    if axis_size("seq") > 1:
        k_BKGH, v_BKGH = (constrain(x, PartitionSpec(BATCH_AXES, None, "model", None)) for x in (k_BKGH, v_BKGH))
    return by_token(_weighted(*by_head(q_BSNH, k_BKGH, v_BKGH), visible_BSK, softcap))


def blockwise(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    """Attention that leaves out keys which the window and the causal order hide: by bands of queries where the sequence
    is short, beyond that by pairs of blocks.

    Where positions lie on the seq axis, each device computes its own queries against all keys.
    """
    attend = partial(in_blocks, window=window, softcap=softcap)
    if axis_size("seq") == 1:
        if q_BSNH.shape[1] <= KEPT_LENGTH:
            return by_token(_bands(*by_head(q_BSNH, k_BSGH, v_BSGH), segments_BS, window, softcap))
        return attend(q_BSNH, k_BSGH, v_BSGH, segments_BS, segments_BS, None)

    def local(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array) -> jax.Array:
        k, v, every = (jax.lax.all_gather(x, "seq", axis=1, tiled=True) for x in (k, v, segments))
        return attend(q, k, v, segments, every, jax.lax.axis_index("seq") * q.shape[1])

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
    length, outputs = q_BGRSH.shape[3], []
    for start in range(0, length, BAND):
        stop = min(start + BAND, length)
        first = 0 if window is None else max(0, start - window + 1)
        rows_S, keys_K = jnp.arange(start, stop), jnp.arange(first, stop)
        seen_BSK = seen(segments_BS[:, start:stop], segments_BS[:, first:stop], rows_S, keys_K, window)
        heads = q_BGRSH[:, :, :, start:stop], k_BGSH[:, :, first:stop], v_BGSH[:, :, first:stop]
        outputs.append(_weighted(*heads, seen_BSK, softcap))
    return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=3)


def _weighted(
    q_BGRSH: jax.Array, k_BGKH: jax.Array, v_BGKH: jax.Array, seen_BSK: jax.Array, softcap: float | None
) -> jax.Array:
    """Softmax in float32 of the scores of some queries against some keys, times the values."""
    weights = jax.nn.softmax(masked_scores(q_BGRSH, k_BGKH, seen_BSK, softcap), axis=-1)
    return jnp.einsum("bgrsk,bgkh->bgrsh", weights.astype(v_BGKH.dtype), v_BGKH)
