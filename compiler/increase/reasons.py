"""A cause -> why the one run spends more on it than the other, in words with the plan's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, prod
from types import MappingProxyType
from typing import Final

from moec.compiler.formulas.network import fast_devices, network_of
from moec.compiler.increase.causes import (
    DISPATCH,
    EMPTY_SLOTS,
    FEED_FORWARD_ARRAYS,
    MATMULS,
    OPTIMIZER,
    REMADE,
    ROUTER,
    WEIGHT_READS,
    even_routing,
)
from moec.compiler.passes.check_lints import tiled_lengths
from moec.compiler.plan import CollectivePlan, Plan
from moec.compiler.units import count, flops, plural, share, size

FEED_FORWARD_ROWS: Final = ("ffn", "experts", "shared experts")


def reason(cause: str, first: Plan, other: Plan) -> str:
    """Why `other` spends more on `cause` than `first`; "" where there is nothing to say beyond the name."""
    if cause in _REASONS:
        return _REASONS[cause](first, other)
    rows = _collectives(cause, other)
    return _collective(other, rows) if rows else ""


def label(cause: str, first: Plan, other: Plan) -> str:
    """The cause, a collective with what it mostly carries: `all-gather over fsdp (weights)`."""
    rows = _collectives(cause, other) or _collectives(cause, first)
    return f"{cause} ({_carried(_largest(rows).what)})" if rows else cause


def _collectives(cause: str, plan: Plan) -> list[CollectivePlan]:
    operation, _, axis = cause.partition(" over ")
    return [row for row in plan.collectives if (row.op, row.axis) == (operation, axis)]


def _largest(rows: Sequence[CollectivePlan]) -> CollectivePlan:
    return max(rows, key=lambda row: row.count * row.bytes)


def _carried(what: str) -> str:
    """`gradients` for `gradient of Experts.w_up`, `weights` for one weight; other arrays by their own name."""
    if what.startswith("gradient of "):
        return "gradients"
    return (
        "weights"
        if " for the forward pass" in what
        else what.partition(",")[0].partition(" to ")[0].removesuffix(" back")
    )


def _matmuls(first: Plan, other: Plan) -> str:
    per_token = f"{flops(_feed_forward_flops(other))} per token forward against {flops(_feed_forward_flops(first))}"
    experts = other.run.model.experts
    if experts is None:
        return per_token
    shared = f" and {experts.n_shared_experts} shared" if experts.n_shared_experts else ""
    return f"{per_token}: each token takes {experts.top_k} experts{shared} of d_ff {experts.d_ff:,}{_dense(first)}"


def _dense(first: Plan) -> str:
    ffn = first.run.model.ffn
    return f", where `{first.run.name}` has a layer of d_ff {ffn.d_ff:,}" if ffn is not None else ""


def _feed_forward_flops(plan: Plan) -> float:
    return float(sum(row.ideal_flops_per_token for row in plan.flops.rows if row.operation in FEED_FORWARD_ROWS))


def _empty_slots(_: Plan, other: Plan) -> str:
    routing, even = other.routing, even_routing(other)
    if routing is None or even is None or routing.capacity is None or even.capacity is None:
        return ""
    empty = share(routing.capacity - even.capacity, routing.capacity)
    return (
        f"an even load fills {even.capacity:,} of an expert's {routing.capacity:,} slots per group, so {empty} are "
        "empty, and are made, moved and sent all the same"
    )


def _remade(first: Plan, other: Plan) -> str:
    again, before = (
        flops(float(plan.flops.conventions["executed"]) - float(plan.flops.conventions["padded"]))
        for plan in (other, first)
    )
    return f"the backward pass, under remat `{other.run.remat.policy}`, makes {again} per token again against {before}"


def _weight_reads(_: Plan, other: Plan) -> str:
    batches = plural(other.batch.micro_batches, "micro-batch", "micro-batches")
    return f"{batches} a step have too few rows per expert to hide the reading of its weights"


def _router(_: Plan, other: Plan) -> str:
    experts = other.run.model.experts
    return f"scores of {plural(experts.n_experts, 'expert')} for every token" if experts is not None else ""


def _dispatch(_: Plan, other: Plan) -> str:
    experts, routing = other.run.model.experts, other.routing
    if experts is None or routing is None:
        return ""
    return f"every token is copied to {plural(experts.top_k, 'expert')} and back (`{routing.dispatch}`)"


def _arrays(_: Plan, other: Plan) -> str:
    experts, axis = other.run.model.experts, other.mesh.axes["expert"]
    if experts is None:
        return ""
    per_choice = f"gates and hidden rows exist once per choice: {experts.top_k} per token"
    if experts.capacity_factor is None and axis > 1:
        return f"{per_choice}, and without a capacity each of the {axis} expert shards has rows for the choices of all"
    return per_choice


def _optimizer(first: Plan, other: Plan) -> str:
    more = f"{count(other.parameters.total)} parameters against {count(first.parameters.total)}"
    held = size(other.memory.params + other.memory.optimizer)
    return f"{more}: {held} of weights and state per device are read and written"


def tile_padding(plan: Plan) -> Iterator[str]:
    """What the chip's tiles add to the experts' matmuls, which no estimate of time counts."""
    for path, total, parts, tile in tiled_lengths(plan.run, plan.mesh, plan.routing):
        length = total // parts
        if path.startswith("model.experts.") and length % tile:
            name = "capacity" if path.endswith("capacity_factor") else "d_ff"
            padded = ceil(length / tile) * tile
            more = share(padded - length, length)
            yield f"{name} {length:,} is padded to {padded:,} on tiles of {tile}, {more} more expert FLOPs"


_REASONS: Final[Mapping[str, Callable[[Plan, Plan], str]]] = MappingProxyType(
    {
        MATMULS: _matmuls,
        EMPTY_SLOTS: _empty_slots,
        REMADE: _remade,
        WEIGHT_READS: _weight_reads,
        ROUTER: _router,
        DISPATCH: _dispatch,
        FEED_FORWARD_ARRAYS: _arrays,
        OPTIMIZER: _optimizer,
    }
)


def _collective(plan: Plan, rows: Sequence[CollectivePlan]) -> str:
    """How much is sent for what, over how many devices, and whether that leaves the fast links."""
    names = tuple(rows[0].axis.split("+"))
    sent = sum(row.count * row.bytes for row in rows)
    devices = prod(plan.mesh.axes[name] for name in names)
    fast = fast_devices(plan.run.mesh.hardware, plan.mesh.devices, plan.run.mesh.slices)
    slow = network_of(plan.run.mesh.hardware, plan.mesh.axes, names, fast).slow
    where = f"{plural(devices, 'device')}{', beyond the fast links' if slow else ''}"
    operations = plural(sum(row.count for row in rows), "operation")
    return f"{operations} send {size(sent)} per device over {where}, most of it {_largest(rows).what}"
