"""Plan -> the four pictures of it, as numbers and words: memory, step time, mesh, laws. Nothing is drawn here.

`svg.py` and `svg_law.py` draw them for a page, `moec.cli.plan_pictures` as PNGs; `law_figure.py` works out the laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from moec.compiler.formulas.network import fast_devices, network_of
from moec.compiler.plan import Plan
from moec.compiler.report.mesh import CARRIES
from moec.compiler.typed import MESH_AXES
from moec.compiler.units import duration, share, size


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar; `kind` is shared by pieces that look alike."""

    label: str
    value: float
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """Parts of one device's memory, in bytes. `limit` 0: the memory of the hardware is not known."""

    title: str
    note: str
    parts: tuple[Part, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class TimeFigure:
    """Parts of one step in seconds, longest first; `kind` is the cause."""

    title: str
    note: str
    parts: tuple[Part, ...]


NOTHING_CUT: Final = "Nothing is cut and nothing is sent."
"""What a mesh without bands says."""


@dataclass(frozen=True, slots=True)
class AxisBand:
    """One mesh axis. `sent` is what a device sends over it in a step, "" where nothing; `slow` tells of its network."""

    axis: str
    size: int
    carries: str
    sent: str
    slow: bool

    @property
    def name(self) -> str:
        """`expert 8`, and which network it is on where that is the slow one."""
        return f"{self.axis} {self.size}{' over the slow network' if self.slow else ''}"

    @property
    def sending(self) -> str:
        """What a device sends, as a sentence."""
        return f"a device sends: {self.sent}" if self.sent else "nothing is sent over it"

    def cells(self, most: int) -> tuple[str, ...]:
        """The devices along the axis by number, at most `most`; the last but one of a long axis stands for those left
        out."""
        if self.size <= most:
            return tuple(str(device) for device in range(self.size))
        return (*(str(device) for device in range(most - 2)), "…", str(self.size - 1))


@dataclass(frozen=True, slots=True)
class MeshFigure:
    title: str
    note: str
    bands: tuple[AxisBand, ...]


def memory_figure(plan: Plan) -> MemoryFigure:
    """What fills a device, against its memory where that is known."""
    memory = plan.memory
    parts = tuple(
        Part(name, float(amount), f"{size(amount)} ({share(amount, memory.total)})", name)
        for name, amount in (
            ("parameters", memory.params),
            ("gradients", memory.gradients),
            ("optimizer", memory.optimizer),
            ("activations", memory.activations),
        )
    )
    filled = f"{size(memory.total)} of {size(memory.hbm)}, {share(memory.total, memory.hbm)}"
    unknown = f"{size(memory.total)}; the memory of this hardware is not known"
    return MemoryFigure("Memory of a device", filled if memory.hbm else unknown, parts, memory.hbm)


def time_figure(plan: Plan) -> TimeFigure:
    """Where the time of a step goes."""
    step = plan.step_time
    rows = sorted(step.breakdown, key=lambda row: -row.seconds)
    parts = tuple(
        Part(row.what, row.seconds, f"{duration(row.seconds)} ({share(row.seconds, step.seconds)})", row.cause)
        for row in rows
        if row.seconds > 0
    )
    trust = "rates measured on this machine" if step.calibrated else "not calibrated"
    sends = any(row.cause == "network" for row in step.breakdown)
    hidden = f"; {duration(step.overlapped_seconds)} if all sending hides" if sends else ""
    return TimeFigure("Time of a step", f"{duration(step.seconds)}, {trust}{hidden}", parts)


def mesh_figure(plan: Plan) -> MeshFigure:
    """The axes, outermost first, with what lies on each and what goes over it."""
    spec, axes = plan.run.mesh, plan.mesh.axes
    bands = tuple(
        AxisBand(axis, axes[axis], CARRIES[axis], _sent_over(plan, axis), _is_slow(plan, axis))
        for axis in MESH_AXES
        if axes[axis] > 1
    )
    topology = f", {'x'.join(str(side) for side in spec.topology)}" if spec.topology else ""
    product = " x ".join(f"{band.axis} {band.size}" for band in bands) or "one device"
    return MeshFigure(f"Mesh: {plan.mesh.devices:,} x {spec.hardware.title}{topology}", product, bands)


def _sent_over(plan: Plan, axis: str) -> str:
    """`all-to-all 1.5 GiB, all-gather 20 MiB`: what a device sends in a step in groups that the axis is in."""
    sent: dict[str, int] = {}
    for row in plan.collectives:
        if axis in row.axis.split("+"):
            sent[row.op] = sent.get(row.op, 0) + row.count * row.bytes
    ranked = sorted(sent.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{op} {size(amount)}" for op, amount in ranked)


def _is_slow(plan: Plan, axis: str) -> bool:
    hardware = plan.run.mesh.hardware
    fast = fast_devices(hardware, plan.mesh.devices, plan.run.mesh.slices)
    return network_of(hardware, plan.mesh.axes, (axis,), fast).slow
