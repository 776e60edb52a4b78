"""Which weights decay, which muon orthogonalises, and how router biases move."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp
from optax import contrib

from moec.runtime.batch import RouterReport
from moec.runtime.initializer import Initializer
from moec.runtime.optimizers import decay_mask, matrix_dims, nudge_router_biases

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def params(tiny_model) -> nnx.State:
    model = tiny_model(layers=("moe",), scan=True)
    return jax.jit(lambda: nnx.state(model(Initializer(0)), nnx.Param))()


def random_gradients(params: nnx.State) -> nnx.State:
    return jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(1).normal(size=leaf.shape), leaf.dtype), params)


@partial(jax.jit, static_argnums=1)
def first_updates(params: nnx.State, optimizer: optax.GradientTransformation, gradients: nnx.State) -> nnx.State:
    return optimizer.update(gradients, optimizer.init(params), params)[0]


def zero_gradients(params: nnx.State) -> nnx.State:
    return jax.tree.map(jnp.zeros_like, params)


def moved(params: nnx.State, optimizer: optax.GradientTransformation, gradients: nnx.State) -> set[str]:
    updates = first_updates(params, optimizer, gradients)
    return {str(path[-1]) for path, update in nnx.to_flat_state(updates) if np.asarray(update[...]).any()}


def test_matrices_decay_and_norms_do_not(params) -> None:
    decayed = moved(params, optax.adamw(1.0, weight_decay=0.1, mask=decay_mask), zero_gradients(params))
    assert decayed == {"w_q", "w_k", "w_v", "w_o", "w_gate", "w_up", "w_down", "w_router", "w_embed", "w_head"}


def test_muon_gives_matrices_of_the_layers_singular_values_near_one(params) -> None:
    optimizer = contrib.muon(1.0, muon_weight_dimension_numbers=matrix_dims)
    updates = first_updates(params, optimizer, random_gradients(params))
    block = updates["periods"]["blocks"][0]
    shapes = {"w_q": (16, 32), "w_o": (32, 16)}
    for name, shape in shapes.items():
        for repeat in range(2):
            matrix = np.asarray(block["attention"][name][...])[repeat].reshape(shape)
            values = np.linalg.svd(matrix, compute_uv=False) / max(1, shape[1] / shape[0]) ** 0.5
            assert values.min() > 0.3
            assert values.max() < 1.5
    for expert in np.asarray(block["experts"]["w_up"][...]).reshape(-1, 16, 16):
        assert 0.2 < np.linalg.svd(expert, compute_uv=False)[0] < 1.5


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.lion(1e-2, mask=decay_mask),
        optax.adafactor(1e-2),
        contrib.muon(1e-2, muon_weight_dimension_numbers=matrix_dims, weight_decay_mask=decay_mask),
    ],
    ids=["lion", "adafactor", "muon"],
)
def test_the_optimizers_of_optax_move_every_weight_of_a_stacked_model(params, optimizer) -> None:
    names = {str(path[-1]) for path, _ in nnx.to_flat_state(params)}
    assert moved(params, optimizer, random_gradients(params)) == names


@pytest.mark.parametrize("scan", [False, True])
def test_router_biases_move_towards_even_load_in_the_order_of_the_layers(tiny_model, scan) -> None:
    model = tiny_model(layers=("moe", "moe"), scan=scan)(Initializer(0))
    load = np.full((5, 8), 0.125)
    for layer in range(5):
        load[layer, layer], load[layer, layer + 1] = 0.2, 0.05
    nothing = jnp.zeros(5)
    nudge_router_biases(model, RouterReport(nothing, nothing, jnp.asarray(load), nothing), rate=0.01)
    biases = [model.blocks[0].experts.router_bias[...]]
    if scan:
        periods = [block.experts.router_bias[...] for block in model.periods.blocks]
        biases += [periods[place][repeat] for repeat in range(2) for place in range(2)]
    else:
        biases += [block.experts.router_bias[...] for block in list(model.blocks)[1:]]
    expected = np.zeros((5, 8))
    expected[np.arange(5), np.arange(5)], expected[np.arange(5), np.arange(5) + 1] = -0.01, 0.01
    np.testing.assert_allclose(np.stack(biases), expected, atol=1e-7)
