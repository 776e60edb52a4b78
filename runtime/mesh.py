"""The device mesh of a program and the sharding of named arrays on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from moec.runtime.failure import RunError

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
    Auto).

    Axes lie along the links of a torus where their sizes allow it, else an axis is cut over several links. Over slices
    of TPUs, which a slow network joins, the outermost axes go.
    Errors: RunError (exit 2) where the slices do not divide the mesh.
    """
    chosen = devices if devices is not None else jax.devices()[: shape.devices]
    slices = len({getattr(device, "slice_index", 0) for device in chosen})
    if slices > 1:
        between = over_slices(shape.sizes, slices)
        inside = tuple(size // part for size, part in zip(shape.sizes, between, strict=True))
        placed = mesh_utils.create_hybrid_device_mesh(inside, between, chosen, allow_split_physical_axes=True)
    else:
        placed = _placed(shape.sizes, chosen)
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _placed(sizes: tuple[int, ...], devices: list[jax.Device]) -> np.ndarray:
    try:
        return mesh_utils.create_device_mesh(sizes, devices)
    except NotImplementedError:  # no axis of the torus, nor several together, have an axis's size
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)


def over_slices(sizes: tuple[int, ...], slices: int) -> tuple[int, ...]:
    """How much of each axis lies between slices: the outermost first, as much as divides it.

    Errors: RunError (exit 2) where the slices do not divide the mesh.
    """
    between = []
    left = slices
    for size in sizes:
        between.append(math.gcd(size, left))
        left //= between[-1]
    if left > 1:
        raise RunError(f"{slices} slices cannot share the mesh axes {sizes} ({', '.join(AXES)}) evenly", 2)
    return tuple(between)


def is_sharded() -> bool:
    """Whether a mesh of more than one device is in use (`jax.set_mesh`)."""
    mesh = jax.sharding.get_abstract_mesh()
    return not mesh.empty and mesh.size > 1


def platform() -> str:
    """The platform of the mesh in use as JAX calls it, also of devices that are not there; "" where none is in use."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    return "" if device is None else str(device.platform)


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
