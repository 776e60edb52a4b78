"""The TPU's grouped matmul against tiles and the reference, step by step on a CPU; memory that nobody wrote is NaN."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental.pallas import tpu

from moec.runtime.expert_network import ExpertWeights
from moec.runtime.experts import apply_experts, route
from moec.runtime.sorted_rows import LARGEST_BLOCKS, by_megablox
from moec.runtime.tiles import SPARE_ROWS, on_rows

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROWS, WIDTH, D_FF, N_EXPERTS = LARGEST_BLOCKS[0] + 88, 24, 144, 4


def on_tpu(function: Callable[..., Any], *arguments: Any) -> Any:
    with tpu.force_tpu_interpret_mode(tpu.InterpretParams(uninitialized_memory="nan")):
        return jax.block_until_ready(function(*arguments))


def weights() -> ExpertWeights:
    rng = np.random.default_rng(3)
    shapes = ((WIDTH, D_FF), (WIDTH, D_FF), (D_FF, WIDTH), (D_FF,), (D_FF,), (WIDTH,))
    return ExpertWeights(*(jnp.asarray(0.3 * rng.normal(size=(N_EXPERTS, *s)), jnp.float32) for s in shapes))


def rows() -> jax.Array:
    return jnp.asarray(np.random.default_rng(4).normal(size=(ROWS, WIDTH)), jnp.float32)


def outputs_and_gradients(way: Callable[..., jax.Array]) -> Callable[..., Any]:
    def loss(x, weights, counts):
        y = way(x, counts, weights, "swiglu")
        return jnp.sum(jnp.where((jnp.arange(ROWS) < jnp.sum(counts))[:, None], jnp.sin(y), 0)), y

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def by_tiles(x: jax.Array, *others: Any) -> jax.Array:
    return on_rows(jnp.pad(x, ((0, SPARE_ROWS), (0, 0))), *others)[:ROWS]


@pytest.fixture(scope="module")
def ways() -> tuple[Callable[..., Any], Callable[..., Any]]:
    return outputs_and_gradients(by_megablox), outputs_and_gradients(by_tiles)


def close(ours: Any, plain: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, plain)


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param((150, 150, 150, 150), id="all alike"),
        pytest.param((0, 517, 3, 80), id="empty, more than a block, tiny"),
        pytest.param((0, 0, 600, 0), id="all of one"),
        pytest.param((70, 1, 0, 200), id="fewer than there are rows"),
        pytest.param((0, 0, 0, 0), id="none"),
    ],
)
def test_blocks_give_the_values_and_gradients_of_tiles(ways, counts) -> None:
    blocks, tiles = ways
    own, counts = sum(counts), jnp.asarray(counts, jnp.int32)
    (loss, y), gradients = on_tpu(blocks, rows(), weights(), counts)
    (loss_of_tiles, y_of_tiles), gradients_of_tiles = tiles(rows(), weights(), counts)
    close((loss, y[:own], gradients), (loss_of_tiles, y_of_tiles[:own], gradients_of_tiles))
    np.testing.assert_array_equal(y[own:], 0)


def test_rows_that_are_not_numbers_poison_neither_weights_nor_neighbours(ways) -> None:
    blocks, _ = ways
    counts = jnp.asarray((70, 1, 0, 200), jnp.int32)
    clean = on_tpu(blocks, rows(), weights(), counts)
    behind = (jnp.arange(ROWS) >= 271)[:, None]
    close(on_tpu(blocks, jnp.where(behind, jnp.nan, rows()), weights(), counts), clean)
    of_the_last = ((jnp.arange(ROWS) >= 71) & ~behind[:, 0])[:, None]
    (_, y), (_, gradients) = on_tpu(blocks, jnp.where(of_the_last, jnp.nan, rows()), weights(), counts)
    np.testing.assert_allclose(y[:71], clean[0][1][:71], rtol=1e-3, atol=1e-3)
    close(jax.tree.map(lambda leaf: leaf[:3], gradients), jax.tree.map(lambda leaf: leaf[:3], clean[1][1]))


@pytest.mark.parametrize("capacity", [3, None])
def test_a_layer_computes_what_the_reference_computes(batch_of, capacity) -> None:
    batch, own = batch_of(2, 8), weights()
    x = rows()[:16].reshape(2, 8, WIDTH)
    routing = route(x, rows()[:WIDTH, :N_EXPERTS], batch, top_k=2, score="softmax", order="topk_then_score", bias=None)
    names = ("w_gate", "w_up", "w_down", "b_gate", "b_up", "b_down")
    arrays = {name: getattr(own, name) for name in names}

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def by(kernel: str, dispatch: str) -> tuple[jax.Array, jax.Array]:
        options = {"activation": "swiglu", "group_size": 8, "capacity": capacity}
        return apply_experts(x, routing, **arrays, **options, dispatch=dispatch, grouped_matmul=kernel)

    close(on_tpu(by, "megablox", "sorted"), by("reference", "onehot"))
