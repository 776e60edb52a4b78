"""Makes the weights of a model: the numbers, the sharding and whether the optimizer decays them, in one place each."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import jax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

if TYPE_CHECKING:
    from moec.runtime.program import Program


class RouterBias(nnx.Variable[jax.Array]):
    """State that no gradient trains: it is added to router scores for the choice and nudged after each step."""


class Initializer:
    """Makes the weights of one layer, or of what stands around the layers (layer 0).

    The numbers of a weight depend on the seed, the number of its layer and how many weights that layer made before it:
    never on the mesh, and not on whether the layers are unrolled or stacked.
    """

    def __init__(self, seed: int | jax.Array, mesh: Mesh | None = None) -> None:
        """With a `mesh` each weight is made where it lies on it; weights of one shape and place share a compilation."""
        self._root = jax.random.key(seed)
        self._mesh = mesh
        self._first: int | jax.Array = 0
        self._layer: int | jax.Array = 0
        self._made = 0

    def normal(
        self, shape: tuple[int, ...], spec: PartitionSpec, *, std: float, dtype: str = "float32", decay: bool = True
    ) -> nnx.Param[jax.Array]:
        """A trained weight, normally distributed with standard deviation `std`; drawn in float32, then rounded."""
        key = jax.random.fold_in(jax.random.fold_in(self._root, self._layer), self._made)
        self._made += 1
        return nnx.Param(self._draw(key, std, shape, spec, dtype), spec=spec, decay=decay)

    def ones(
        self, shape: tuple[int, ...], spec: PartitionSpec, *, dtype: str = "float32", decay: bool = False
    ) -> nnx.Param[jax.Array]:
        """A trained weight that starts at one; by default not decayed, as is right for a norm's scale."""
        return nnx.Param(self._filled(1.0, shape, spec, dtype), spec=spec, decay=decay)

    def zeros(
        self, shape: tuple[int, ...], spec: PartitionSpec, *, dtype: str = "float32", decay: bool = False
    ) -> nnx.Param[jax.Array]:
        """A trained weight that starts at zero; by default not decayed, as is right for a bias."""
        return nnx.Param(self._filled(0.0, shape, spec, dtype), spec=spec, decay=decay)

    def state(self, shape: tuple[int, ...], spec: PartitionSpec, *, dtype: str = "float32") -> RouterBias:
        """A bias of the router that starts at zero and is no parameter: see `optimizers.nudge_router_biases`."""
        return RouterBias(self._filled(0.0, shape, spec, dtype), spec=spec)

    def layer(self, number: int) -> Initializer:
        """The initializer of layer `number`; layers count from 1, inside a stacked period from 1 in each."""
        return self._moved(first=self._first, layer=self._first + number)

    def stacked(
        self, period: Callable[[Initializer], nnx.Module], *, repeats: int, layers: int, first: int
    ) -> nnx.Module:
        """`repeats` copies of a period of `layers` layers as one module, layer `first` the first; weights are [repeats,
        …].

        Each slice has the numbers that the unrolled layer would have. The leading dim is not sharded.
        """
        graph = nnx.graphdef(nnx.eval_shape(lambda: period(self._moved(first=0, layer=0))))

        def weights_of(repeat: jax.Array) -> nnx.State:
            return nnx.state(period(self._moved(first=first - 1 + layers * repeat, layer=0)))

        stacked = jax.vmap(weights_of)(jnp.arange(repeats))
        return nnx.merge(graph, jax.tree.map(_with_leading_dim, stacked, is_leaf=_is_variable))

    def _draw(self, key: jax.Array, std: float, shape: tuple[int, ...], spec: PartitionSpec, dtype: str) -> jax.Array:
        """On one device a row of numbers that is cut afterwards: the same numbers, and one compilation for a size."""
        if self._mesh is None or self._mesh.size > 1:
            return _drawn(shape, dtype, self._place(spec))(key, std)
        row = _drawn((math.prod(shape),), dtype, self._place(PartitionSpec()))(key, std)
        return _shaped(shape, self._place(spec))(row)

    def _filled(self, value: float, shape: tuple[int, ...], spec: PartitionSpec, dtype: str) -> jax.Array:
        self._made += 1
        return _full(shape, dtype, self._place(spec))(value)

    def _place(self, spec: PartitionSpec) -> NamedSharding | None:
        return None if self._mesh is None else NamedSharding(self._mesh, spec)

    def _moved(self, *, first: int | jax.Array, layer: int | jax.Array) -> Initializer:
        moved = object.__new__(Initializer)
        moved._root, moved._mesh, moved._first, moved._layer, moved._made = self._root, self._mesh, first, layer, 0
        return moved


def abstract_state(model: Callable[[Initializer], nnx.Module], seed: int) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """The graph of the model, its trained weights and its other state, as shapes and dtypes: nothing is computed."""
    graph, weights, other = nnx.split(nnx.eval_shape(lambda: model(Initializer(seed))), nnx.Param, ...)
    return graph, weights, other


def shardings(state: nnx.State, mesh: Mesh) -> nnx.State:
    """A NamedSharding on `mesh` in the place of every array, from the spec that it was made with."""

    def sharding(variable: nnx.Variable[jax.Array]) -> nnx.Variable[jax.Array]:
        return variable.replace(NamedSharding(mesh, variable.get_metadata("spec")))

    return jax.tree.map(sharding, state, is_leaf=_is_variable)


def init_sharded(program: Program, mesh: Mesh) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """The graph, the trained weights and the other state of the program's model, each device making its own shards."""
    with jax.set_mesh(mesh):
        graph, weights, other = nnx.split(program.model(Initializer(program.training.seed, mesh)), nnx.Param, ...)
    return graph, weights, other


@cache
def _drawn(shape: tuple[int, ...], dtype: str, place: NamedSharding | None) -> Callable[..., jax.Array]:
    """Draws normal numbers from a key, with a standard deviation."""

    def draw(key: jax.Array, std: float) -> jax.Array:
        return (std * jax.random.normal(key, shape, jnp.float32)).astype(dtype)

    return jax.jit(draw, out_shardings=place)


@cache
def _shaped(shape: tuple[int, ...], place: NamedSharding | None) -> Callable[[jax.Array], jax.Array]:
    """Gives an array a shape."""
    return jax.jit(lambda row: jnp.reshape(row, shape), out_shardings=place)


@cache
def _full(shape: tuple[int, ...], dtype: str, place: NamedSharding | None) -> Callable[..., jax.Array]:
    """Fills an array with one number."""
    return jax.jit(lambda value: jnp.full(shape, value, dtype), out_shardings=place)


def _is_variable(node: object) -> bool:
    return isinstance(node, nnx.Variable)


def _with_leading_dim(variable: nnx.Variable[jax.Array]) -> nnx.Variable[jax.Array]:
    return variable.replace(spec=PartitionSpec(None, *variable.get_metadata("spec")))
