"""The kernels of attention. All see the same: the past of the own segment, at most `window` tokens of it."""

from __future__ import annotations

import math

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, axis_size, constrain

MASKED = -1e30
"""The score of what is not seen; finite, so that a row that sees nothing gives a mean and not NaN."""

BLOCK = 512
"""Queries per block of the blockwise kernel: a sequence up to this long is one block, whose scores are kept for the
backward pass; longer ones recompute the scores of each block."""


def reference(
    q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array, visible_BSK: jax.Array, *, softcap: float | None
) -> jax.Array:
    """Attention with all scores and the whole mask in memory."""
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
    """Attention over blocks of queries, each with only the keys that its window and the causal order leave."""
    q_BGRSH, k_BGKH, v_BGKH = _by_head(q_BSNH, k_BSGH, v_BSGH)
    length = q_BSNH.shape[1]

    def block(q: jax.Array, k: jax.Array, v: jax.Array, segments: jax.Array, start: int, first: int) -> jax.Array:
        rows = start + jnp.arange(q.shape[3])
        columns = first + jnp.arange(k.shape[2])
        distance = rows[:, None] - columns[None, :]
        seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
        own = segments[:, start - first :, None] == segments[:, None, :]
        return _block(q, k, v, own & seen, softcap)

    outputs = []
    run = block if length <= BLOCK else jax.checkpoint(block, static_argnums=(4, 5))
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        first = 0 if window is None else max(0, start - window + 1)
        keys = slice(first, stop)
        outputs.append(
            run(
                q_BGRSH[:, :, :, start:stop], k_BGKH[:, :, keys], v_BGKH[:, :, keys], segments_BS[:, keys], start, first
            )
        )
    return _by_token(outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=3))


def cudnn(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    """cuDNN's fused attention. Segments are given to it as a mask [B, 1, S, S].

    Errors: ValueError for another dtype than bfloat16 or float16, and with `softcap`; RuntimeError where JAX finds no cuDNN.
    """
    if q_BSNH.dtype not in (jnp.bfloat16, jnp.float16):
        raise ValueError(
            f"kernel cudnn needs bfloat16 or float16, not {q_BSNH.dtype}; kernel blockwise takes any dtype"
        )
    if softcap is not None:
        raise ValueError("kernel cudnn cannot cap scores; kernel blockwise can")
    own = segments_BS[:, None, :, None] == segments_BS[:, None, None, :]
    local = None if window is None else (window - 1, 0)
    try:
        return jax.nn.dot_product_attention(
            q_BSNH, k_BSGH, v_BSGH, mask=own, is_causal=True, local_window_size=local, implementation="cudnn"
        )
    except RuntimeError as error:
        raise RuntimeError(
            "kernel cudnn needs an NVIDIA GPU, or JAX's CUDA plugin to compile for one; kernel blockwise runs anywhere"
        ) from error


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
    """Heads before tokens, queries grouped by the key-value head that they read; keys whole over the seq axis."""
    sequences, length, n_heads, d_head = q_BSNH.shape
    n_kv_heads = k_BKGH.shape[2]
    grouped = q_BSNH.reshape(sequences, length, n_kv_heads, n_heads // n_kv_heads, d_head)
    return (
        jnp.moveaxis(grouped, 1, 3),
        _whole_sequence(jnp.moveaxis(k_BKGH, 1, 2)),
        _whole_sequence(jnp.moveaxis(v_BKGH, 1, 2)),
    )


def _whole_sequence(x_BGKH: jax.Array) -> jax.Array:
    if axis_size("seq") == 1:
        return x_BGKH
    return constrain(x_BGKH, PartitionSpec(BATCH_AXES, "model", None, None))


def _by_token(x_BGRSH: jax.Array) -> jax.Array:
    sequences, n_kv_heads, repeats, length, d_head = x_BGRSH.shape
    return jnp.moveaxis(x_BGRSH, 3, 1).reshape(sequences, length, n_kv_heads * repeats, d_head)
