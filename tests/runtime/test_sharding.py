"""The same model on eight virtual devices: the same losses, the same drops, and only the collectives that are meant."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax.experimental import pallas
from jax.sharding import NamedSharding, PartitionSpec

from moec.runtime.batch import Batch, Objective
from moec.runtime.initializer import Initializer, abstract_state, shardings
from moec.runtime.mesh import MeshShape, make_mesh

pytestmark = pytest.mark.usefixtures("quick_compilation")

STEPS = 3
TOLERANCE = 2e-4
"""Relative, for losses near 4: sums in another order, and AdamW's division by small second moments."""

ONE_CHOICE = 1 / (8 * 15 * 2)
"""What one choice is of all choices of a batch here; two fractions that differ by less count the same drops."""

MESHES = [
    {"data": 8},
    {"fsdp": 8},
    {"expert": 8},
    {"model": 8},
    {"data": 2, "expert": 2, "model": 2},
    {"fsdp": 2, "expert": 2, "model": 2},
    {"fsdp": 2, "seq": 2, "model": 2},
]
SLOW = pytest.mark.slow
SOME_MESHES = [axes if "expert" in axes or "seq" in axes else pytest.param(axes, marks=SLOW) for axes in MESHES]
SLOTS = {"group_size": 8, "capacity": 3}
DROPLESS = {"group_size": 8, "capacity": None}

Model = Callable[[Initializer], Any]
Weights = tuple[nnx.GraphDef, nnx.State, nnx.State]


def axes_of(axes: dict[str, int]) -> str:
    return " x ".join(f"{name} {size}" for name, size in axes.items()) or "one device"


def weights_on(mesh: jax.sharding.Mesh, model: Model) -> Weights:
    graph, params, other = abstract_state(model, 0)

    def make() -> tuple[nnx.State, nnx.State]:
        return nnx.split(model(Initializer(0)), nnx.Param, ...)[1:]

    return graph, *jax.jit(make, out_shardings=(shardings(params, mesh), shardings(other, mesh)))()


def train(shape: MeshShape, model: Model, batch: Batch) -> list[Objective]:
    """The objectives of a few AdamW steps on one batch."""
    mesh, optimizer = make_mesh(shape), optax.adamw(1e-2)
    with jax.set_mesh(mesh):
        graph, params, other = weights_on(mesh, model)
        batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec(("data", "fsdp", "expert"), "seq")))

        def loss(params: nnx.State, batch: Batch) -> tuple[jax.Array, Objective]:
            objective = nnx.merge(graph, params, other).objective(batch)
            return objective.loss, objective

        @jax.jit
        def step(params: nnx.State, state: optax.OptState, batch: Batch):
            gradients, objective = jax.grad(loss, has_aux=True)(params, batch)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, objective

        state, objectives = jax.jit(optimizer.init)(params), []
        for _ in range(STEPS):
            params, state, objective = step(params, state, batch)
            objectives.append(jax.device_get(objective))
    return objectives


@pytest.fixture(scope="module")
def on_one_device() -> dict[tuple, list[Objective]]:
    """The objectives on a mesh of one device, by the options of the model."""
    return {}


def assert_same_curve(axes: dict[str, int], options: dict[str, Any], tiny_model, batch_of, shape_of, known) -> None:
    batch, key = batch_of(8, 16), tuple(sorted(options.items()))
    if key not in known:
        known[key] = train(shape_of(), tiny_model(**options), batch)
    for alone, sharded in zip(known[key], train(shape_of(**axes), tiny_model(**options), batch), strict=True):
        np.testing.assert_allclose(sharded.loss, alone.loss, rtol=TOLERANCE)
        if alone.routers is not None:
            np.testing.assert_allclose(sharded.routers.dropped, alone.routers.dropped, atol=ONE_CHOICE / 2)
            np.testing.assert_allclose(sharded.routers.load, alone.routers.load, rtol=1e-6)
            np.testing.assert_allclose(sharded.routers.balance_loss, alone.routers.balance_loss, rtol=TOLERANCE)


@pytest.mark.parametrize("axes", SOME_MESHES, ids=axes_of)
def test_experts_learn_and_drop_the_same_on_every_mesh(axes, tiny_model, batch_of, shape_of, on_one_device) -> None:
    options = {"layers": ("moe",), "repeats": 0, **SLOTS}
    assert_same_curve(axes, options, tiny_model, batch_of, shape_of, on_one_device)
    assert on_one_device[tuple(sorted(options.items()))][0].routers.dropped.min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("axes", MESHES, ids=axes_of)
@pytest.mark.parametrize("scan", [False, True])
def test_a_dense_model_learns_the_same_on_every_mesh(axes, scan, tiny_model, batch_of, shape_of, on_one_device) -> None:
    assert_same_curve(axes, {"layers": ("dense",), "scan": scan}, tiny_model, batch_of, shape_of, on_one_device)


@pytest.mark.slow
@pytest.mark.parametrize("axes", MESHES, ids=axes_of)
def test_a_scanned_stack_learns_the_same_on_every_mesh(axes, tiny_model, batch_of, shape_of, on_one_device) -> None:
    assert_same_curve(axes, {"scan": True, **SLOTS}, tiny_model, batch_of, shape_of, on_one_device)


def forward(axes: dict[str, int], options: dict[str, Any], tiny_model, batch_of, shape_of):
    """The compiled forward pass on a mesh, its batch, and the objective that it gives."""
    mesh = make_mesh(shape_of(**axes))
    with jax.set_mesh(mesh):
        graph, params, other = weights_on(mesh, tiny_model(**options))
        batch = jax.device_put(batch_of(8, 16), NamedSharding(mesh, PartitionSpec(("data", "fsdp", "expert"), "seq")))
        run = jax.jit(lambda params, batch: nnx.merge(graph, params, other).objective(batch))
        compiled = run.lower(params, batch).compile()
        return compiled, jax.device_get(compiled(params, batch))


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ({"expert": 8}, {"dispatch": "all_gather", "grouped_matmul": "tiles", **DROPLESS}),
        pytest.param(
            {"fsdp": 2, "expert": 2, "model": 2},
            {"dispatch": "all_gather", "grouped_matmul": "tiles", **DROPLESS},
            marks=SLOW,
        ),
        ({"data": 2, "expert": 2, "model": 2}, {"dispatch": "sorted", "grouped_matmul": "batched", **DROPLESS}),
        ({"data": 2, "expert": 2, "model": 2}, {"dispatch": "onehot", "bias": True, **SLOTS}),
        ({"data": 2, "expert": 2, "model": 2}, {"dispatch": "all_gather", "bias": True, **SLOTS}),
        ({"data": 4, "model": 2}, {"dispatch": "sorted", "grouped_matmul": "tiles", "bias": True, **SLOTS}),
        (
            {"data": 2, "fsdp": 2, "expert": 2},
            {"dispatch": "all_gather", "grouped_matmul": "triton", "bias": True, **DROPLESS},
        ),
    ],
    ids=str,
)
def test_every_way_to_reach_the_experts_gives_the_loss_of_one_device(
    axes, options, tiny_model, batch_of, shape_of, monkeypatch
) -> None:
    monkeypatch.setattr(pallas, "pallas_call", functools.partial(pallas.pallas_call, interpret=True))
    options = {"layers": ("moe",), "repeats": 0, **options}
    plain = options | {"dispatch": "sorted", "grouped_matmul": "batched"}
    _, alone = forward({}, plain, tiny_model, batch_of, shape_of)
    _, sharded = forward(axes, options, tiny_model, batch_of, shape_of)
    np.testing.assert_allclose(sharded.loss, alone.loss, rtol=1e-5)
    np.testing.assert_allclose(sharded.routers.dropped, alone.routers.dropped, atol=ONE_CHOICE / 2)
    assert (alone.routers.dropped > 0).all() == (options["capacity"] is not None)


@pytest.mark.parametrize("axes", MESHES[4:5], ids=axes_of)
def test_a_scanned_stack_gives_the_loss_and_the_drops_of_one_device(axes, tiny_model, batch_of, shape_of) -> None:
    options = {"layers": ("moe",), "scan": True, **SLOTS}
    _, alone = forward({}, options, tiny_model, batch_of, shape_of)
    _, sharded = forward(axes, options, tiny_model, batch_of, shape_of)
    np.testing.assert_allclose(sharded.loss, alone.loss, rtol=1e-5)
    np.testing.assert_allclose(sharded.routers.dropped, alone.routers.dropped, atol=ONE_CHOICE / 2)


def collectives(text: str) -> Counter[str]:
    """How often each collective stands in an HLO text."""
    names = "all-to-all|ragged-all-to-all|all-gather|all-reduce|reduce-scatter|collective-permute"
    return Counter(re.findall(rf" ({names})(?:-start)?\(", text))


@pytest.mark.parametrize(
    "axes", [{"data": 2, "expert": 2, "model": 2}, pytest.param({"expert": 8}, marks=SLOW)], ids=axes_of
)
def test_a_moe_layer_has_two_all_to_alls_and_nothing_else_has_any(axes, tiny_model, batch_of, shape_of) -> None:
    found = {}
    for layers, repeats in [(("moe",), 0), (("moe",), 1), (("dense",), 0)]:
        options = {"layers": layers, "repeats": repeats, **SLOTS}
        compiled, objective = forward(axes, options, tiny_model, batch_of, shape_of)
        n_moe = 0 if objective.routers is None else len(objective.routers.load)
        found[n_moe] = collectives(compiled.as_text())["all-to-all"]
    assert found == {2: 4, 1: 2, 0: 0}


def test_groups_that_would_span_devices_are_refused(tiny_model, batch_of, shape_of) -> None:
    with pytest.raises(ValueError, match="8 positions of a sequence on a device are not whole groups of 16"):
        forward({"seq": 2}, {"layers": ("moe",), "group_size": 16, "capacity": 6}, tiny_model, batch_of, shape_of)
