"""Run and plan parts -> warnings: what compiles and trains, and is probably not what was meant or what the chip
likes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, prod
from typing import Final

from moec.compiler.formulas.capacity import expected_slots, onehot_overhead
from moec.compiler.formulas.flops import matrices_of
from moec.compiler.formulas.memory import BYTES_PER_ELEMENT
from moec.compiler.formulas.network import axis_reach, fast_devices
from moec.compiler.formulas.roofline import compute_bound_rows
from moec.compiler.passes.arrange_layers import is_routed
from moec.compiler.passes.places import place
from moec.compiler.plan import BatchPlan, MeshPlan, RoutingPlan
from moec.compiler.typed import ExpertsSpec, RunSpec
from moec.spec.codes import lints as codes
from moec.spec.diagnostics import Diagnostic

MAX_DISPATCH_OVERHEAD: Final = Fraction(1, 10)
"""Source: reference/sharding-3d.md (one-hot dispatch stays below a tenth of the experts while S <= 0.15 H)."""


def check_lints(run: RunSpec, mesh: MeshPlan, batch: BatchPlan, routing: RoutingPlan | None) -> tuple[Diagnostic, ...]:
    """Warnings: MOE9101 to MOE9105, MOE9201 to MOE9204."""
    experts = run.model.experts
    if experts is None or routing is None:
        return (*check_ends(run), *check_network(run, mesh), *check_tiles(run, mesh, routing))
    return (
        *check_routing(run, experts, routing),
        *check_dispatch(run, experts, routing),
        *check_rows(run, mesh, batch, experts),
        *check_network(run, mesh),
        *check_tiles(run, mesh, routing),
    )


def check_routing(run: RunSpec, experts: ExpertsSpec, routing: RoutingPlan) -> Iterator[Diagnostic]:
    """Slack, balance, and a router that learns."""
    if experts.capacity_factor is not None and routing.capacity is not None and routing.slots_per_token is not None:
        even = expected_slots(experts.top_k, experts.group_size, Fraction(1), experts.n_experts)
        if routing.capacity <= ceil(even):
            at = place(run, "model.experts.capacity_factor")
            yield codes.no_slack(at, routing.capacity, routing.slots_per_token, experts.top_k)
    if experts.top_k == experts.n_experts:
        yield codes.all_experts_chosen(place(run, "model.experts.top_k"), experts.n_experts)
    elif experts.score == "softmax" and not experts.balance_loss and not experts.bias_update_rate:
        yield codes.no_balance(place(run, "model.experts.balance_loss"))
    if experts.top_k == 1 and experts.renormalize:
        yield codes.router_untrained(place(run, "model.experts.renormalize"), "divides the one weight by itself")
    elif experts.top_k == 1 and experts.order == "topk_then_score" and experts.score == "softmax":
        yield codes.router_untrained(place(run, "model.experts.order"), "a softmax over one logit is 1")


def check_ends(run: RunSpec) -> Iterator[Diagnostic]:
    """The first layer and the last take every token."""
    routing, n_layers = run.model.depth_routing, run.model.n_layers
    ends = tuple(layer for layer in sorted({1, n_layers}) if is_routed(layer, routing))
    if routing is None or not ends:
        return
    between = [offset for offset in range(routing.every) if offset not in (1 % routing.every, n_layers % routing.every)]
    advice = f"write offset = {between[0]}" if between else "make n_layers odd, with every = 2 and offset = 0"
    yield codes.end_is_routed(place(run, "model.depth_routing.offset"), ends, n_layers, (advice,))


def check_dispatch(run: RunSpec, experts: ExpertsSpec, routing: RoutingPlan) -> Iterator[Diagnostic]:
    """One-hot dispatch is dear for large groups."""
    matrices = matrices_of(experts.activation)
    overhead = onehot_overhead(experts.group_size, experts.d_ff, matrices)
    if routing.dispatch == "onehot" and overhead > MAX_DISPATCH_OVERHEAD:
        at, group_at = place(run, "model.experts.dispatch"), place(run, "model.experts.group_size")
        best = int(MAX_DISPATCH_OVERHEAD * matrices * experts.d_ff / 2)
        yield codes.dispatch_overhead(at, overhead, experts.group_size, experts.d_ff, best, group_at)


def check_rows(run: RunSpec, mesh: MeshPlan, batch: BatchPlan, experts: ExpertsSpec) -> Iterator[Diagnostic]:
    """Rows that one expert multiplies at a time, at even load, against the chip's compute-bound point.

    Source: an expert sees the micro-batch's choices of all devices that share it: tokens * top_k / n_experts over
    data and fsdp.
    """
    hardware, dtype = run.mesh.hardware, run.model.dtype.compute
    needed = compute_bound_rows(hardware, dtype, BYTES_PER_ELEMENT[dtype])
    shares = mesh.axes["data"] * mesh.axes["fsdp"] * mesh.axes["seq"]
    tokens = batch.micro_sequences * run.model.seq_len
    rows = tokens * experts.top_k / (experts.n_experts * shares)
    if rows < needed:
        yield codes.expert_below_compute_bound(place(run, "model.experts.n_experts"), rows, needed, hardware.name)


def check_network(run: RunSpec, mesh: MeshPlan) -> Iterator[Diagnostic]:
    """All-to-alls and the gathers of every branch belong on the fast links."""
    hardware = run.mesh.hardware
    fast = fast_devices(hardware, mesh.devices, run.mesh.slices)
    for axis in ("expert", "model"):
        reach = axis_reach(mesh.axes, axis)
        if mesh.axes[axis] > 1 and reach > fast:
            at = place(run, f"mesh.axes.{axis}")
            yield codes.crosses_slow_network(at, axis, mesh.axes[axis], reach, fast, hardware.name)


def check_tiles(run: RunSpec, mesh: MeshPlan, routing: RoutingPlan | None) -> Iterator[Diagnostic]:
    """Lengths that matmuls see on one device, against the chip's tile (rows, columns)."""
    for path, total, parts, tile in tiled_lengths(run, mesh, routing):
        if total // parts % tile:
            name = "capacity" if path.endswith("capacity_factor") else path.rpartition(".")[2]
            yield codes.not_a_tile(place(run, path), name, total // parts, total, tile, run.mesh.hardware.name)


def tiled_lengths(run: RunSpec, mesh: MeshPlan, routing: RoutingPlan | None) -> Iterator[tuple[str, int, int, int]]:
    """Path, length, devices that share it and the chip's tile, of each length that a matmul pads; none on a CPU."""
    hardware, model = run.mesh.hardware, run.model
    if hardware.platform == "cpu" or not prod(hardware.tile):
        return
    rows, columns = hardware.tile
    cut = mesh.axes["model"]
    yield "model.attention.d_head", model.attention.d_head, 1, columns
    if model.ffn is not None:
        yield "model.ffn.d_ff", model.ffn.d_ff, cut, columns
    if model.experts is not None and routing is not None:
        yield "model.experts.d_ff", model.experts.d_ff, cut, columns
        yield "model.experts.capacity_factor", routing.capacity or 0, 1, rows
