"""Attention on NVIDIA GPUs by cuDNN's fused kernels, which know documents by their lengths or by a mask.

By lengths, what other documents hide is never computed: on one H100 whole sequences of 4,096 tokens take 0.55 of the
time with a mask and seven documents in each 0.25 (docs/log.md, 2026-11-28). But cuDNN's workspace grows with the
documents that a sequence may have, so a program bounds them, and a batch with more goes by a mask. Where every sequence
of a batch is one document nothing need be told, which is the fastest.
"""

from __future__ import annotations

import math
from functools import partial

import jax
from jax import numpy as jnp

from moec.runtime.attention_scores import on_own_heads


def cudnn(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    segments_BS: jax.Array,
    *,
    window: int | None,
    softcap: float | None,
    documents: int | None = None,
) -> jax.Array:
    """cuDNN's fused attention. Where `documents` is given, sequences of at most so many (padding counts as one) are
    told by lengths, and those of one by nothing; the tokens of one must stand together. All others are told by a mask
    [B, 1, S, S].

    Lengths need a Hopper GPU or newer, and know no `window`.
    Errors: ValueError for another dtype than bfloat16 or float16, and with `softcap`; RuntimeError where JAX
    finds no cuDNN.
    """
    if q_BSNH.dtype not in (jnp.bfloat16, jnp.float16):
        raise ValueError(
            f"kernel cudnn needs bfloat16 or float16, not {q_BSNH.dtype}; kernel blockwise takes any dtype"
        )
    if softcap is not None:
        raise ValueError("kernel cudnn cannot cap scores; kernel blockwise can")
    try:
        if documents is None or window is not None:
            return by_mask(q_BSNH, k_BSGH, v_BSGH, segments_BS, window=window)
        return on_own_heads(partial(_by_number, documents=documents), q_BSNH, k_BSGH, v_BSGH, segments_BS)
    except RuntimeError as error:
        raise RuntimeError(
            "kernel cudnn needs an NVIDIA GPU, or JAX's CUDA plugin to compile for one; kernel blockwise runs anywhere"
        ) from error


def by_mask(
    q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array, segments_BS: jax.Array, *, window: int | None
) -> jax.Array:
    """Any documents, at the cost of a mask and of the scores that it hides."""
    own = segments_BS[:, None, :, None] == segments_BS[:, None, None, :]
    local = None if window is None else (window - 1, 0)
    return jax.nn.dot_product_attention(
        q_BSNH, k_BSGH, v_BSGH, mask=own, is_causal=True, local_window_size=local, implementation="cudnn"
    )


@jax.custom_vjp
def by_mask_again(q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array, segments_BS: jax.Array) -> jax.Array:
    """`by_mask`, whose backward pass makes the forward pass again, so that no mask is kept for it."""
    return by_mask(q_BSNH, k_BSGH, v_BSGH, segments_BS, window=None)


def _forward(*arrays: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """What is mixed is kept and not used: the other ways keep it, and what a choice between them gives twice in all of
    them XLA gives once. Else it copies it."""
    mixed = by_mask_again(*arrays)
    return mixed, (*arrays, mixed)


def _backward(kept: tuple[jax.Array, ...], slope_BSNH: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    *projected, segments_BS, _ = kept
    _, pull_back = jax.vjp(lambda q, k, v: by_mask(q, k, v, segments_BS, window=None), *projected)
    to_q, to_k, to_v = pull_back(slope_BSNH)
    return to_q, to_k, to_v, None


by_mask_again.defvjp(_forward, _backward)


def whole(q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array) -> jax.Array:
    """Sequences of one document each."""
    return jax.nn.dot_product_attention(q_BSNH, k_BSGH, v_BSGH, is_causal=True, implementation="cudnn")


def by_lengths(
    q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array, lengths_BM: jax.Array, starts_BM1: jax.Array
) -> jax.Array:
    """Documents as `lengths_of` tells them. jax.nn has no such argument, so cuDNN is called where jax.nn calls it."""
    from jax._src.cudnn.fused_attention_stablehlo import MaskType, dot_product_attention

    mixed: jax.Array = dot_product_attention(
        q_BSNH,
        k_BSGH,
        v_BSGH,
        q_seqlen=lengths_BM,
        kv_seqlen=lengths_BM,
        q_offsets=starts_BM1,
        kv_offsets=starts_BM1,
        scale=1.0 / math.sqrt(q_BSNH.shape[-1]),
        mask_type=MaskType.PADDING_CAUSAL,
    )
    return mixed


def lengths_of(segments_BS: jax.Array, documents: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The lengths [B, M] of the documents of every sequence, where they start [B, M + 1], both -1 where there is no
    such document, and how many there are [B], which may be more than M = `documents`.

    The last start is always -1: JAX moves the starts of all sequences together, so that the end of one would be taken
    for the start of the next's first document. Source: test_sdpa_packed_layout in JAX's
    tests/fused_attention_stablehlo_test.py.
    """
    begins_BS = jnp.pad(segments_BS[:, 1:] != segments_BS[:, :-1], ((0, 0), (1, 0)))
    document_BS = jnp.cumsum(begins_BS, axis=1, dtype=jnp.int32)
    count_B = document_BS[:, -1] + 1
    is_there_BM = jnp.arange(documents) < count_B[:, None]
    lengths_BM = jnp.sum(document_BS[:, :, None] == jnp.arange(documents), axis=1, dtype=jnp.int32)
    starts_BM = jnp.cumsum(lengths_BM, axis=1, dtype=jnp.int32) - lengths_BM
    starts_BM1 = jnp.pad(jnp.where(is_there_BM, starts_BM, -1), ((0, 0), (0, 1)), constant_values=-1)
    return jnp.where(is_there_BM, lengths_BM, -1), starts_BM1, count_B


def _by_number(
    q_BSNH: jax.Array, k_BSGH: jax.Array, v_BSGH: jax.Array, segments_BS: jax.Array, *, documents: int
) -> jax.Array:
    """The sequences and heads of one device, told as the fullest sequence has to be."""
    lengths_BM, starts_BM1, count_B = lengths_of(segments_BS, documents)
    most = jnp.max(count_B)
    return jax.lax.switch(
        (most > 1).astype(jnp.int32) + (most > max(1, documents)),
        (
            whole,
            lambda q, k, v: by_lengths(q, k, v, lengths_BM, starts_BM1),
            lambda q, k, v: by_mask_again(q, k, v, segments_BS),
        ),
        q_BSNH,
        k_BSGH,
        v_BSGH,
    )
