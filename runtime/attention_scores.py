"""What the kernels of attention have in common: which keys a query sees, its scores, heads before tokens, and the heads
of one device."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, is_sharded

MASKED = -1e30
"""The score of what is not seen; finite, so that a row that sees nothing gives a mean and not NaN."""


def seen(
    segments_BS: jax.Array, segments_BK: jax.Array, rows_S: jax.Array, keys_K: jax.Array, window: int | None
) -> jax.Array:
    """The own segment's past, at most `window` tokens of it: [B, S, K]; `rows_S` and `keys_K` count tokens."""
    distance_SK = rows_S[:, None] - keys_K
    past_SK = distance_SK >= 0 if window is None else (distance_SK >= 0) & (distance_SK < window)
    return (segments_BS[:, :, None] == segments_BK[:, None, :]) & past_SK


def masked_scores(q_BGRSH: jax.Array, k_BGKH: jax.Array, seen_BSK: jax.Array, softcap: float | None) -> jax.Array:
    """The scores [B, G, R, S, K] of queries against keys, in float32: their softmax needs its range."""
    scores = jnp.einsum("bgrsh,bgkh->bgrsk", q_BGRSH, k_BGKH, preferred_element_type=jnp.float32)
    scores = scores * (1.0 / math.sqrt(q_BGRSH.shape[-1]))
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    return jnp.where(seen_BSK[:, None, None], scores, MASKED)


def by_head(q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Heads before tokens, queries grouped by the key-value head that they read."""
    return grouped(q_BSNH, k_BKGH.shape[2]), jnp.moveaxis(k_BKGH, 1, 2), jnp.moveaxis(v_BKGH, 1, 2)


def grouped(x_BSNH: jax.Array, n_kv_heads: int) -> jax.Array:
    """[B, S, N, H] as [B, G, R, S, H]: each key-value head's R query heads."""
    sequences, length, n_heads, d_head = x_BSNH.shape
    return jnp.moveaxis(x_BSNH.reshape(sequences, length, n_kv_heads, n_heads // n_kv_heads, d_head), 1, 3)


def by_token(x_BGRSH: jax.Array) -> jax.Array:
    """[B, S, N, H] again."""
    sequences, n_kv_heads, repeats, length, d_head = x_BGRSH.shape
    return jnp.moveaxis(x_BGRSH, 3, 1).reshape(sequences, length, n_kv_heads * repeats, d_head)


def on_own_heads(
    attend: Callable[..., jax.Array], q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array, segments_BS: jax.Array
) -> jax.Array:
    """`attend(q, k, v, segments)` on each device for its own sequences and heads: XLA cannot spread some kernels."""
    if not is_sharded():
        return attend(q_BSNH, k_BSGH, v_BSGH, segments_BS)
    heads = PartitionSpec(BATCH_AXES, None, "model", None)
    specs = (heads, heads, heads, PartitionSpec(BATCH_AXES, None))
    return jax.shard_map(attend, in_specs=specs, out_specs=heads, check_vma=False)(q_BSNH, k_BSGH, v_BSGH, segments_BS)
