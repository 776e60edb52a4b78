"""Tiles against one matmul after another, at every number of rows that fills pieces and tiles differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.expert_network import ExpertWeights
from moec.runtime.feed_forward import activate
from moec.runtime.tiles import SPARE_ROWS, on_rows

pytestmark = pytest.mark.usefixtures("quick_compilation")

WIDTH, D_FF = 6, 10
COUNTS = (0, 1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 0, 31, 23)
"""Around 8 and 16, the tile that they ask for and its double, and around their quarters."""

ROWS = sum(COUNTS)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape, scale=0.5), jnp.float32)


def weights() -> ExpertWeights:
    shapes = ((WIDTH, D_FF), (WIDTH, D_FF), (D_FF, WIDTH), (D_FF,), (D_FF,), (WIDTH,))
    return ExpertWeights(*(normal(seed, len(COUNTS), *shape) for seed, shape in enumerate(shapes)))


def rows() -> jax.Array:
    return normal(9, ROWS + SPARE_ROWS, WIDTH)


def outputs_and_gradients(way: Callable[..., jax.Array]) -> Callable[..., Any]:
    def loss(x: jax.Array, weights: ExpertWeights) -> tuple[jax.Array, jax.Array]:
        y = way(x, weights)
        return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@outputs_and_gradients
def by_tiles(x: jax.Array, weights: ExpertWeights) -> jax.Array:
    return on_rows(x, jnp.asarray(COUNTS, jnp.int32), weights, "swiglu")[:ROWS]


@outputs_and_gradients
def one_by_one(x: jax.Array, weights: ExpertWeights) -> jax.Array:
    outputs, start = [], 0
    for expert, count in enumerate(COUNTS):
        own = jax.tree.map(lambda weight, expert=expert: weight[expert], weights)
        own_rows, start = x[start : start + count], start + count
        hidden = activate("swiglu", own_rows @ own.w_gate + own.b_gate, own_rows @ own.w_up + own.b_up)
        outputs.append(hidden @ own.w_down + own.b_down)
    return jnp.concatenate(outputs)


def test_values_and_gradients_are_those_of_one_matmul_after_another() -> None:
    jax.tree.map(
        lambda ours, plain: np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5),
        by_tiles(rows(), weights()),
        one_by_one(rows(), weights()),
    )


@pytest.mark.parametrize("expert", [number for number, count in enumerate(COUNTS) if count])
def test_rows_that_are_not_numbers_stay_with_their_expert(expert: int) -> None:
    start = sum(COUNTS[:expert])
    is_own = (jnp.arange(ROWS + SPARE_ROWS) >= start) & (jnp.arange(ROWS + SPARE_ROWS) < start + COUNTS[expert])
    (_, y), (to_x, to_weights) = by_tiles(jnp.where(is_own[:, None], jnp.nan, rows()), weights())
    (_, clean_y), (clean_to_x, clean_to_weights) = by_tiles(rows(), weights())
    np.testing.assert_array_equal(y[~is_own[:ROWS]], clean_y[~is_own[:ROWS]])
    np.testing.assert_array_equal(to_x[~is_own], clean_to_x[~is_own])
    others = np.arange(len(COUNTS)) != expert
    jax.tree.map(
        lambda ours, clean: np.testing.assert_array_equal(ours[others], clean[others]), to_weights, clean_to_weights
    )


def test_rows_of_no_expert_poison_nothing_and_get_no_gradient() -> None:
    spare = (jnp.arange(ROWS + SPARE_ROWS) >= ROWS)[:, None]
    (_, y), gradients = by_tiles(jnp.where(spare, jnp.nan, rows()), weights())
    (_, clean_y), clean = by_tiles(rows(), weights())
    np.testing.assert_array_equal(y, clean_y)
    jax.tree.map(np.testing.assert_array_equal, gradients[1], clean[1])
    np.testing.assert_array_equal(gradients[0][:ROWS], clean[0][:ROWS])
    np.testing.assert_array_equal(clean[0][ROWS:], 0)
