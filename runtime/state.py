"""What training changes from step to step, where it lies on the mesh, and its flat form with a name for each array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from moec.runtime.guard import GuardState, new_guard
from moec.runtime.initializer import abstract_state, init_sharded, shardings
from moec.runtime.mesh import replicated
from moec.runtime.program import Program

Tree = TypeVar("Tree")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Weights:
    """What a model is at one step: `params` are trained (nnx.State of nnx.Param), `untrained` not (router biases)."""

    params: nnx.State
    untrained: nnx.State


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class TrainState:
    """The weights, and what the optimizer and the guard keep of the steps so far."""

    params: nnx.State
    untrained: nnx.State
    optimizer: optax.OptState
    guard: GuardState

    @property
    def weights(self) -> Weights:
        """The model, without the optimizer."""
        return Weights(self.params, self.untrained)


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure of a program's model and state on one mesh, without any array.

    `abstract` has a jax.ShapeDtypeStruct with its sharding in place of each array.
    """

    mesh: Mesh
    graph: nnx.GraphDef
    abstract: TrainState

    @property
    def shardings(self) -> TrainState:
        """The sharding of each array."""
        return jax.tree.map(lambda leaf: leaf.sharding, self.abstract)


def as_float32(tree: nnx.State) -> nnx.State:
    """The same arrays in float32: what gradients and optimizer see, whatever the weights are kept in."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


def lay_out(program: Program, mesh: Mesh) -> Layout:
    """The layout of `program` on `mesh`: weights as their specs say, the optimizer's copies of a weight like it."""
    graph, params, untrained = abstract_state(program.model, program.training.seed)
    optimizer = jax.eval_shape(lambda state: program.optimizer().init(as_float32(state)), params)
    guard = jax.eval_shape(lambda: new_guard(program.guard))
    abstract = TrainState(
        params=_placed(params, shardings(params, mesh)),
        untrained=_placed(untrained, shardings(untrained, mesh)),
        optimizer=_placed(optimizer, _optimizer_shardings(optimizer, mesh)),
        guard=_placed(guard, jax.tree.map(lambda _: replicated(mesh), guard)),
    )
    return Layout(mesh=mesh, graph=graph, abstract=abstract)


def initial_state(program: Program, layout: Layout) -> TrainState:
    """Freshly drawn weights, an empty optimizer and guard, each array made where it lies."""
    _, params, untrained = init_sharded(program, layout.mesh)

    def start(weights: nnx.State) -> tuple[optax.OptState, GuardState]:
        return program.optimizer().init(as_float32(weights)), new_guard(program.guard)

    places = layout.shardings.optimizer, layout.shardings.guard
    optimizer, guard = jax.jit(start, out_shardings=places)(params)
    return TrainState(params=params, untrained=untrained, optimizer=optimizer, guard=guard)


def named_arrays(tree: object) -> dict[str, jax.Array]:
    """The arrays of a state by dotted name, for instance `params.blocks.0.ffn.w_up`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def from_named_arrays(like: Tree, arrays: dict[str, jax.Array]) -> Tree:
    """The tree of `like`'s structure whose arrays are taken by name; the inverse of `named_arrays`."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    return jax.tree.unflatten(structure, [arrays[_name(path)] for path, _ in leaves])


def count_params(params: nnx.State) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _name(path: tuple[object, ...]) -> str:
    last_is_value = isinstance(path[-1], jax.tree_util.GetAttrKey) and path[-1].name == "value"
    return jax.tree_util.keystr(path[:-1] if last_is_value else path, simple=True, separator=".")


def _placed(tree: object, places: object) -> object:
    return jax.tree.map(lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree, places)


def _optimizer_shardings(optimizer: optax.OptState, mesh: Mesh) -> object:
    """The sharding of each array of the optimizer: its weight's where it has the weight's rank, else whole everywhere.

    Optax keeps a weight's metadata on what it keeps per weight. Adafactor's row and column statistics have a rank less.
    """

    def place(node: object) -> object:
        spec = node.get_metadata().get("spec") if isinstance(node, nnx.Variable) else None
        return jax.tree.map(lambda leaf: _fitting(spec, leaf.shape, mesh), node)

    return jax.tree.map(place, optimizer, is_leaf=lambda node: isinstance(node, nnx.Variable))


def _fitting(spec: PartitionSpec | None, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    whole = NamedSharding(mesh, PartitionSpec())
    if spec is None or len(spec) != len(shape):
        return whole
    candidate = NamedSharding(mesh, spec)
    try:
        candidate.shard_shape(shape)
    except ValueError:
        return whole
    return candidate
