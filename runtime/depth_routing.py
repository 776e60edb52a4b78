"""Routing by depth: which tokens of a sequence go through a layer, while the others pass it by.

Source: Raposo et al. (Mixture-of-Depths), arXiv 2404.02258, sections 3.3 to 3.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.batch import Batch, DepthReport
from moec.runtime.mesh import BATCH_AXES, constrain, is_sharded
from moec.runtime.weights import Weight, used

ROWS = PartitionSpec(BATCH_AXES, None)
STREAM = PartitionSpec(BATCH_AXES, None, "model")
"""Sequences lie whole on a device: what is chosen of them never travels."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class DepthChoice:
    """The tokens that go through a layer, in the order of the sequence.

    Shapes: `rows_BC` int32, where in the sequence they stand, None where all of them go in and `taken_BS` says whose
    output counts; `weights_BC` float32; `batch` is theirs, with the positions and segments that they had. `scores_BS`
    float32, `taken_BS` and `real_BS` (False for padding) are of the whole sequence.
    """

    rows_BC: jax.Array | None
    weights_BC: jax.Array
    batch: Batch
    scores_BS: jax.Array
    taken_BS: jax.Array
    real_BS: jax.Array


def score_tokens(x_BSD: jax.Array, w_depth: Weight, batch: Batch) -> jax.Array:
    """The router's score of every token in float32, 0 for padding. Shapes: x [B, S, D], w [D]; gives [B, S].

    XLA sums a product with one vector where it reads `x`, and writes no tokens in float32: no need of `logits_of`.
    Source: arXiv 2404.02258, section 3.4 (r = w . x).
    """
    x_BSD = jnp.where((batch.segments_BS > 0)[..., None], x_BSD, 0).astype(jnp.float32)
    w_D = used(w_depth, jnp.float32)
    return constrain(jnp.einsum("bsd,d->bs", x_BSD, w_D, precision=jax.lax.Precision.HIGHEST), ROWS)


def choose_tokens(scores_BS: jax.Array, batch: Batch, *, capacity: int) -> DepthChoice:
    """The `capacity` tokens of each sequence with the highest scores; padding comes last, and nothing reads it.

    The best of a sequence depend on all of it. A batch that says `causal` takes each token whose score is above 0, the
    sigmoid above a half, whatever stands behind it: all go in, and those that are not taken are padding there.
    Source: arXiv 2404.02258, equation 1, and section 3.5 for what a causal batch does.
    """
    real_BS = batch.segments_BS > 0
    if batch.causal:
        taken_BS = (scores_BS > 0) & real_BS
        inside = dataclasses.replace(batch, segments_BS=jnp.where(taken_BS, batch.segments_BS, 0))
        return DepthChoice(None, jnp.where(taken_BS, scores_BS, 0.0), inside, scores_BS, taken_BS, real_BS)
    compared_BS = jnp.where(real_BS, jax.lax.stop_gradient(scores_BS), -jnp.inf)
    rows_BC = _locally(lambda compared: jnp.sort(jax.lax.top_k(compared, capacity)[1]), ROWS, compared_BS)
    rows_BC = rows_BC.astype(jnp.int32)
    nobody_BS = jnp.zeros_like(scores_BS)
    taken_BS = (_add_rows(nobody_BS, rows_BC, jnp.ones(rows_BC.shape, nobody_BS.dtype), ROWS) > 0) & real_BS
    inside = jax.tree.map(lambda array_BS: _rows(array_BS, rows_BC, ROWS), batch)
    return DepthChoice(rows_BC, _rows(scores_BS, rows_BC, ROWS), inside, scores_BS, taken_BS, real_BS)


def gather_tokens(x_BSD: jax.Array, choice: DepthChoice) -> jax.Array:
    """What the layer works on. Shapes: x [B, S, D]; gives [B, C, D]."""
    return x_BSD if choice.rows_BC is None else _rows(x_BSD, choice.rows_BC, STREAM)


def scatter_tokens(x_BSD: jax.Array, added_BCD: jax.Array, choice: DepthChoice) -> jax.Array:
    """The stream with what the layer added to the taken tokens, weighted with their scores: that trains the router.

    Shapes: x [B, S, D], added [B, C, D]; gives [B, S, D]. Source: arXiv 2404.02258, equation 1.
    """
    weighted_BCD = (choice.weights_BC[..., None] * added_BCD.astype(jnp.float32)).astype(x_BSD.dtype)
    if choice.rows_BC is None:
        return x_BSD + jnp.where(choice.taken_BS[..., None], weighted_BCD, 0)
    return _add_rows(x_BSD, choice.rows_BC, weighted_BCD, STREAM)


def report_depth(choice: DepthChoice) -> DepthReport:
    """How well the scores alone tell who is taken, over the tokens of the global batch.

    The loss is the binary cross-entropy of the scores' sigmoid against what was taken. Source: arXiv 2404.02258,
    section 3.5, the first of its two ways to sample.
    """
    real_BS = choice.real_BS.astype(jnp.float32)
    n_tokens = jnp.maximum(jnp.sum(real_BS), 1.0)
    wrong_BS = jax.nn.softplus(choice.scores_BS) - choice.taken_BS * choice.scores_BS
    return DepthReport(
        aux_loss=jnp.sum(wrong_BS * real_BS) / n_tokens,
        taken_in_decoding=jnp.sum((choice.scores_BS > 0) * real_BS) / n_tokens,
    )


def _rows(array: jax.Array, rows_BC: jax.Array, spec: PartitionSpec) -> jax.Array:
    """The given rows of every sequence."""

    def one(array_S: jax.Array, rows_C: jax.Array) -> jax.Array:
        return array_S.at[rows_C].get(mode="promise_in_bounds", unique_indices=True, indices_are_sorted=True)

    return _locally(jax.vmap(one), spec, array, rows_BC)


def _add_rows(array: jax.Array, rows_BC: jax.Array, added: jax.Array, spec: PartitionSpec) -> jax.Array:
    """`array` with `added` on top of the given rows of every sequence."""

    def one(array_S: jax.Array, rows_C: jax.Array, added_C: jax.Array) -> jax.Array:
        return array_S.at[rows_C].add(added_C, mode="promise_in_bounds", unique_indices=True, indices_are_sorted=True)

    return _locally(jax.vmap(one), spec, array, rows_BC, added)


def _locally(function: Callable[..., jax.Array], spec: PartitionSpec, *arrays: jax.Array) -> jax.Array:
    """`function` on each device's own sequences: XLA would gather them all for a top-k or a gather of rows."""
    if not is_sharded():
        return function(*arrays)
    specs = tuple(spec if array.ndim == len(spec) else ROWS for array in arrays)
    return jax.shard_map(function, in_specs=specs, out_specs=spec, check_vma=False)(*arrays)
