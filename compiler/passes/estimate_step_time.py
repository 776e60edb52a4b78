"""FLOPs, activations, collectives, memory and hardware -> StepTimePlan: seconds of one training step.

Matrix products take the longer of their compute and of reading their weights; what lies between them, rows on their way
to experts, the optimizer's update and the network come on top, one after the other. With a calibration of the machine
the rates are measured ones. Non-goal: scheduling; `overlapped_seconds` only says what hiding all traffic would leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import fsum, prod

from moec.compiler.formulas.collectives import latency_seconds, ring_all_to_all_seconds, transfer_seconds
from moec.compiler.formulas.memory import BYTES_PER_ELEMENT, local_elements
from moec.compiler.formulas.network import Network, fast_devices, network_of
from moec.compiler.formulas.roofline import (
    CUDNN_BY_LENGTHS,
    CUDNN_BY_MASK,
    TRITON_EXPERTS,
    copy_bytes_per_second,
    devices_that_share,
    matmul_flops_per_second,
    operation_flops_per_second,
    peak_flops_per_second,
)
from moec.compiler.formulas.traffic import update_bytes
from moec.compiler.passes.choose_kernels import choose_attention, told_documents
from moec.compiler.passes.count_traffic import traffic_rows
from moec.compiler.passes.places import place
from moec.compiler.plan import (
    ActivationPlan,
    BatchPlan,
    CollectivePlan,
    FlopCounts,
    FlopRow,
    MemoryPlan,
    MeshPlan,
    RoutingPlan,
    StackPlan,
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
    "depth router": "router",
    "experts": "experts",
    "shared experts": "shared_experts",
    "head": "head",
}
"""Whose weights an operation reads; the other projections of attention read theirs with `attention q`."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one step does, as the passes before have it."""

    stack: StackPlan
    mesh: MeshPlan
    batch: BatchPlan
    tensors: tuple[TensorPlan, ...]
    flops: FlopCounts
    activations: tuple[ActivationPlan, ...]
    collectives: tuple[CollectivePlan, ...]
    memory: MemoryPlan
    routing: RoutingPlan | None


def estimate_step_time(run: RunSpec, work: Work) -> tuple[StepTimePlan | None, tuple[Diagnostic, ...]]:
    """Seconds per step with the rows that make them up. Errors: MOE7104 where the chip's rate is unknown."""
    hardware, dtype, mesh = run.mesh.hardware, run.model.dtype.compute, work.mesh
    if not matmul_flops_per_second(hardware, dtype):
        return None, (codes.rate_unknown(place(run, "mesh.hardware"), hardware.name, dtype),)
    shared = devices_that_share(hardware, mesh.devices)
    rows = (
        *(operation_row(run, work, row, shared) for row in work.flops.rows),
        *traffic_times(run, work, shared),
        *optimizer_rows(run, work.memory, shared),
        *fixed_rows(run, work),
        *network_rows(run, mesh, work.collectives),
    )
    # fsum: the built-in sum of floats differs between Python 3.11 and 3.12.
    seconds = fsum(row.seconds for row in rows)
    network = fsum(row.seconds for row in rows if row.cause == "network")
    peak = peak_flops_per_second(hardware, dtype) * mesh.devices
    mfu = float(work.flops.train_per_token * work.batch.tokens) / (seconds * peak) if peak else 0.0
    calibrated = hardware.calibration is not None
    return StepTimePlan(seconds, max(seconds - network, network), rows, mfu, calibrated), ()


def operation_row(run: RunSpec, work: Work, row: FlopRow, shared: int) -> TimeRow:
    """One operation on one device, forward, backward and what is made again: FLOPs at its rate, or its weights read
    once per pass."""
    hardware, dtype, mesh = run.mesh.hardware, run.model.dtype.compute, work.mesh
    forward, again = row.executed_flops_per_token, row.recomputed_flops_per_token
    passes = 3 + (Fraction(again) / forward if again else 0)
    flops = Fraction((3 * forward + again) * work.batch.tokens * shared) / mesh.devices
    compute = float(flops) / (operation_flops_per_second(hardware, dtype, row.operation) * kernel_share(run, work, row))
    read = float(passes) * work.batch.micro_batches * weight_bytes(mesh.axes, work.tensors, row.operation, dtype)
    bandwidth = copy_bytes_per_second(hardware)
    memory = read / bandwidth if bandwidth else 0.0
    return TimeRow(row.operation, "memory" if memory > compute else "compute", max(memory, compute))


def kernel_share(run: RunSpec, work: Work, row: FlopRow) -> float:
    """What cuDNN reaches of a large matmul's rate in the scores of attention, and Triton in experts; 1 for all else,
    and where a calibration has measured it."""
    if run.mesh.hardware.calibration is not None:
        return 1.0
    if row.operation == "experts" and work.routing is not None and work.routing.grouped_matmul == "triton":
        return TRITON_EXPERTS
    if row.operation == "attention scores, values" and choose_attention(run, work.mesh)[0] == "cudnn":
        return CUDNN_BY_MASK if told_documents(run, "cudnn") is None else CUDNN_BY_LENGTHS
    return 1.0


def weight_bytes(axes: Mapping[str, int], tensors: tuple[TensorPlan, ...], operation: str, dtype: str) -> int:
    """Bytes of the weights that an operation multiplies with, whole over `fsdp`. A tied head reads the table."""
    whole = {**axes, "fsdp": 1}
    role = ROLE_OF_OPERATION.get(operation, "")
    if role == "head" and all(tensor.role != "head" for tensor in tensors):
        role = "embedding"
    return BYTES_PER_ELEMENT[dtype] * sum(local_elements(tensor, whole) for tensor in tensors if tensor.role == role)


def traffic_times(run: RunSpec, work: Work, shared: int) -> Iterator[TimeRow]:
    """What is read and written between matrix products, where the rate of that is known."""
    hardware = run.mesh.hardware
    calibration, plain = hardware.calibration, copy_bytes_per_second(hardware)
    for row in traffic_rows(run, work.stack, work.mesh, work.batch, work.flops, work.activations):
        rate = plain
        if calibration is not None:
            rate = calibration.dispatch_bytes_per_second if row.is_dispatch else calibration.traffic_bytes_per_second
        if rate:
            yield TimeRow(row.what, "memory", row.moved_bytes * shared / rate)


def optimizer_rows(run: RunSpec, memory: MemoryPlan, shared: int) -> Iterator[TimeRow]:
    """The update reads gradients, and reads and writes weights and state."""
    hardware = run.mesh.hardware
    calibration = hardware.calibration
    rate = copy_bytes_per_second(hardware) if calibration is None else calibration.update_bytes_per_second
    if rate:
        moved = update_bytes(memory.gradients, memory.params, memory.optimizer)
        yield TimeRow("optimizer", "memory", moved * shared / rate)


def fixed_rows(run: RunSpec, work: Work) -> Iterator[TimeRow]:
    """What passes whatever the sizes are, where it was measured."""
    calibration = run.mesh.hardware.calibration
    if calibration is not None:
        layers = len(work.stack.layers) * work.batch.micro_batches
        yield TimeRow("starting operations", "overhead", calibration.step_seconds + layers * calibration.layer_seconds)


def network_rows(run: RunSpec, mesh: MeshPlan, collectives: tuple[CollectivePlan, ...]) -> Iterator[TimeRow]:
    """One row per kind of collective and axis whose network has a known bandwidth."""
    hardware = run.mesh.hardware
    fast = fast_devices(hardware, mesh.devices, run.mesh.slices)
    totals: dict[tuple[str, str], list[CollectivePlan]] = {}
    for collective in collectives:
        totals.setdefault((collective.op, collective.axis), []).append(collective)
    for (op, axis), rows in totals.items():
        names = tuple(axis.split("+"))
        network = network_of(hardware, mesh.axes, names, fast)
        if network.bytes_per_second:
            n = prod(mesh.axes[name] for name in names)
            yield TimeRow(f"{op} over {axis}", "network", collective_seconds(op, n, rows, network))


def collective_seconds(op: str, n: int, rows: list[CollectivePlan], network: Network) -> float:
    """Of all the collectives of one kind over one group of `n` devices, one after the other."""
    sent = sum(row.count * row.bytes for row in rows)
    starts = sum(row.count for row in rows) * latency_seconds(op, n, network.latency_seconds, ring=network.ring)
    if op == "all-to-all" and network.ring:
        return starts + ring_all_to_all_seconds(sent, n, network.bytes_per_second)
    return starts + transfer_seconds(sent, network.bytes_per_second)
