"""Running blocks: loop or no loop, rematerialised or not, with or without caches, all the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P

from moec.runtime.attention import KeyValues
from moec.runtime.batch import Batch
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, remat_policy, run_layers

pytestmark = pytest.mark.usefixtures("quick_compilation")

SEQUENCES, LENGTH = 2, 16
KEPT_NAMES = ("attention_out", "ffn_hidden", "expert_out")


def made(model: Callable[[Initializer], nnx.Module]) -> nnx.Module:
    """The model with its weights, drawn by one compiled function."""
    return nnx.merge(*jax.jit(lambda: nnx.split(model(Initializer(0))))())


def loss_and_gradient(model: nnx.Module, batch):
    graph, params, other = nnx.split(model, nnx.Param, ...)

    def loss(params):
        objective = nnx.merge(graph, params, other).objective(batch)
        return objective.loss, objective

    (_, objective), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return objective, gradient


@pytest.fixture(scope="module")
def plain():
    return {}


@pytest.mark.parametrize(
    ("scan", "remat", "save"),
    [
        (True, "full", ()),
        (False, "save_dots", ()),
        pytest.param(True, "names", KEPT_NAMES, marks=pytest.mark.slow),
        pytest.param(False, "full", (), marks=pytest.mark.slow),
        pytest.param(True, "save_dots", (), marks=pytest.mark.slow),
        pytest.param(False, "names", KEPT_NAMES, marks=pytest.mark.slow),
    ],
)
def test_rematerialisation_changes_no_number(tiny_model, batch_of, plain, remat, save, scan) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    if scan not in plain:
        plain[scan] = loss_and_gradient(made(tiny_model(scan=scan, repeats=1)), batch)
    objective, gradient = loss_and_gradient(made(tiny_model(scan=scan, repeats=1, remat=remat, save=save)), batch)
    kept_objective, kept_gradient = plain[scan]
    np.testing.assert_allclose(objective.loss, kept_objective.loss, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient, kept_gradient)


def test_a_loop_over_periods_is_the_unrolled_model(tiny_model, batch_of) -> None:
    batch, objectives = batch_of(SEQUENCES, LENGTH), []
    for scan in (False, True):
        graph, state = nnx.split(made(tiny_model(layers=("moe",), scan=scan)))
        objectives.append(
            jax.jit(lambda state, batch, graph=graph: nnx.merge(graph, state).objective(batch))(state, batch)
        )
    unrolled, scanned = objectives
    assert scanned.routers.load.shape == (3, 8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), unrolled, scanned)


@pytest.mark.parametrize("scan", [pytest.param(False, marks=pytest.mark.slow), True])
def test_decoding_token_by_token_gives_the_hidden_states_of_the_whole(tiny_model, batch_of, scan) -> None:
    batch = dataclasses.replace(batch_of(SEQUENCES, 6, segments=1, padding=0), dropless=True)
    graph, state = nnx.split(made(tiny_model(scan=scan)))
    empty = KeyValues.empty(SEQUENCES, 8, 8, 4, jnp.float32)
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), empty)
    caches = (empty, two, two) if scan else (empty,) * 5

    @jax.jit
    def run(part, caches):
        return nnx.merge(graph, state)(part, caches)

    whole = run(batch, None).hidden_BSD
    pieces = []
    for start, stop in [(0, 3), (3, 4), (4, 5), (5, 6)]:
        output = run(jax.tree.map(lambda array: array[:, start:stop], batch), caches)  # noqa: B023
        caches = output.caches
        pieces.append(output.hidden_BSD)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), whole, rtol=1e-3, atol=1e-4)


def test_a_policy_for_an_activation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no activation is named ffn; there are attention_out, ffn_hidden"):
        remat_policy("names", ("ffn",), ())


def test_full_rematerialisation_keeps_less_than_none(tiny_model, batch_of) -> None:
    batch = batch_of(SEQUENCES, LENGTH)

    def kept_bytes(remat: str) -> int:
        def pull_back():
            graph, params, other = nnx.split(tiny_model(layers=("dense",), remat=remat)(Initializer(0)), nnx.Param, ...)
            return jax.vjp(lambda params: nnx.merge(graph, params, other).objective(batch).loss, params)[1]

        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(pull_back)))

    assert kept_bytes("full") < 0.7 * kept_bytes("none")


def test_blocks_that_are_alike_are_traced_once(batch_of) -> None:
    traced = []

    class Scale(nnx.Module):
        def __init__(self, init: Initializer, width: int) -> None:
            self.scale = init.normal((width,), P(None), std=1.0)

        def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
            traced.append(self.scale.shape)
            return BlockOutput(x_BSD * jnp.sum(self.scale), cache, None)

    blocks = [Scale(Initializer(0).layer(layer), width) for layer, width in enumerate((3, 3, 5, 3))]
    x_BSD, batch = jnp.ones((SEQUENCES, LENGTH, 2)), batch_of(SEQUENCES, LENGTH)
    found = jax.jit(lambda x: run_layers(blocks, x, batch, None).x_BSD)(x_BSD)
    assert traced == [(3,), (5,)]
    expected = np.prod([np.sum(block.scale[...]) for block in blocks])
    np.testing.assert_allclose(found, np.full(x_BSD.shape, expected), rtol=1e-5)
