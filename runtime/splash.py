"""Attention on TPU by the splash kernels that ship with JAX: blocks that a mask leaves empty are never read.

Source: jax.experimental.pallas.ops.tpu.splash_attention.
"""

from __future__ import annotations

import functools
import math

import jax
from jax import numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

from moec.runtime.attention_scores import on_own_heads
from moec.runtime.mesh import axis_size, platform

LANES = 128
"""Sequence lengths must be a multiple of it."""

BLOCKS = (512, 384, 256, 128)
"""Tokens of a block of queries and of keys: the largest that divides the sequence. Not measured on a TPU."""


def splash(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
    interpret: bool = False,
) -> jax.Array:
    """Attention on a TPU; `interpret` lets any device take the kernel's steps, slowly.

    Errors: ValueError where the sequence is no multiple of 128 tokens, or lies on the seq axis, and on other chips.
    """
    if not interpret and platform() not in ("", "tpu"):
        raise ValueError(
            f"kernel splash needs a TPU, and the mesh is of {platform()}: compile the spec with a mesh of such "
            "hardware, or write kernel = blockwise, which runs anywhere"
        )
    length = q_BSNH.shape[1]
    if length % LANES or axis_size("seq") > 1:
        raise ValueError(
            f"kernel splash needs whole sequences of a multiple of {LANES} tokens, not {length} over a seq axis of "
            f"{axis_size('seq')}; kernel blockwise takes any"
        )
    attend = functools.partial(_attend, window=window, softcap=softcap, interpret=interpret)
    return on_own_heads(attend, q_BSNH, k_BSGH, v_BSGH, segments_BS)


def _attend(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
    interpret: bool,
) -> jax.Array:
    """The sequences and heads of one device."""
    length, n_heads, d_head = q_BSNH.shape[1:]
    kernel = _kernel(length, n_heads, window, softcap, interpret)

    def one(q_SNH: jax.Array, k_SGH: jax.Array, v_SGH: jax.Array, segments_S: jax.Array) -> jax.Array:
        q, k, v = (jnp.swapaxes(x, 0, 1) for x in (q_SNH, k_SGH, v_SGH))
        return jnp.swapaxes(kernel(q, k, v, kernels.SegmentIds(segments_S, segments_S)), 0, 1)

    scaled = q_BSNH * jnp.asarray(1.0 / math.sqrt(d_head), q_BSNH.dtype)
    return jax.vmap(one)(scaled, k_BSGH, v_BSGH, segments_BS)


def _kernel(
    length: int, n_heads: int, window: int | None, softcap: float | None, interpret: bool
) -> kernels.SplashAttentionKernel:
    """The kernel for sequences of `length`, with the same mask for every head."""
    block = next(size for size in BLOCKS if length % size == 0)
    sizes = kernels.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        block_q_dq=block,
        block_kv_dq=block,
    )
    square = (length, length)
    mask = masks.CausalMask(square) if window is None else masks.LocalMask(square, (window - 1, 0), 0)
    return kernels.make_splash_mha(
        masks.MultiHeadMask([mask] * n_heads),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        attn_logits_soft_cap=softcap,
        interpret=interpret,
    )
