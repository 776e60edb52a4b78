"""Attention in one loop over pairs of a block of queries and a block of keys, with its gradient written out.

Pairs with nothing to see are left out, and the scores of one pair are in memory at a time. XLA compiles the loop's body
once, however long the sequence is; a computation of its own for each band of queries takes it seconds.

Source: Dao et al. (FlashAttention), arXiv 2205.14135, algorithms 1 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax import numpy as jnp

from moec.runtime.attention_scores import MASKED, by_head, by_token, grouped, masked_scores, seen
from moec.runtime.buffers import zeros_after

BLOCKS = 8
"""Blocks of a sequence, where they are neither too small nor too large for it."""

SMALLEST_BLOCK = 128

LARGEST_BLOCK = 512
"""Tokens of a block. All three were measured on 2 CPU cores, docs/log.md 2026-11-28."""

Tree = TypeVar("Tree")


class Tokens(NamedTuple):
    """The segments of queries and of keys, and the place of the first query among the keys."""

    segments_BS: jax.Array
    segments_BK: jax.Array
    first_row: jax.Array


class Blocks(NamedTuple):
    """Queries, keys, values and segments, cut into blocks: [blocks, ..., tokens of a block, H or 1]."""

    q: jax.Array
    k: jax.Array
    v: jax.Array
    segments_of_q: jax.Array
    segments_of_k: jax.Array
    first_row: jax.Array


class Sums(NamedTuple):
    """Of each query's scores so far, in float32: the largest, and what their exponentials relative to it add up to,
    alone and times the values."""

    largest: jax.Array
    total: jax.Array
    mixed: jax.Array


Kept = tuple[jax.Array, jax.Array, jax.Array, Tokens, jax.Array, jax.Array, jax.Array]
"""What the backward pass needs: queries, keys, values, tokens, pairs, outputs, logsumexp of each query's scores."""


def in_blocks(
    q_BSNH: jax.Array,
    k_BKGH: jax.Array,
    v_BKGH: jax.Array,
    segments_BS: jax.Array,
    segments_BK: jax.Array,
    first_row: jax.Array | None,
    *,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    """Attention of consecutive queries. The first stands at the key `first_row`; None: queries and keys are of the
    same tokens, and only pairs of blocks that the causal order and the window leave are computed."""
    lengths = q_BSNH.shape[1], k_BKGH.shape[1]
    if first_row is None:
        tokens, pairs = Tokens(segments_BS, segments_BK, jnp.int32(0)), list(visible_pairs(lengths[0], window))
    else:
        tokens, pairs = Tokens(segments_BS, segments_BK, first_row), list(np.ndindex(*map(n_blocks, lengths)))
    return _attend(q_BSNH, k_BKGH, v_BKGH, tokens, jnp.asarray(pairs, jnp.int32), window, softcap)


def block_length(length: int) -> int:
    """Tokens of a block of a sequence of `length`; what blocks are longer than the sequence is filled up."""
    blocks = max(min(BLOCKS, length // SMALLEST_BLOCK), -(-length // LARGEST_BLOCK), 1)
    return -(-length // blocks)


def n_blocks(length: int) -> int:
    """Blocks of a sequence of `length`."""
    return -(-length // block_length(length))


def visible_pairs(length: int, window: int | None) -> Iterator[tuple[int, int]]:
    """Numbers of a block of queries and of a block of keys of which some query sees some key."""
    block = block_length(length)
    for row in range(n_blocks(length)):
        first = 0 if window is None else max(0, row * block - window + 1) // block
        yield from ((row, key) for key in range(first, row + 1))


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _attend(
    q_BSNH: jax.Array,
    k_BKGH: jax.Array,
    v_BKGH: jax.Array,
    tokens: Tokens,
    pairs_P2: jax.Array,
    window: int | None,
    softcap: float | None,
) -> jax.Array:
    return _forward(q_BSNH, k_BKGH, v_BKGH, tokens, pairs_P2, window, softcap)[0]


def _forward(
    q_BSNH: jax.Array,
    k_BKGH: jax.Array,
    v_BKGH: jax.Array,
    tokens: Tokens,
    pairs_P2: jax.Array,
    window: int | None,
    softcap: float | None,
) -> tuple[jax.Array, Kept]:
    blocks = _cut(q_BSNH, k_BKGH, v_BKGH, tokens)

    def add(sums: Sums, pair: jax.Array) -> tuple[Sums, None]:
        row, key = pair
        old = jax.tree.map(lambda x: x[row], sums)
        scores = masked_scores(blocks.q[row], blocks.k[key], _seen(blocks, row, key, window), softcap)
        largest = jnp.maximum(old.largest, jnp.max(scores, axis=-1, keepdims=True))
        exponentials, rescale = jnp.exp(scores - largest), jnp.exp(old.largest - largest)
        total = rescale * old.total + jnp.sum(exponentials, axis=-1, keepdims=True)
        mixed = rescale * old.mixed + _product("bgrsk,bgkh->bgrsh", exponentials, blocks.v[key])
        return _put(sums, Sums(largest, total, mixed), row), None

    one_each = jax.ShapeDtypeStruct((*blocks.q.shape[:-1], 1), jnp.float32)
    mixed = jax.ShapeDtypeStruct(blocks.q.shape, jnp.float32)
    empty = zeros_after(q_BSNH, Sums(one_each, one_each, mixed))
    sums, _ = jax.lax.scan(add, empty._replace(largest=empty.largest + MASKED), pairs_P2)
    mixed_BSNH = by_token(_joined(sums.mixed / sums.total, q_BSNH.shape[1])).astype(q_BSNH.dtype)
    return mixed_BSNH, (q_BSNH, k_BKGH, v_BKGH, tokens, pairs_P2, mixed_BSNH, sums.largest + jnp.log(sums.total))


def _backward(
    window: int | None, softcap: float | None, kept: Kept, gradient_BSNH: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None, None]:
    q_BSNH, k_BKGH, v_BKGH, tokens, pairs_P2, mixed_BSNH, logsumexp = kept
    blocks, block = _cut(q_BSNH, k_BKGH, v_BKGH, tokens), block_length(q_BSNH.shape[1])
    n_kv_heads = k_BKGH.shape[2]
    gradient = _stacked(grouped(gradient_BSNH, n_kv_heads), block)
    # A query's weights sum to 1, so the mean of their gradient, weighted, is that of its output times the output.
    mean_BSN1 = jnp.sum(gradient_BSNH.astype(jnp.float32) * mixed_BSNH, axis=-1, keepdims=True)
    mean = _stacked(grouped(mean_BSN1, n_kv_heads), block)

    def add(sums: tuple[jax.Array, ...], pair: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        row, key = pair

        def weigh(q: jax.Array, k: jax.Array) -> jax.Array:
            return jnp.exp(masked_scores(q, k, _seen(blocks, row, key, window), softcap) - logsumexp[row])

        weights, pull_back = jax.vjp(weigh, blocks.q[row], blocks.k[key])
        to_weights = _product("bgrsh,bgkh->bgrsk", gradient[row], blocks.v[key])
        to_q, to_k = pull_back(to_weights - mean[row])
        to_v = _product("bgrsk,bgrsh->bgkh", weights, gradient[row])
        parts = ((to_q, row), (to_k, key), (to_v, key))
        return tuple(_put(x, x[at] + part, at) for x, (part, at) in zip(sums, parts, strict=True)), None

    like = tuple(jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in (blocks.q, blocks.k, blocks.v))
    (to_q, to_k, to_v), _ = jax.lax.scan(add, zeros_after(gradient, like), pairs_P2)
    to_q = by_token(_joined(to_q, q_BSNH.shape[1])).astype(q_BSNH.dtype)
    to_k, to_v = (jnp.moveaxis(_joined(x, k_BKGH.shape[1]), 2, 1).astype(k_BKGH.dtype) for x in (to_k, to_v))
    return to_q, to_k, to_v, None, None


_attend.defvjp(_forward, _backward)


def _cut(q_BSNH: jax.Array, k_BKGH: jax.Array, v_BKGH: jax.Array, tokens: Tokens) -> Blocks:
    rows, keys = block_length(q_BSNH.shape[1]), block_length(k_BKGH.shape[1])
    q_BGRSH, k_BGKH, v_BGKH = by_head(q_BSNH, k_BKGH, v_BKGH)
    segments = _stacked(tokens.segments_BS[..., None], rows), _stacked(tokens.segments_BK[..., None], keys)
    return Blocks(_stacked(q_BGRSH, rows), _stacked(k_BGKH, keys), _stacked(v_BGKH, keys), *segments, tokens.first_row)


def _seen(blocks: Blocks, row: jax.Array, key: jax.Array, window: int | None) -> jax.Array:
    """What the queries of a block see of the keys of another. Keys that fill up the last block are in the future."""
    segments_BS, segments_BK = blocks.segments_of_q[row][..., 0], blocks.segments_of_k[key][..., 0]
    n_rows, n_keys = segments_BS.shape[1], segments_BK.shape[1]
    rows_S = blocks.first_row + row * n_rows + jnp.arange(n_rows)
    return seen(segments_BS, segments_BK, rows_S, key * n_keys + jnp.arange(n_keys), window)


def _product(dims: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """A product of arrays of the dtype of `y`, added up in float32."""
    return jnp.einsum(dims, x.astype(y.dtype), y, preferred_element_type=jnp.float32)


def _stacked(x: jax.Array, block: int) -> jax.Array:
    """[..., S, H] as [blocks, ..., block, H], filled up with zeros."""
    *outer, length, last = x.shape
    blocks = -(-length // block)
    filled = jnp.pad(x, [(0, 0)] * len(outer) + [(0, blocks * block - length), (0, 0)])
    return jnp.moveaxis(filled.reshape(*outer, blocks, block, last), -3, 0)


def _joined(x: jax.Array, length: int) -> jax.Array:
    """[blocks, ..., block, H] as [..., S, H] again."""
    x = jnp.moveaxis(x, 0, -3)
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])[..., :length, :]


def _put(whole: Tree, part: Tree, number: jax.Array) -> Tree:
    return jax.tree.map(lambda x, one: jax.lax.dynamic_update_index_in_dim(x, one, number, 0), whole, part)
