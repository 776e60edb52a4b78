"""The device mesh of a program and the sharding of named arrays on it."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "expert", "seq", "model")
BATCH_AXES = ("data", "fsdp", "expert")


@dataclass(frozen=True, slots=True)
class MeshShape:
    """The sizes of the five mesh axes, outermost first, and the catalogue's name of the chip."""

    hardware: str
    data: int
    fsdp: int
    expert: int
    seq: int
    model: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The axis sizes in the order of AXES."""
        return (self.data, self.fsdp, self.expert, self.seq, self.model)

    @property
    def devices(self) -> int:
        """How many JAX devices the mesh has."""
        return self.data * self.fsdp * self.expert * self.seq * self.model


def make_mesh(shape: MeshShape, devices: list[jax.Device] | None = None) -> Mesh:
    """The mesh over `devices`, by default the first of all the process sees; sharding is left to XLA (axis type
    Auto)."""
    chosen = devices if devices is not None else jax.devices()[: shape.devices]
    return jax.make_mesh(shape.sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=chosen)


def is_sharded() -> bool:
    """Whether a mesh of more than one device is in use (`jax.set_mesh`)."""
    mesh = jax.sharding.get_abstract_mesh()
    return not mesh.empty and mesh.size > 1


def axis_size(name: str) -> int:
    """The size of one mesh axis in use; 1 where no mesh is in use."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else int(mesh.shape[name])


def constrain(array: jax.Array, spec: PartitionSpec) -> jax.Array:
    """`array` with its sharding pinned to `spec` on the mesh in use; the same array where no mesh or one device is in
    use."""
    if not is_sharded():
        return array
    return jax.lax.with_sharding_constraint(array, spec)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array of which every device has the whole."""
    return NamedSharding(mesh, PartitionSpec())
