"""MeshPlan -> MESH, RESIDUAL and, where a model axis cuts the width, WHOLE of the program."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, comment, lines, listed
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
    known = code(
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
    return lines(known, _whole(residual) if cuts_width(plan) else None)


def cuts_width(plan: Plan) -> bool:
    """Whether the width of the residual stream lies on several devices."""
    return plan.mesh.axes["model"] > 1


def gathered(plan: Plan) -> Code | None:
    """The line that gathers a branch's input once for all its products; None where nothing cuts the width."""
    return code("x_BSD = constrain(x_BSD, WHOLE)") if cuts_width(plan) else None


def scattered(plan: Plan, product: Code) -> Code:
    """A branch's output, summed over the model axis where one cuts the width, and back in its place.

    The gradient is gathered once by the same line: left to itself XLA gathers for each product anew.
    """
    whole = code("constrain({product}, WHOLE)", product=product) if cuts_width(plan) else product
    return code("constrain({whole}, RESIDUAL)", whole=whole)


def _whole(residual: ActivationPlan) -> Code:
    sharding = tuple(() if dim == "D" else axes for dim, axes in zip(residual.dims, residual.sharding, strict=True))
    return code(
        """
# What a branch computes with: the whole width on every device of the model axis.
WHOLE = {spec}  {dims}
""",
        spec=partition_spec(sharding),
        dims=comment(sharded_dims(residual.dims, sharding)),
    )


def residual_stream(plan: Plan) -> ActivationPlan:
    """The activation that flows between blocks."""
    return next(activation for activation in plan.activations if activation.name == "residual_BSD")


def _devices(spec: MeshSpec) -> str:
    topology = "x".join(str(size) for size in spec.topology or ())
    shape = f" of topology {topology}" if topology else ""
    slices = f" in {plural(spec.slices, 'slice')}" if spec.slices > 1 else ""
    return f"{plural(spec.devices, 'device')} ({spec.hardware.name}{shape}{slices})"
