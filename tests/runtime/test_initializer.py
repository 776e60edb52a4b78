"""Weights: their numbers, and that neither mesh nor loop changes them."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from moec.runtime.initializer import Initializer, abstract_state
from moec.runtime.mesh import make_mesh

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_normal_weight_has_its_standard_deviation_and_carries_what_it_was_made_with() -> None:
    weight = Initializer(0).normal((64, 64), P("fsdp", "model"), std=0.5, dtype="bfloat16", decay=False)
    values = np.asarray(weight[...], np.float32)
    assert weight.dtype == "bfloat16"
    assert abs(values.std() - 0.5) < 0.02
    assert abs(values.mean()) < 0.03
    assert weight.get_metadata("spec") == P("fsdp", "model")
    assert weight.get_metadata("decay") is False


def test_weights_differ_by_seed_layer_and_order_and_by_nothing_else() -> None:
    def drawn(seed: int, layer: int, before: int) -> np.ndarray:
        init = Initializer(seed).layer(layer)
        for _ in range(before):
            init.ones((3,), P(None))
        return np.asarray(init.normal((5,), P(None), std=1.0)[...])

    np.testing.assert_array_equal(drawn(0, 1, 1), drawn(0, 1, 1))
    others = [drawn(1, 1, 1), drawn(0, 2, 1), drawn(0, 1, 0), drawn(0, 0, 1)]
    assert all((drawn(0, 1, 1) != other).any() for other in others)


def test_a_stack_has_the_numbers_of_the_unrolled_layers_and_a_leading_dim_that_is_whole(tiny_model) -> None:
    models = tiny_model(), tiny_model(scan=True)
    unrolled, scanned = (
        nnx.merge(*jax.jit(lambda model=model: nnx.split(model(Initializer(3))))()) for model in models
    )
    np.testing.assert_array_equal(scanned.blocks[0].ffn.w_up[...], unrolled.blocks[0].ffn.w_up[...])
    for repeat, place in np.ndindex(2, 2):
        stacked = nnx.state(scanned.periods.blocks[place])
        alone = nnx.state(unrolled.blocks[1 + 2 * repeat + place])
        jax.tree.map(
            lambda a, b, repeat=repeat: np.testing.assert_allclose(a[repeat], b, rtol=1e-6),
            *(jax.tree.map(np.asarray, nnx.to_pure_dict(state)) for state in (stacked, alone)),
        )
    weight = scanned.periods.blocks[1].experts.w_up
    assert weight.shape == (2, 8, 16, 16)
    assert weight.get_metadata("spec") == P(None, "expert", "fsdp", "model")


def test_the_abstract_model_has_every_weight_once_and_computes_nothing(tiny_model) -> None:
    _, weights, other = abstract_state(tiny_model(scan=True), 0)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves((weights, other)))
    made = jax.eval_shape(lambda: nnx.state(tiny_model(scan=True)(Initializer(0)), nnx.Param))
    assert jax.tree.map(lambda leaf: leaf.shape, weights) == jax.tree.map(lambda leaf: leaf.shape, made)
    assert [str(path[-1]) for path, _ in nnx.to_flat_state(other)] == ["router_bias"]


@pytest.mark.parametrize("scan", [False, True])
def test_weights_made_on_a_mesh_are_those_made_on_one_device_up_to_rounding(scan: bool, tiny_model, shape_of) -> None:
    model = tiny_model(layers=("moe",), repeats=2 if scan else 0, scan=scan)
    mesh = make_mesh(shape_of(fsdp=2, expert=2, model=2))

    def make(mesh: jax.sharding.Mesh | None) -> nnx.State:
        return nnx.state(model(Initializer(0, mesh)), nnx.Param)

    with jax.set_mesh(mesh):
        sharded = make(mesh)
    alone = make(None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *map(jax.device_get, (sharded, alone)))
    for variable in jax.tree.leaves(sharded, is_leaf=lambda node: isinstance(node, nnx.Variable)):
        wanted = NamedSharding(mesh, variable.get_metadata("spec"))
        assert variable[...].sharding.is_equivalent_to(wanted, variable[...].ndim)
