"""The sections on the devices: what each mesh axis carries, what is sent over it, and what was chosen for `auto`."""

from __future__ import annotations

from typing import Final

from moec.compiler.places import Places
from moec.compiler.plan import CollectivePlan, Plan
from moec.compiler.report.document import Column, Paragraph, Section, Table
from moec.compiler.report.facts import facts
from moec.compiler.typed import MESH_AXES
from moec.compiler.units import plural, size

CARRIES: Final = {
    "data": "sequences; weights are copies",
    "fsdp": "sequences; weights and optimizer state cut along d_model",
    "expert": "sequences before dispatch, experts after it",
    "seq": "positions of a sequence; keys and values are gathered",
    "model": "heads, widths, vocabulary",
}


def mesh_section(plan: Plan, places: Places) -> Section:
    """The axes, outermost first."""
    spec = plan.run.mesh
    topology = f", topology {'x'.join(str(side) for side in spec.topology)}" if spec.topology else ""
    slices = f", {plural(spec.slices, 'slice')}" if spec.slices > 1 else ""
    text = f"{plural(plan.mesh.devices, 'device')} of {spec.hardware.title}{topology}{slices}."
    columns = (Column("axis"), Column("size", "right"), Column("carries"), Column("weights cut by it", "right"))
    rows = tuple((axis, f"{plan.mesh.axes[axis]:,}", CARRIES[axis], str(_cut_by(plan, axis))) for axis in MESH_AXES)
    derived = facts(plan, places, "mesh.devices", *_chosen_axes(plan))
    return Section("Mesh", (Paragraph(text), Table(columns, rows), *derived))


def _chosen_axes(plan: Plan) -> tuple[str, ...]:
    """The derivations of the axes that were `auto`."""
    return tuple(f"mesh.{axis}" for axis in MESH_AXES if plan.run.mesh.axes[axis] == "auto")


def _cut_by(plan: Plan, axis: str) -> int:
    return sum(any(axis in axes for axes in tensor.sharding) for tensor in plan.tensors)


def collectives_section(plan: Plan, places: Places) -> Section:
    """What a device sends in one step, by operation and axis."""
    found = facts(plan, places, "sent_bytes_per_device")
    if not plan.collectives:
        return Section("Collectives of a step", (Paragraph("None: nothing is sent between devices."), *found))
    kinds = dict.fromkeys((row.op, row.axis) for row in plan.collectives)
    columns = (Column("operation"), Column("axis"), Column("count", "right"), Column("sent", "right"), Column("for"))
    rows = tuple(_collective([row for row in plan.collectives if (row.op, row.axis) == kind]) for kind in kinds)
    total = sum(row.count * row.bytes for row in plan.collectives)
    last = ("per device and step", "", f"{sum(row.count for row in plan.collectives):,}", size(total), "")
    return Section("Collectives of a step", (Table(columns, rows, last), *found))


def _collective(rows: list[CollectivePlan]) -> tuple[str, ...]:
    first = rows[0]
    others = f" and {plural(len(rows) - 1, 'other')}" if len(rows) > 1 else ""
    sent = sum(row.count * row.bytes for row in rows)
    return first.op, first.axis, f"{sum(row.count for row in rows):,}", size(sent), f"{first.what}{others}"
