"""Multi-head causal attention: heads, rotary positions, the kernels, and the cache of keys and values in generation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike

from moec.runtime.attention_kernels import blockwise, reference
from moec.runtime.batch import Batch
from moec.runtime.cudnn_attention import cudnn
from moec.runtime.mesh import axis_size, is_sharded
from moec.runtime.weights import Weight, used

Kernel = Literal["reference", "blockwise", "cudnn", "splash"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class KeyValues:
    """The keys and values of the tokens so far of one layer, with room for more.

    Shapes: k, v [B, M, G, H] for room M; `positions_BM` and `segments_BM` as in Batch, segment 0 where nothing is yet;
    `filled` [] counts the entries that are taken, the same in every row.
    """

    k_BMGH: jax.Array
    v_BMGH: jax.Array
    positions_BM: jax.Array
    segments_BM: jax.Array
    filled: jax.Array

    @staticmethod
    def empty(sequences: int, room: int, n_kv_heads: int, d_head: int, dtype: DTypeLike) -> KeyValues:
        """A cache with room for `room` tokens in each of `sequences` rows."""
        zeros = jnp.zeros((sequences, room, n_kv_heads, d_head), dtype)
        nothing = jnp.zeros((sequences, room), jnp.int32)
        return KeyValues(zeros, zeros, nothing, nothing, jnp.int32(0))

    def extended(self, k_BSGH: jax.Array, v_BSGH: jax.Array, batch: Batch) -> KeyValues:
        """The cache with the keys and values of the tokens of `batch` behind those that it has."""

        def put(old: jax.Array, new: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), self.filled, axis=1)

        return dataclasses.replace(
            self,
            k_BMGH=put(self.k_BMGH, k_BSGH),
            v_BMGH=put(self.v_BMGH, v_BSGH),
            positions_BM=put(self.positions_BM, batch.positions_BS),
            segments_BM=put(self.segments_BM, batch.segments_BS),
            filled=self.filled + k_BSGH.shape[1],
        )


def split_heads(x_BSD: jax.Array, w_DNH: Weight, bias: Weight | None = None) -> jax.Array:
    """The projection of every token onto every head.

    Shapes: x [B, S, D], w [D, N, H], bias [N, H]; gives [B, S, N, H].
    """
    return _with_bias(_onto_heads(x_BSD, used(w_DNH, x_BSD.dtype)), bias)


def project_qkv(
    x_BSD: jax.Array,
    w_q: Weight,
    w_k: Weight,
    w_v: Weight,
    b_q: Weight | None = None,
    b_k: Weight | None = None,
    b_v: Weight | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries, keys and values: `split_heads` by each weight, as one matmul of each device.

    The gradient to `x` is one matmul, too, and one sum over the model axis, where three would be added up. Shapes:
    x [B, S, D], w_q [D, N, H], w_k and w_v [D, G, H], biases as weights without D; gives [B, S, N, H] and twice
    [B, S, G, H].
    """
    parts, (n_heads, n_kv_heads) = axis_size("model"), (w_q.shape[1], w_k.shape[1])
    # Over a model axis of size M each device's heads of all three beside each other: [D, M, (N + 2G) / M, H].
    by_device = [used(w, x_BSD.dtype).reshape(w.shape[0], parts, -1, w.shape[2]) for w in (w_q, w_k, w_v)]
    together = jnp.concatenate(by_device, axis=2).reshape(w_q.shape[0], -1, w_q.shape[2])
    y_BSMPH = _onto_heads(x_BSD, together).reshape(*x_BSD.shape[:2], parts, -1, w_q.shape[2])
    ends = n_heads // parts, (n_heads + n_kv_heads) // parts
    q_BSNH, k_BSGH, v_BSGH = (y.reshape(*x_BSD.shape[:2], -1, y.shape[-1]) for y in jnp.split(y_BSMPH, ends, axis=3))
    return _with_bias(q_BSNH, b_q), _with_bias(k_BSGH, b_k), _with_bias(v_BSGH, b_v)


def _onto_heads(x_BSD: jax.Array, w_DNH: jax.Array) -> jax.Array:
    if is_sharded():
        return jnp.einsum("bsd,dnh->bsnh", x_BSD, w_DNH)
    flat = x_BSD.reshape(-1, x_BSD.shape[-1]) @ w_DNH.reshape(w_DNH.shape[0], -1)
    return flat.reshape(*x_BSD.shape[:2], *w_DNH.shape[1:])


def _with_bias(y: jax.Array, bias: Weight | None) -> jax.Array:
    return y if bias is None else y + used(bias, y.dtype)


def merge_heads(x_BSNH: jax.Array, w_NHD: Weight, bias: Weight | None = None) -> jax.Array:
    """The projection of the heads' outputs back to the width of the model.

    Shapes: x [B, S, N, H], w [N, H, D], bias [D]; gives [B, S, D].
    """
    w = used(w_NHD, x_BSNH.dtype)
    if is_sharded():
        y_BSD = jnp.einsum("bsnh,nhd->bsd", x_BSNH, w)
    else:
        flat = x_BSNH.reshape(-1, w.shape[0] * w.shape[1]) @ w.reshape(-1, w.shape[2])
        y_BSD = flat.reshape(*x_BSNH.shape[:2], w.shape[2])
    return checkpoint_name(_with_bias(y_BSD, bias), "attention_out")


def rope(x_BSNH: jax.Array, positions_BS: jax.Array, *, theta: float) -> jax.Array:
    """`x` with dim i of the first half of each head rotated against dim i of the second, by position * theta^(-2i/H).

    Angles are in float32. Source: Su et al. 2021, arXiv 2104.09864, equation 34, with halves in place of neighbours as
    in GPT-NeoX and Llama checkpoints.
    """
    half = x_BSNH.shape[-1] // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions_BS[:, :, None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = x_BSNH[..., :half].astype(jnp.float32), x_BSNH[..., half:].astype(jnp.float32)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BSNH.dtype)


def attend(
    q_BSNH: jax.Array,
    k_BSGH: jax.Array,
    v_BSGH: jax.Array,
    batch: Batch,
    cache: KeyValues | None,
    *,
    kernel: Kernel,
    window: int | None = None,
    softcap: float | None = None,
    documents: int | None = None,
) -> tuple[jax.Array, KeyValues | None]:
    """What each token sees of its own segment: its past and itself, at most the last `window` tokens.

    Scores are q.k / sqrt(H); `softcap` caps them, `cap * tanh(score / cap)`. With a cache the tokens of `batch`
    continue those in it, and the cache with them is given back; the kernel is then always `reference`, because the
    queries are few. `documents` bounds those that kernel `cudnn` is told by their lengths. Query head n reads key-value
    head n // (N / G). Shapes: q [B, S, N, H], k and v [B, S, G, H]; gives
    [B, S, N, H].
    """
    if cache is not None:
        cache = cache.extended(k_BSGH, v_BSGH, batch)
        keys, values = cache.k_BMGH.astype(q_BSNH.dtype), cache.v_BMGH.astype(q_BSNH.dtype)
        seen_BSM = visible(batch, cache.positions_BM, cache.segments_BM, window)
        return reference(q_BSNH, keys, values, seen_BSM, softcap=softcap), cache
    if kernel == "reference":
        seen_BSS = visible(batch, batch.positions_BS, batch.segments_BS, window)
        mixed = reference(q_BSNH, k_BSGH, v_BSGH, seen_BSS, softcap=softcap)
    elif kernel == "blockwise":
        mixed = blockwise(q_BSNH, k_BSGH, v_BSGH, batch.segments_BS, window=window, softcap=softcap)
    elif kernel == "cudnn":
        mixed = cudnn(q_BSNH, k_BSGH, v_BSGH, batch.segments_BS, window=window, softcap=softcap, documents=documents)
    elif kernel == "splash":
        from moec.runtime.splash import splash

        mixed = splash(q_BSNH, k_BSGH, v_BSGH, batch.segments_BS, window=window, softcap=softcap)
    else:
        raise ValueError(f"no attention kernel is named {kernel!r}; there are reference, blockwise, cudnn and splash")
    return mixed, None


def visible(batch: Batch, positions_BK: jax.Array, segments_BK: jax.Array, window: int | None) -> jax.Array:
    """Which of the keys each token of `batch` sees: the same segment, not later, within the window."""
    distance = batch.positions_BS[:, :, None] - positions_BK[:, None, :]
    seen = (distance >= 0) & (batch.segments_BS[:, :, None] == segments_BK[:, None, :])
    return seen if window is None else seen & (distance < window)
