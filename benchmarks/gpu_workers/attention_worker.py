"""Attention by one kernel at the shapes of the models: forward, and forward with all gradients, each held to the
reference in float32 before it is timed.

Documents are `whole`, one in each sequence, or `packed`, several of random lengths and padding at the end. The kernel
`cudnn` is told them as programs tell it, `cudnn_of_more` by a program that may tell fewer, `cudnn_by_mask` by a mask
alone, and `cudnn_without_mask` not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
from answers import Answers, Row, about_jax, answers, asked, take_turn
from jax import numpy as jnp
from timing import UNTUNED, Case, tell_each, worst_error

from moec.runtime import attention_kernels
from moec.runtime.cudnn_attention import cudnn

DOCUMENTS_OF_SEQUENCE = 6
OPERATIONS = ("forward", "forward and gradients")
Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Arrays = tuple[jax.Array, ...]


def segments(wanted: Row, documents: str) -> np.ndarray:
    """The document of each token [B, S], numbered from 1; 0 is padding."""
    sequences, length = wanted["sequences"], wanted["length"]
    if documents == "whole":
        return np.ones((sequences, length), np.int32)
    rng = np.random.default_rng(0)
    rows = np.empty((sequences, length), np.int32)
    for row in rows:
        ends = np.sort(rng.choice(np.arange(1, length), DOCUMENTS_OF_SEQUENCE, replace=False))
        row[:] = np.searchsorted(ends, np.arange(length), side="right") + 1
        row[ends[-1] :] = 0
    return rows


def flops(wanted: Row, segments_BS: np.ndarray) -> float:
    """Of the forward pass: two products of d_head for each pair of tokens that see each other, and no others."""
    pairs = 0
    for row in segments_BS:
        sizes = np.unique(row, return_counts=True)[1].astype(float)
        pairs += np.sum(sizes * (sizes + 1) / 2)
    return float(4.0 * pairs * wanted["n_heads"] * wanted["d_head"])


def attention(kernel: str, segments_BS: jax.Array, documents: int | None) -> Attention:
    """The kernel by its name, on these documents, of which a sequence has at most `documents` as the program says."""
    if kernel == "cudnn_without_mask":
        return partial(jax.nn.dot_product_attention, is_causal=True, implementation="cudnn")
    by_name = {
        "cudnn": partial(cudnn, documents=documents),
        "cudnn_of_more": partial(cudnn, documents=1),
        "cudnn_by_mask": partial(cudnn, documents=None),
        "blockwise": attention_kernels.blockwise,
    }
    return lambda q, k, v: by_name[kernel](q, k, v, segments_BS, window=None, softcap=None)


@partial(jax.jit, compiler_options=UNTUNED)
def exact(q: jax.Array, k: jax.Array, v: jax.Array, segments_BS: jax.Array, gradient: jax.Array) -> Arrays:
    """The reference's output and gradients, whatever the dtype of its arguments in float32."""
    order = jnp.arange(segments_BS.shape[1])
    seen = (order[:, None] >= order) & (segments_BS[:, :, None] == segments_BS[:, None, :])
    return with_gradients(partial(attention_kernels.reference, visible_BSK=seen, softcap=None), gradient)(
        *(array.astype(jnp.float32) for array in (q, k, v))
    )


def with_gradients(attend: Attention, gradient: jax.Array) -> Callable[..., Arrays]:
    """The output and the gradients to q, k and v of one call."""

    def call(q: jax.Array, k: jax.Array, v: jax.Array) -> Arrays:
        with jax.default_matmul_precision("highest" if q.dtype == jnp.float32 else "default"):
            mixed, pull_back = jax.vjp(attend, q, k, v)
            return (mixed, *pull_back(gradient.astype(mixed.dtype)))

    return call


def both(attend: Attention, gradient: jax.Array) -> dict[str, Callable[..., Arrays]]:
    """The two operations, compiled."""
    forward, backward = OPERATIONS
    return {forward: jax.jit(lambda q, k, v: (attend(q, k, v),)), backward: jax.jit(with_gradients(attend, gradient))}


def references(segments_BS: jax.Array, arrays: Arrays, gradient: jax.Array) -> Callable[[int], Arrays]:
    """`exact` of a sequence by its number, made once: of one at a time, for it has all its scores in memory."""

    @cache
    def of_sequence(index: int) -> Arrays:
        one = slice(index, index + 1)
        return exact(*(array[one] for array in arrays), segments_BS[one], gradient[one])

    return of_sequence


def error(call: Callable[..., Arrays], arrays: Arrays, reference: Callable[[int], Arrays]) -> float:
    """The worst error of a head of a sequence, of the output or a gradient. Sequences are computed together."""
    ours = call(*arrays)
    errors = [
        worst_error(by_head(a[index : index + 1]), by_head(b))
        for index in range(len(arrays[0]))
        for a, b in zip(ours, reference(index), strict=False)
    ]
    return float(np.max(errors))


def by_head(x_BSNH: jax.Array) -> jax.Array:
    """All numbers of a head in one row [B N, S H]."""
    sequences, length, n_heads, d_head = x_BSNH.shape
    return jnp.moveaxis(x_BSNH, 2, 1).reshape(sequences * n_heads, length * d_head)


def measure(wanted: Row, told: Answers) -> None:
    """Tells a row for each kind of documents and operation; those that are wrong are not timed."""
    take_turn()
    for documents in wanted["documents"]:
        ids = segments(wanted, documents)
        keys = jax.random.split(jax.random.key(2), 4)
        heads = (wanted["n_heads"], wanted["n_kv_heads"], wanted["n_kv_heads"], wanted["n_heads"])
        *arrays, gradient = (
            jax.random.normal(key, (*ids.shape, count, wanted["d_head"]), wanted["dtype"])
            for key, count in zip(keys, heads, strict=True)
        )
        segments_BS = jnp.asarray(ids)
        reference = references(segments_BS, tuple(arrays), gradient)
        calls = both(attention(wanted["kernel"], segments_BS, wanted["most_documents"]), gradient)
        cases = {
            f"{documents}, {name}": Case(
                partial(call, *arrays),
                partial(error, call, tuple(arrays), reference),
                {"flops": flops(wanted, ids) * (1 if name == "forward" else 3), **about_jax()},
            )
            for name, call in calls.items()
        }
        tell_each(told, cases, wanted["dtype"], wanted["seconds"])


if __name__ == "__main__":
    measure(asked(), answers())
