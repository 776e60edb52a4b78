"""RunSpec -> MeshPlan: the size of every mesh axis.

The one axis that is `auto` becomes what the others leave over; among several the planner has chosen already.
"""

from __future__ import annotations

from math import prod

from moec.compiler.passes.places import place
from moec.compiler.plan import MeshPlan
from moec.compiler.typed import MESH_AXES, RunSpec
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic


def arrange_mesh(run: RunSpec) -> tuple[MeshPlan | None, tuple[Diagnostic, ...]]:
    """Axes whose product is the number of devices. Errors: MOE4101 to MOE4105."""
    told = (*check_topology(run), *check_slices(run), *check_axes(run))
    if told:
        return None, told
    axes = {axis: run.mesh.axes[axis] for axis in MESH_AXES}
    written = prod(size for size in axes.values() if size != "auto")
    left_over = run.mesh.devices // written
    sizes = {axis: left_over if size == "auto" else size for axis, size in axes.items()}
    chosen = "".join(f"{axis} = {left_over}" for axis, size in axes.items() if size == "auto")
    why = f"{chosen}: {run.mesh.devices} devices / {written} of the written axes" if chosen else ""
    return MeshPlan(sizes, run.mesh.devices, why), ()


def check_axes(run: RunSpec) -> tuple[Diagnostic, ...]:
    """Errors where the axes cannot multiply to the number of devices."""
    devices = run.mesh.devices
    automatic = [axis for axis in MESH_AXES if run.mesh.axes[axis] == "auto"]
    sizes = {axis: size for axis in MESH_AXES if (size := run.mesh.axes[axis]) != "auto"}
    written = prod(sizes.values())
    named = {axis: size for axis, size in sizes.items() if size > 1}
    if automatic and devices % written:
        return (codes.auto_axis_does_not_divide(place(run, f"mesh.axes.{automatic[0]}"), automatic[0], devices, named),)
    if not automatic and written != devices:
        devices_at = place(run, "mesh.devices" if run.mesh.topology is None else "mesh.topology")
        axes_at = place(run, f"mesh.axes.{list(named)[-1]}") if named else devices_at
        return (codes.axes_are_not_devices(axes_at, named, devices, devices_at),)
    return ()


def check_topology(run: RunSpec) -> tuple[Diagnostic, ...]:
    """Error where the chip is not offered in this shape."""
    hardware, topology = run.mesh.hardware, run.mesh.topology
    if topology is None or not hardware.topologies or topology in hardware.topologies:
        return ()
    return (codes.topology_not_offered(place(run, "mesh.topology"), hardware.name, topology, hardware.topologies),)


def check_slices(run: RunSpec) -> tuple[Diagnostic, ...]:
    """Error where the devices are not equally many in every slice."""
    if run.mesh.devices % run.mesh.slices == 0:
        return ()
    return (codes.devices_not_per_slice(place(run, "mesh.slices"), run.mesh.devices, run.mesh.slices),)
