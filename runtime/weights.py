"""From a stored weight to the array that a layer multiplies with: cast to the compute dtype, whole over the fsdp
axis."""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import axis_size, constrain, is_sharded

Weight = nnx.Variable[jax.Array] | jax.Array


def used(weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """The array of `weight` in `dtype`. On a mesh it is gathered over fsdp after the cast, and its gradient is summed
    back onto the fsdp shards (ZeRO-3, Rajbhandari et al. 2020, arXiv 1910.02054)."""
    if not isinstance(weight, nnx.Variable):
        return weight.astype(dtype)
    return whole_over_fsdp(weight[...].astype(dtype), spec_of(weight))


def spec_of(weight: nnx.Variable[jax.Array]) -> PartitionSpec:
    """The sharding of `weight`, without the entry of a leading layer dim that a scan has already taken away."""
    spec = tuple(weight.get_metadata("spec"))
    return PartitionSpec(*spec[max(len(spec) - weight.ndim, 0) :])


def whole_over_fsdp(array: jax.Array, spec: PartitionSpec) -> jax.Array:
    """`array`, stored as `spec` says, gathered over fsdp; its gradient is summed back onto the shards."""
    return _gathered(array, spec) if is_sharded() and "fsdp" in jax.tree.leaves(tuple(spec)) else array


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gathered(array: jax.Array, spec: PartitionSpec) -> jax.Array:
    """An explicit all-gather where `fsdp` has a dim of its own: some versions of XLA gather over all axes instead."""
    whole = without_axis(spec, "fsdp")
    if "fsdp" not in tuple(spec) or axis_size("fsdp") == 1:
        return constrain(array, whole)
    gather = partial(jax.lax.all_gather, axis_name="fsdp", axis=tuple(spec).index("fsdp"), tiled=True)
    return jax.shard_map(gather, in_specs=spec, out_specs=whole, check_vma=False)(array)


def _gathered_forward(array: jax.Array, spec: PartitionSpec) -> tuple[jax.Array, None]:
    return _gathered(array, spec), None


def _gathered_backward(spec: PartitionSpec, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (constrain(gradient, spec),)


_gathered.defvjp(_gathered_forward, _gathered_backward)


def without_axis(spec: PartitionSpec, axis: str) -> PartitionSpec:
    """`spec` with `axis` taken out of every dim."""
    return PartitionSpec(*(_dim_without(entry, axis) for entry in spec))


def _dim_without(entry: str | tuple[str, ...] | None, axis: str) -> str | tuple[str, ...] | None:
    if isinstance(entry, tuple):
        return tuple(name for name in entry if name != axis) or None
    return None if entry == axis else entry
