"""FLOPs, collectives, memory and hardware -> StepTimePlan: a roofline estimate of one training step.

Each operation takes the longer of its compute and its memory traffic, collectives come on top; nothing overlaps.
It ranks layouts and sizes budgets; it is not a promise: `calibrated` is False until measurements stand behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import fsum, prod

from moec.compiler.formulas.collectives import ring_all_to_all_seconds, transfer_seconds
from moec.compiler.formulas.memory import BYTES_PER_ELEMENT, local_elements
from moec.compiler.formulas.network import fast_devices, network_of
from moec.compiler.formulas.roofline import matmul_flops_per_second, peak_flops_per_second
from moec.compiler.passes.places import place
from moec.compiler.plan import (
    BatchPlan,
    CollectivePlan,
    FlopCounts,
    FlopRow,
    MemoryPlan,
    MeshPlan,
    StepTimePlan,
    TensorPlan,
    TimeRow,
)
from moec.compiler.typed import RunSpec
from moec.spec.codes import memory as codes
from moec.spec.diagnostics import Diagnostic

ROLE_OF_OPERATION: Mapping[str, str] = {
    "attention q": "attention",
    "ffn": "ffn",
    "router": "router",
    "experts": "experts",
    "shared experts": "shared_experts",
    "head": "head",
}
"""Whose weights an operation reads; the other projections of attention read theirs with `attention q`."""


def estimate_step_time(
    run: RunSpec,
    mesh: MeshPlan,
    batch: BatchPlan,
    tensors: tuple[TensorPlan, ...],
    flops: FlopCounts,
    collectives: tuple[CollectivePlan, ...],
    memory: MemoryPlan,
) -> tuple[StepTimePlan | None, tuple[Diagnostic, ...]]:
    """Seconds per step with the rows that make them up. Errors: MOE7104 where the chip's rate is unknown."""
    hardware, dtype = run.mesh.hardware, run.model.dtype.compute
    if not matmul_flops_per_second(hardware, dtype):
        return None, (codes.rate_unknown(place(run, "mesh.hardware"), hardware.name, dtype),)
    rows = (
        *(operation_row(run, mesh, batch, tensors, row, recompute_factor(flops)) for row in flops.rows),
        *optimizer_rows(run, memory),
        *network_rows(run, mesh, collectives),
    )
    # fsum: the built-in sum of floats differs between Python 3.11 and 3.12.
    seconds = fsum(row.seconds for row in rows)
    peak = peak_flops_per_second(hardware, dtype) * mesh.devices
    mfu = float(flops.train_per_token * batch.tokens) / (seconds * peak) if peak else 0.0
    return StepTimePlan(seconds, rows, mfu, False), ()


def recompute_factor(flops: FlopCounts) -> Fraction:
    """Executed training FLOPs, with what is made again, against three times the executed forward pass."""
    forward = sum((Fraction(row.executed_flops_per_token) for row in flops.rows), Fraction())
    return Fraction(flops.executed_train_per_token) / forward


def operation_row(
    run: RunSpec, mesh: MeshPlan, batch: BatchPlan, tensors: tuple[TensorPlan, ...], row: FlopRow, passes: Fraction
) -> TimeRow:
    """One operation on one device, forward and backward: FLOPs at the matmul rate, or its weights read once per
    pass."""
    hardware, dtype = run.mesh.hardware, run.model.dtype.compute
    flops = passes * Fraction(row.executed_flops_per_token) * batch.tokens / mesh.devices
    compute = float(flops) / matmul_flops_per_second(hardware, dtype)
    read = float(passes) * batch.micro_batches * weight_bytes(mesh.axes, tensors, row.operation, dtype)
    memory = read / hardware.hbm_bytes_per_second if hardware.hbm_bytes_per_second else 0.0
    return TimeRow(row.operation, "memory" if memory > compute else "compute", max(memory, compute))


def weight_bytes(axes: Mapping[str, int], tensors: tuple[TensorPlan, ...], operation: str, dtype: str) -> int:
    """Bytes of the weights that an operation multiplies with, whole over `fsdp`. A tied head reads the table."""
    whole = {**axes, "fsdp": 1}
    role = ROLE_OF_OPERATION.get(operation, "")
    if role == "head" and all(tensor.role != "head" for tensor in tensors):
        role = "embedding"
    return BYTES_PER_ELEMENT[dtype] * sum(local_elements(tensor, whole) for tensor in tensors if tensor.role == role)


def optimizer_rows(run: RunSpec, memory: MemoryPlan) -> Iterator[TimeRow]:
    """The update reads gradients, and reads and writes weights and state."""
    bandwidth = run.mesh.hardware.hbm_bytes_per_second
    if bandwidth:
        moved = memory.gradients + 2 * (memory.params + memory.optimizer)
        yield TimeRow("optimizer", "memory", moved / bandwidth)


def network_rows(run: RunSpec, mesh: MeshPlan, collectives: tuple[CollectivePlan, ...]) -> Iterator[TimeRow]:
    """One row per kind of collective and axis whose network has a known bandwidth."""
    hardware = run.mesh.hardware
    fast = fast_devices(hardware, mesh.devices, run.mesh.slices)
    totals: dict[tuple[str, str], int] = {}
    for collective in collectives:
        key = (collective.op, collective.axis)
        totals[key] = totals.get(key, 0) + collective.count * collective.bytes
    for (op, axis), sent in totals.items():
        names = tuple(axis.split("+"))
        network = network_of(hardware, mesh.axes, names, fast)
        if not network.bytes_per_second:
            continue
        n = prod(mesh.axes[name] for name in names)
        if op == "all-to-all" and network.ring:
            seconds = ring_all_to_all_seconds(sent, n, network.bytes_per_second)
        else:
            seconds = transfer_seconds(sent, network.bytes_per_second)
        yield TimeRow(f"{op} over {axis}", "network", seconds)
