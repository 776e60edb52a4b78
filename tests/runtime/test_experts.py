"""The experts against the loops of the reference, in every combination of their options."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import reference
from moec.runtime.batch import Batch
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.feed_forward import project, swiglu
from moec.runtime.routing import Routing

pytestmark = pytest.mark.usefixtures("quick_compilation")

SEQUENCES, LENGTH, WIDTH, D_FF, N_EXPERTS, TOP_K = 2, 8, 6, 7, 4, 2
ROUTER = {"top_k": TOP_K, "score": "softmax", "order": "topk_then_score"}
METHODS = [
    *product(["sorted", "onehot", "all_gather"], ["reference", "batched", "tiles"], [3, None]),
]


def weights_of(activation: str, *, biased: bool, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    gated = activation in ("swiglu", "geglu")
    shapes = {"w_gate": (WIDTH, D_FF), "w_up": (WIDTH, D_FF), "w_down": (D_FF, WIDTH)}
    biases = {"b_gate": (D_FF,), "b_up": (D_FF,), "b_down": (WIDTH,)}
    wanted = {
        name: shape for name, shape in (shapes | (biases if biased else {})).items() if gated or "gate" not in name
    }
    arrays = {name: jnp.asarray(rng.normal(size=(N_EXPERTS, *shape)), jnp.float32) for name, shape in wanted.items()}
    return arrays if gated else {"w_gate": None} | arrays


def networks(weights: dict[str, Any]) -> list[reference.Network]:
    arrays = {name: [None] * N_EXPERTS if weight is None else np.asarray(weight) for name, weight in weights.items()}
    return [reference.Network(**{name: own[expert] for name, own in arrays.items()}) for expert in range(N_EXPERTS)]


def tokens(seed: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(SEQUENCES, LENGTH, WIDTH)), jnp.float32)


def router(seed: int = 2, lean: float = 0.0) -> jax.Array:
    """Router weights; `lean` makes tokens prefer the first expert."""
    w = np.random.default_rng(seed).normal(size=(WIDTH, N_EXPERTS))
    w[:, 0] += lean
    return jnp.asarray(w, jnp.float32)


def choices_of(routing: Routing) -> list[list[reference.Choice]]:
    experts = np.asarray(routing.experts_BSK).reshape(-1, TOP_K)
    weights = np.asarray(routing.weights_BSK).reshape(-1, TOP_K)
    pairs = [zip(*row, strict=True) for row in zip(experts, weights, strict=True)]
    return [[reference.Choice(int(e), float(w)) for e, w in row if e < N_EXPERTS] for row in pairs]


def expected(x: jax.Array, routing: Routing, weights: dict[str, Any], activation: str, capacity: int | None):
    asked = choices_of(routing)
    kept = asked
    if capacity is not None:
        kept = reference.keep(asked, n_experts=N_EXPERTS, group_size=LENGTH, capacity=capacity)
    y = reference.apply(np.asarray(x).reshape(-1, WIDTH), kept, networks(weights), activation)
    dropped = 1 - sum(map(len, kept)) / sum(map(len, asked))
    return y.reshape(x.shape), dropped


def run(x: jax.Array, batch: Batch, w_router: jax.Array, weights: dict[str, Any], **options: Any):
    settings = {"activation": "swiglu", "group_size": LENGTH, "capacity": None, "dispatch": "sorted"}
    settings |= {"grouped_matmul": "batched"} | options
    routing = route(x, w_router, batch, **ROUTER)
    y, dropped = jax.jit(lambda x, routing, weights: apply_experts(x, routing, **weights, **settings))(
        x, routing, weights
    )
    return y, dropped, routing


@pytest.mark.parametrize(("dispatch", "grouped_matmul", "capacity"), METHODS)
def test_every_method_computes_what_the_reference_computes(batch_of, dispatch, grouped_matmul, capacity) -> None:
    x, batch, weights = tokens(), batch_of(SEQUENCES, LENGTH), weights_of("swiglu", biased=False)
    options = {"dispatch": dispatch, "grouped_matmul": grouped_matmul, "capacity": capacity}
    y, dropped, routing = run(x, batch, router(lean=0.5), weights, **options)
    y_expected, dropped_expected = expected(x, routing, weights, "swiglu", capacity)
    np.testing.assert_allclose(y, y_expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dropped, dropped_expected, atol=1e-6)
    assert (dropped > 0) == (capacity is not None)


@pytest.mark.parametrize("grouped_matmul", ["batched", "tiles"])
@pytest.mark.parametrize(
    ("activation", "biased"),
    [
        *[("swiglu", True), ("geglu", False), ("gelu", True), ("relu2", False), ("relu2", True)],
        *(
            pytest.param(*other, marks=pytest.mark.slow)
            for other in [("swiglu", False), ("geglu", True), ("gelu", False)]
        ),
    ],
)
def test_every_activation_with_and_without_biases(batch_of, activation, biased, grouped_matmul) -> None:
    x, batch, weights = tokens(), batch_of(SEQUENCES, LENGTH), weights_of(activation, biased=biased)
    y, _, routing = run(x, batch, router(), weights, activation=activation, grouped_matmul=grouped_matmul)
    np.testing.assert_allclose(y, expected(x, routing, weights, activation, None)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("grouped_matmul", ["batched", "tiles"])
def test_equal_experts_are_one_dense_layer(batch_of, grouped_matmul) -> None:
    x, batch = tokens(), batch_of(SEQUENCES, LENGTH, padding=0)
    one = {name: weight[:1] for name, weight in weights_of("swiglu", biased=False).items()}
    equal = {name: jnp.repeat(weight, N_EXPERTS, axis=0) for name, weight in one.items()}
    y, _, _ = run(x, batch, router(), equal, grouped_matmul=grouped_matmul)
    dense = project(swiglu(project(x, one["w_gate"][0]), project(x, one["w_up"][0])), one["w_down"][0])
    np.testing.assert_allclose(y, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("grouped_matmul", "capacity"), [("batched", 3), ("batched", None), ("tiles", 3), ("tiles", None)]
)
def test_all_tokens_may_go_to_the_same_experts_and_none_to_others(batch_of, grouped_matmul, capacity) -> None:
    batch, weights = batch_of(SEQUENCES, LENGTH), weights_of("swiglu", biased=True)
    x = jnp.abs(tokens()) + 0.1
    w_router = jnp.asarray(np.array([[2.0, 1.0, -1.0, -2.0]] * WIDTH), jnp.float32)
    y, dropped, routing = run(x, batch, w_router, weights, grouped_matmul=grouped_matmul, capacity=capacity)
    assert set(np.unique(routing.experts_BSK)) == {0, 1, N_EXPERTS}
    y_expected, dropped_expected = expected(x, routing, weights, "swiglu", capacity)
    np.testing.assert_allclose(y, y_expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dropped, dropped_expected, atol=1e-6)


@pytest.mark.parametrize(("activation", "capacity"), [("swiglu", None), ("geglu", 3), ("gelu", None)])
@pytest.mark.parametrize("grouped_matmul", ["batched", "tiles"])
def test_gradients_are_those_of_one_hot_matmuls(batch_of, activation, capacity, grouped_matmul) -> None:
    batch, weights = batch_of(SEQUENCES, LENGTH), weights_of(activation, biased=True)

    def loss(x, w_router, weights, dispatch, kernel):
        routing = route(x, w_router, batch, **ROUTER)
        options = {"activation": activation, "group_size": LENGTH, "capacity": capacity}
        y, dropped = apply_experts(x, routing, **weights, **options, dispatch=dispatch, grouped_matmul=kernel)
        report = report_routing(routing, dropped)
        return jnp.sum(jnp.sin(y)) + report.balance_loss + report.z_loss

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)), static_argnums=(3, 4))
    ours = gradient(tokens(), router(lean=0.5), weights, "sorted", grouped_matmul)
    plain = gradient(tokens(), router(lean=0.5), weights, "onehot", "reference")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), ours, plain)


def test_the_gradient_of_tiles_is_the_slope_of_the_function(batch_of) -> None:
    batch, weights = batch_of(SEQUENCES, LENGTH), weights_of("swiglu", biased=False)
    routing = route(tokens(), router(), batch, **ROUTER)
    options = {"activation": "swiglu", "group_size": LENGTH, "capacity": None, "dispatch": "sorted"}

    def loss(w_gate):
        y, _ = apply_experts(tokens(), routing, **weights | {"w_gate": w_gate}, **options, grouped_matmul="tiles")
        return jnp.sum(y**2)

    direction = weights_of("swiglu", biased=False, seed=9)["w_gate"]
    step = 1e-2
    ahead, behind = (loss(weights["w_gate"] + sign * step * direction) for sign in (1, -1))
    slope = jnp.sum(jax.grad(loss)(weights["w_gate"]) * direction)
    np.testing.assert_allclose((ahead - behind) / (2 * step), slope, rtol=1e-2)


@pytest.mark.parametrize(("grouped_matmul", "capacity"), [("batched", 3), ("tiles", None)])
def test_padding_that_is_not_a_number_poisons_nothing(batch_of, grouped_matmul, capacity) -> None:
    batch, weights = batch_of(SEQUENCES, LENGTH), weights_of("swiglu", biased=False)
    real = batch.segments_BS[..., None] > 0
    options = {"activation": "swiglu", "group_size": LENGTH, "dispatch": "sorted", "grouped_matmul": grouped_matmul}

    def loss(x, weights):
        routing = route(x, router(), batch, **ROUTER)
        y, _ = apply_experts(x, routing, **weights, **options, capacity=capacity)
        return jnp.sum(y**2)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    clean = gradient(tokens(), weights)
    dirty = gradient(jnp.where(real, tokens(), jnp.nan), weights)
    jax.tree.map(np.testing.assert_array_equal, dirty[1], clean[1])
    np.testing.assert_array_equal(dirty[0], clean[0])


def test_a_batch_in_generation_drops_nothing(batch_of) -> None:
    x, weights = tokens(), weights_of("swiglu", biased=False)
    batch = dataclasses.replace(batch_of(SEQUENCES, LENGTH), dropless=True)
    y, dropped, routing = run(x, batch, router(lean=1.0), weights, capacity=1)
    np.testing.assert_allclose(y, expected(x, routing, weights, "swiglu", None)[0], rtol=1e-3, atol=1e-4)
    assert dropped == 0


def test_tokens_that_are_not_whole_groups_are_refused(batch_of) -> None:
    with pytest.raises(ValueError, match="16 tokens on a device are not whole groups of 5"):
        run(
            tokens(),
            batch_of(SEQUENCES, LENGTH),
            router(),
            weights_of("swiglu", biased=False),
            group_size=5,
            capacity=2,
        )
