"""One optimizer step: gradients over the micro-batches, the update, the routers' biases, and what the step reports.

A step that the guard refuses changes nothing but the guard's own counts. The device decides that, without the host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import NamedSharding

from moec.runtime.batch import Batch, Objective, Report
from moec.runtime.devices import platform_of
from moec.runtime.guard import judge
from moec.runtime.heap import give_back_freed
from moec.runtime.mesh import replicated
from moec.runtime.placement import batch_sharding
from moec.runtime.program import Program
from moec.runtime.state import Layout, TrainState, Tree, as_float32


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step measured, over the tokens of all its micro-batches and before its update.

    `skipped` counts the steps that were not taken, this one included, and `skipped_in_a_row` the last of them.

    Shapes: `loss`, `grad_norm` and each of `terms` [], float32; `routers` as in Objective; the counts [],
    int32.
    """

    loss: jax.Array
    terms: dict[str, jax.Array]
    grad_norm: jax.Array
    routers: Report | None
    skipped: jax.Array
    skipped_in_a_row: jax.Array


COMPILER_OPTIONS: Final = {"gpu": {"xla_gpu_enable_triton_gemm": False}}
"""By platform. Matmuls by cuBLAS alone: XLA's trial of Triton kernels for them takes two thirds of the compilation,
and steps are no faster for it. Measured on one H100, docs/log.md 2026-11-28."""

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepReport]]


def train_step(program: Program, layout: Layout) -> TrainStep:
    """The step as a pure function of state and batch.

    Shapes: the arrays of the batch are [M, B, S], M micro-batches whose gradients are averaged.
    """
    optimizer = program.optimizer()
    differentiate = _differentiate(program, layout)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepReport]:
        gradients, objective = _mean_over_micro_batches(functools.partial(differentiate, state), batch)
        grad_norm = _norm(gradients)
        taken, guard = judge(program.guard, state.guard, objective.loss, grad_norm)
        params, kept = _updated(program, optimizer, state, gradients, taken)
        untrained = _after_step(program, layout, params, state.untrained, objective.routers)
        after = TrainState(params, _chosen(taken, untrained, state.untrained), kept, guard)
        report = StepReport(
            objective.loss, objective.terms, grad_norm, objective.routers, guard.skipped, guard.skipped_in_a_row
        )
        return after, report

    return step


def jit_train_step(program: Program, layout: Layout) -> jax.stages.Wrapped:
    """The step under jit: state and batch come and go sharded as the layout says, the old state's memory is reused."""
    shardings = layout.shardings
    return jax.jit(
        train_step(program, layout),
        donate_argnums=0,
        in_shardings=(shardings, batch_sharding(layout.mesh)),
        out_shardings=(shardings, replicated(layout.mesh)),
        compiler_options=COMPILER_OPTIONS.get(platform_of(program.mesh.hardware)),
    )


def abstract_batch(program: Program, layout: Layout) -> Batch:
    """The shapes, dtypes and shardings of one step's batch."""
    training = program.training
    shape = (training.micro_batches, training.micro_sequences, training.seq_len)
    place = batch_sharding(layout.mesh)
    ids = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=place)
    weights = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)
    return Batch(tokens_BS=ids, targets_BS=ids, positions_BS=ids, segments_BS=ids, weights_BS=weights)


def lower_train_step(program: Program, layout: Layout) -> jax.stages.Lowered:
    """The traced step, made from shapes alone, as XLA is given it."""
    with jax.set_mesh(layout.mesh):
        return jit_train_step(program, layout).lower(layout.abstract, abstract_batch(program, layout))


def compile_train_step(program: Program, layout: Layout) -> jax.stages.Compiled:
    """The compiled step. The memory that compiling took is the kernel's again."""
    compiled = lower_train_step(program, layout).compile()
    give_back_freed()
    return compiled


def _differentiate(program: Program, layout: Layout) -> Callable[[TrainState, Batch], tuple[nnx.State, Objective]]:
    """The function that gives gradients (float32, sharded as the weights) and objective of one micro-batch."""
    places = layout.shardings.params

    def loss_of(params: nnx.State, untrained: nnx.State, micro: Batch) -> tuple[jax.Array, Objective]:
        objective = program.objective(nnx.merge(layout.graph, params, untrained), micro)
        return objective.loss, objective

    def differentiate(state: TrainState, micro: Batch) -> tuple[nnx.State, Objective]:
        gradients, objective = jax.grad(loss_of, has_aux=True)(state.params, state.untrained, micro)
        return jax.tree.map(_pinned, as_float32(gradients), places), objective

    return differentiate


def _pinned(array: jax.Array, place: NamedSharding) -> jax.Array:
    return array if place.mesh.size == 1 else jax.lax.with_sharding_constraint(array, place)


def _mean_over_micro_batches(
    differentiate: Callable[[Batch], tuple[nnx.State, Objective]], batch: Batch
) -> tuple[nnx.State, Objective]:
    """The mean of what `differentiate` gives over the leading dim; exact: the weights of a batch allow for it."""
    first = jax.tree.map(lambda array: array[0], batch)
    n_micro_batches = batch.tokens_BS.shape[0]
    if n_micro_batches == 1:
        return differentiate(first)

    def add(total: object, micro: Batch) -> tuple[object, None]:
        return jax.tree.map(jnp.add, total, differentiate(micro)), None

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(differentiate, first))
    total, _ = jax.lax.scan(add, zeros, batch)
    return jax.tree.map(lambda leaf: leaf / n_micro_batches, total)


def _norm(gradients: nnx.State) -> jax.Array:
    """The Euclidean norm of all gradients together."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients)))


def _updated(
    program: Program,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    gradients: nnx.State,
    taken: jax.Array,
) -> tuple[nnx.State, optax.OptState]:
    """Weights and optimizer after the update, or as they were where the step is not taken.

    XLA for CPUs makes moments once for the weights and once for the state, in any order, so it copies the old ones at
    the start of the step. There what the state keeps waits for the weights, and is written in place (jax 0.12).
    """
    before, weights = state.optimizer, as_float32(state.params)
    updates, kept = optimizer.update(gradients, before, weights)
    params = _chosen(taken, optax.apply_updates(state.params, updates), state.params)
    if platform_of(program.mesh.hardware) == "cpu":
        before, params = jax.lax.optimization_barrier((before, params))
        _, kept = optimizer.update(gradients, before, weights)
    return params, _chosen(taken, kept, before)


def _chosen(taken: jax.Array, new: Tree, old: Tree) -> Tree:
    return jax.tree.map(lambda after, before: jnp.where(taken, after, before), new, old)


def _after_step(
    program: Program, layout: Layout, params: nnx.State, untrained: nnx.State, routers: Report | None
) -> nnx.State:
    """The untrained state after the program's own change to it."""
    if program.after_step is None or routers is None:
        return untrained
    own = jax.tree.map(lambda leaf: leaf, untrained)  # the model would share the variables that `after_step` writes to
    model = nnx.merge(layout.graph, params, own)
    program.after_step(model, routers)
    _, _, changed = nnx.split(model, nnx.Param, ...)
    return changed
