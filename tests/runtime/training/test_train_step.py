"""The step: accumulation is exact, moments lie as weights lie, routers' biases move, gradients are float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib
import pytest
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P

from moec.runtime.batch import Batch
from moec.runtime.data.text import train_batches
from moec.runtime.mesh import make_mesh
from moec.runtime.optimizers import decay_mask, matrix_dims
from moec.runtime.placement import batch_sharding, place, row_share
from moec.runtime.program import Program
from moec.runtime.state import TrainState, initial_state, lay_out, named_arrays
from moec.runtime.train_step import StepReport, abstract_batch, compile_train_step, train_step


def first_batch(program: Program) -> Batch:
    assert program.data is not None
    return next(train_batches(program.data, program.training))


def one_step(program: Program, batch: Batch) -> tuple[TrainState, StepReport]:
    layout = lay_out(program, make_mesh(program.mesh))
    share = row_share(layout.mesh, program.training.micro_sequences)
    step = compile_train_step(program, layout)
    return step(initial_state(program, layout), place(batch, batch_sharding(layout.mesh), share))


def bfloat16_weights(init: Any, model: Callable[[Any], Any]) -> Any:
    made = model(init)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), made)


def test_two_micro_batches_are_one_batch(tiny: Program) -> None:
    without_routers = replace(
        tiny, objective=lambda model, batch: _prediction_only(tiny, model, batch), after_step=None
    )
    halves = first_batch(tiny)
    whole = jax.tree.map(lambda array: array.reshape(1, 16, 32), halves)
    whole = replace(whole, weights_BS=whole.weights_BS / 2)
    joined = replace(without_routers, training=replace(tiny.training, micro_batches=1, micro_sequences=16))
    (_, accumulated), (_, at_once) = one_step(without_routers, halves), one_step(joined, whole)
    assert float(accumulated.loss) == pytest.approx(float(at_once.loss), rel=1e-5)
    assert float(accumulated.grad_norm) == pytest.approx(float(at_once.grad_norm), rel=1e-4)


def _prediction_only(tiny: Program, model: Any, batch: Batch) -> Any:
    found = tiny.objective(model, batch)
    return replace(found, loss=found.terms["cross_entropy"])


def test_the_bias_of_an_expert_with_little_load_rises(tiny: Program) -> None:
    state, report = one_step(tiny, first_batch(tiny))
    (bias_E,) = jax.tree.leaves(state.untrained)
    load_E = report.routers.load[0]
    np.testing.assert_allclose(bias_E, 0.01 * jnp.sign(1 / 8 - load_E), atol=1e-7)


def test_what_adam_keeps_of_a_weight_is_sharded_like_it(on_mesh: Callable[..., Program]) -> None:
    program = on_mesh(fsdp=2, expert=2, model=2)
    layout = lay_out(program, make_mesh(program.mesh))
    arrays = named_arrays(initial_state(program, layout))
    weights = {name.removeprefix("params."): array for name, array in arrays.items() if name.startswith("params.")}
    kept = {name: array for name, array in arrays.items() if ".mu." in name or ".nu." in name}
    assert len(kept) == 2 * len(weights)
    for name, array in kept.items():
        weight = weights[name.split(".mu." if ".mu." in name else ".nu.")[1]]
        assert array.sharding == weight.sharding, name
    up = weights["blocks.0.experts.w_up"]
    assert up.sharding.spec == P("expert", "fsdp", "model")
    assert up.addressable_shards[0].data.size == up.size // 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optax.adafactor(1e-2, min_dim_size_to_factor=8),
        lambda: optax.lion(1e-3, mask=decay_mask),
        lambda: optax.contrib.muon(1e-3, muon_weight_dimension_numbers=matrix_dims, weight_decay_mask=decay_mask),
    ],
    ids=["adafactor", "lion", "muon"],
)
def test_every_optimizer_takes_a_sharded_step(
    optimizer: Callable[[], optax.GradientTransformation], on_mesh: Callable[..., Program]
) -> None:
    program = replace(on_mesh(fsdp=2, expert=2, model=2), optimizer=optimizer)
    state, report = one_step(program, first_batch(program))
    assert np.isfinite(report.loss)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(state))


def test_the_layout_is_that_of_the_state_which_is_made(on_mesh: Callable[..., Program]) -> None:
    program = on_mesh(fsdp=2, expert=2, model=2)
    layout = lay_out(program, make_mesh(program.mesh))
    state = initial_state(program, layout)
    assert jax.tree.structure(state) == jax.tree.structure(layout.abstract)
    for planned, made in zip(jax.tree.leaves(layout.abstract), jax.tree.leaves(state), strict=True):
        assert (planned.shape, planned.dtype) == (made.shape, made.dtype)
        assert planned.sharding.is_equivalent_to(made.sharding, made.ndim)


def test_bfloat16_weights_stay_so_and_have_float32_moments(tiny: Program) -> None:
    program = replace(tiny, model=lambda init: bfloat16_weights(init, tiny.model), after_step=None)
    layout = lay_out(program, make_mesh(program.mesh))
    state, report = jax.eval_shape(train_step(program, layout), layout.abstract, abstract_batch(program, layout))
    assert jax.tree.map(lambda leaf: leaf.dtype, state) == jax.tree.map(lambda leaf: leaf.dtype, layout.abstract)
    arrays = named_arrays(state)
    assert arrays["params.w_embed"].dtype == jnp.bfloat16
    moments = [array for name, array in arrays.items() if ".mu." in name or ".nu." in name]
    assert {array.dtype for array in (*moments, report.grad_norm)} == {jnp.dtype("float32")}
