"""The feed-forward network of each expert, over rows sorted by expert: tiles of one expert each, as many as there are
rows for.

What does not fill a tile goes in a half, a quarter or both of one, so the work follows the routing. The loop over tiles
has a length that is known at run time alone; its gradient is therefore written out here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from moec.runtime.buffers import zeros_after
from moec.runtime.expert_network import ExpertWeights, on_one_device
from moec.runtime.feed_forward import Activation, activate

LARGEST_TILE: Final = 256
"""Rows per tile where experts have as many. Measured on 2 CPU cores, docs/log.md 2026-11-24, 128 to 512 rows."""

SMALLEST_TILE: Final = 8

PIECES: Final = 4
"""A power of two: the smallest part that an expert's rows go in is a tile over this. Measured on 2 CPU cores,
docs/log.md 2026-11-28: eight gain 1 to 2 % and compile longer."""

SPARE_ROWS: Final = LARGEST_TILE // PIECES
"""Rows of no expert that `on_rows` wants at the end: an expert's last part reads and writes fewer beyond its own."""

Result = TypeVar("Result")

Kept = tuple[jax.Array, "jax.Array | None", jax.Array, jax.Array, ExpertWeights]
"""What the backward pass needs: rows, gates and ups before the activation, counts, weights."""


def on_rows(x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation) -> jax.Array:
    """Each expert's outputs for its own rows [R, D]: the first `counts_E[0]` rows are expert 0's, and so on.

    Rows behind the last expert's are undefined but finite; the last SPARE_ROWS must be such. Partial sums over the
    model axis.
    """
    weights = ExpertWeights(
        weights.w_gate, weights.w_up, weights.w_down, weights.b_gate, weights.b_up, on_one_device(weights.b_down)
    )
    x_RD = checkpoint_name(x_RD, "expert_buffer")
    return _on_rows(x_RD, counts_E, weights, activation, _tile_rows(x_RD.shape[0] - SPARE_ROWS, counts_E.shape[0]))


def _tile_rows(rows: int, n_experts: int) -> int:
    """A power of two near the mean number of rows of an expert."""
    mean = max(rows // n_experts, 1)
    return min(LARGEST_TILE, max(SMALLEST_TILE, 1 << (mean.bit_length() - 1)))


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _on_rows(
    x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation, tile: int
) -> jax.Array:
    return _forward(x_RD, counts_E, weights, activation, tile)[0]


def _forward(
    x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation, tile: int
) -> tuple[jax.Array, Kept]:
    hidden = jax.ShapeDtypeStruct((x_RD.shape[0], weights.w_up.shape[2]), x_RD.dtype)
    empty = zeros_after(x_RD, (x_RD, None if weights.w_gate is None else hidden, hidden))
    starts_E = _starts(counts_E)

    def expert(so_far: tuple[jax.Array, tuple]) -> tuple[jax.Array, tuple]:
        number, filled = so_far
        own_weights, start, count = jax.tree.map(lambda all_of: all_of[number], (weights, starts_E, counts_E))

        def compute(rows: int, offset: jax.Array, _: jax.Array, filled: tuple) -> tuple:
            at = start + offset
            outputs = _tile_forward(_tile(x_RD, at, rows), own_weights, activation)
            return jax.tree.map(lambda whole, part: _put(whole, part, at), filled, outputs)

        return number + 1, _in_tiles(count, tile, compute, filled)

    # No scan: remat would keep the products of every branch in it for every expert.
    _, (y_RD, gate, up) = jax.lax.while_loop(lambda so_far: so_far[0] < counts_E.shape[0], expert, (0, empty))
    return y_RD, (x_RD, gate, up, counts_E, weights)


def _backward(
    activation: Activation, tile: int, kept: Kept, gradient_RD: jax.Array
) -> tuple[jax.Array, None, ExpertWeights]:
    x_RD, gate, up, counts_E, weights = kept

    def expert(filled: tuple, of_one: tuple[jax.Array, ExpertWeights, jax.Array, jax.Array]) -> tuple[tuple, None]:
        number, own_weights, start, count = of_one

        def add(
            rows: int, offset: jax.Array, end: jax.Array, sums: tuple[jax.Array, ExpertWeights]
        ) -> tuple[jax.Array, ExpertWeights]:
            at = start + offset
            is_own = (offset + jnp.arange(rows) < end)[:, None]
            own = [
                None if whole is None else jnp.where(is_own, _tile(whole, at, rows), 0)
                for whole in (x_RD, gate, up, gradient_RD)
            ]
            to_x_rows, to_weights = _tile_backward(*own, own_weights, activation)
            return _put(sums[0], to_x_rows, at), jax.tree.map(jnp.add, sums[1], to_weights)

        zeros = jax.tree.map(lambda weight: jnp.zeros(weight.shape, jnp.float32), own_weights)
        to_x, to_own = _in_tiles(count, tile, add, (filled[0], zeros))
        to_weights = jax.tree.map(
            lambda all_of, one: jax.lax.dynamic_update_index_in_dim(all_of, one, number, 0), filled[1], to_own
        )
        return (to_x, to_weights), None

    sums = jax.tree.map(lambda weight: jax.ShapeDtypeStruct(weight.shape, jnp.float32), weights)
    empty = zeros_after(gradient_RD, (x_RD, sums))
    numbers = jnp.arange(counts_E.shape[0])
    (to_x_RD, to_weights), _ = jax.lax.scan(expert, empty, (numbers, weights, _starts(counts_E), counts_E))
    to_weights = jax.tree.map(lambda total, weight: total.astype(weight.dtype), to_weights, weights)
    return to_x_RD, None, to_weights


_on_rows.defvjp(_forward, _backward)


def _in_tiles(
    count: jax.Array,
    tile: int,
    compute: Callable[[int, jax.Array, jax.Array, Result], Result],
    result: Result,
) -> Result:
    """`result` after `compute(rows, offset, end, result)` for each part of one expert's `count` rows.

    Its own rows there go from `offset` to `end`, which may be fewer than `rows`. First what fills no tile, in half a
    tile, a quarter or both, then whole tiles. XLA updates in place what goes through a choice of two, of more it does
    not with jax 0.10.
    """
    step = tile // PIECES
    held = -(-count // step) * step
    n_tiles = held // tile
    first = jnp.maximum(count - n_tiles * tile, 0)
    offset, rows = jnp.zeros_like(first), tile // 2
    while rows >= step:
        is_wanted = held // rows % 2 == 1
        result = jax.lax.cond(is_wanted, partial(compute, rows, offset, first), lambda result: result, result)
        offset, rows = offset + jnp.where(is_wanted, rows, 0), rows // 2
    return jax.lax.fori_loop(
        0, n_tiles, lambda index, result: compute(tile, first + index * tile, count, result), result
    )


def _tile_forward(
    x: jax.Array, weights: ExpertWeights, activation: Activation
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    """Outputs, gates and ups of one tile, for the weights of one expert."""
    up = _affine(x, weights.w_up, weights.b_up)
    gate = None if weights.w_gate is None else _affine(x, weights.w_gate, weights.b_gate)
    return _affine(activate(activation, gate, up), weights.w_down, weights.b_down), gate, up


def _tile_backward(
    x: jax.Array,
    gate: jax.Array | None,
    up: jax.Array,
    gradient: jax.Array,
    weights: ExpertWeights,
    activation: Activation,
) -> tuple[jax.Array, ExpertWeights]:
    """Gradients of one tile to its rows and, in float32, to the weights of its expert."""
    hidden, pull_back = jax.vjp(partial(activate, activation), gate, up)
    to_gate, to_up = pull_back(gradient @ weights.w_down.T)
    to_x = to_up @ weights.w_up.T
    if to_gate is not None:
        to_x = to_x + to_gate @ weights.w_gate.T
    to_weights = ExpertWeights(
        w_gate=None if to_gate is None else _outer(x, to_gate),
        w_up=_outer(x, to_up),
        w_down=_outer(hidden, gradient),
        b_gate=None if weights.b_gate is None else _sum(to_gate),
        b_up=None if weights.b_up is None else _sum(to_up),
        b_down=None if weights.b_down is None else _sum(gradient),
    )
    return to_x, to_weights


def _affine(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
    return x @ w if bias is None else x @ w + bias


def _outer(x: jax.Array, gradient: jax.Array) -> jax.Array:
    return jnp.matmul(x.T, gradient, preferred_element_type=jnp.float32)


def _sum(gradient: jax.Array) -> jax.Array:
    return jnp.sum(gradient, axis=0, dtype=jnp.float32)


def _starts(counts_E: jax.Array) -> jax.Array:
    return jnp.cumsum(counts_E) - counts_E


def _tile(whole: jax.Array, at: jax.Array, tile: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(whole, at, tile)


def _put(whole: jax.Array, rows: jax.Array, at: jax.Array) -> jax.Array:
    """`whole` with `rows` at `at`. What a piece or a tile has beyond its own rows is written again by those behind."""
    return jax.lax.dynamic_update_slice_in_dim(whole, rows.astype(whole.dtype), at, 0)
