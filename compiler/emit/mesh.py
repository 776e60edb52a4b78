"""MeshPlan -> MESH and RESIDUAL of the program."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, comment, listed
from moec.compiler.emit.layout import given, partition_spec
from moec.compiler.emit.weights import sharded_dims
from moec.compiler.places import Places
from moec.compiler.plan import ActivationPlan, Plan
from moec.compiler.typed import MESH_AXES, MeshSpec
from moec.compiler.units import plural


def mesh(plan: Plan, places: Places) -> Code:
    """The mesh, and the sharding of what flows between blocks."""
    axes = plan.mesh.axes
    product = " x ".join(f"{axis} {axes[axis]:,}" for axis in MESH_AXES)
    residual = residual_stream(plan)
    return code(
        """
{why}
MESH = MeshShape({arguments})

# What flows between blocks: sequences over data, fsdp and expert, positions over seq, width over model.
RESIDUAL = {residual}  {dims}
""",
        why=comment(f"{_devices(plan.run.mesh)} = {product}{places.mention('mesh.axes')}"),
        arguments=listed(
            given("hardware", plan.run.mesh.hardware.name), *(given(axis, axes[axis]) for axis in MESH_AXES)
        ),
        residual=partition_spec(residual.sharding),
        dims=comment(sharded_dims(residual.dims, residual.sharding)),
    )


def residual_stream(plan: Plan) -> ActivationPlan:
    """The activation that flows between blocks."""
    return next(activation for activation in plan.activations if activation.name == "residual_BSD")


def _devices(spec: MeshSpec) -> str:
    topology = "x".join(str(size) for size in spec.topology or ())
    shape = f" of topology {topology}" if topology else ""
    slices = f" in {plural(spec.slices, 'slice')}" if spec.slices > 1 else ""
    return f"{plural(spec.devices, 'device')} ({spec.hardware.name}{shape}{slices})"
