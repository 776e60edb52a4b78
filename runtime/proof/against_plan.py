"""What the compiler made of a program, held against its plan: the judgement of a proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from moec.runtime.proof.expectation import Expectation, ExpectedCollective
from moec.runtime.proof.groups import PART, axes_of
from moec.runtime.proof.measured import CollectiveRow, Measured
from moec.runtime.proof.signs import padding
from moec.runtime.proof.slices import in_stages, slice_mesh
from moec.runtime.proof.targets import Target
from moec.runtime.proof.units import gigabytes

FAMILIES = {
    "all-gather": "gather",
    "collective-broadcast": "gather",
    "all-reduce": "reduce",
    "reduce-scatter": "reduce",
    "all-to-all": "exchange",
    "collective-permute": "permute",
}
"""Operations that do the same work. A sum whose result is cut may be an all-reduce and a slice, a sum over two axes one
operation or two: XLA chooses."""

SMALL_PAYLOAD_BYTES = 2**16
SMALL_SHARE = 0.005
"""What no plan lists one by one: a kind of collective whose largest message is at most this many bytes, or which sends
at most this share of all that the plan sends, carries statistics (norms of gradients, counts of the routers, the loss)
or indices."""

MOST_OVER = 1.5
LEAST_UNDER = 0.5
"""How far the bytes over one axis may be from the plan's. Assumption: XLA may keep float32 where the plan has bfloat16
in some of an axis's messages, or find some twice the same; twice the traffic is another program."""

Class = Literal["planned", "windowed", "staged", "statistics", "unplanned"]
"""`windowed`: a ring of permutes in which XLA hides a planned gather or reduction behind the product that needs it;
`staged`: what a planned sum over several slices does inside each of them."""


@dataclass(frozen=True, slots=True)
class JudgedCollective:
    """`planned_count` and `planned_bytes` are the plan's for the same work over the same axes."""

    row: CollectiveRow
    judgement: Class
    planned_count: int
    planned_bytes: int


@dataclass(frozen=True, slots=True)
class AxisTotal:
    """Bytes that a device sends in a step for one kind of work over all axes that include `axis`; of small messages as
    many as the plan's work wants, the others are statistics. `windowed` where permutes are among them."""

    family: str
    axis: str
    bytes: int
    planned_bytes: int
    windowed: bool

    @property
    def ratio(self) -> float:
        """1 where neither sends anything."""
        if self.planned_bytes == 0:
            return 1.0 if self.bytes == 0 else float("inf")
        return self.bytes / self.planned_bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof is good where there is no failure. `measured` is None where the compiler refused, `expectation` where
    there is no plan beside the program and nothing to hold against; `capacity_bytes` 0 is unknown."""

    target: str
    devices: int
    measured: Measured | None
    expectation: Expectation | None
    capacity_bytes: int
    collectives: tuple[JudgedCollective, ...]
    totals: tuple[AxisTotal, ...]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures


def judge(measured: Measured | None, expectation: Expectation | None, target: Target, refusal: str = "") -> Proof:
    """The proof: every collective with what the plan says of it, the totals by axis, and what fails.

    `measured` is None where the compiler refused the program, with `refusal` its words.
    """
    planned = () if expectation is None else expectation.collectives
    rows = () if measured is None else measured.collectives
    stages: frozenset[CollectiveRow] = frozenset()
    if expectation is not None and target.slices > 1:
        rows, stages = in_stages(rows, planned, slice_mesh(expectation.axes, target.slices).crossing)
    totals = () if expectation is None else _totals(rows, planned, target.chip.platform)
    judged = tuple(_judged(row, planned, totals, row in stages) for row in rows)
    failures = [refusal] if refusal else []
    if measured is not None:
        failures += _over_capacity(measured, target.chip.hbm_bytes)
        if expectation is not None:
            failures += [*_unplanned(judged), *_off(totals, judged, planned)]
    warnings = () if measured is None else measured.warnings
    return Proof(
        target=str(target),
        devices=target.devices,
        measured=measured,
        expectation=expectation,
        capacity_bytes=target.chip.hbm_bytes,
        collectives=judged,
        totals=totals,
        failures=tuple(failures),
        warnings=(*warnings, *_far_from_plan(measured, expectation)),
    )


def _judged(
    row: CollectiveRow, planned: tuple[ExpectedCollective, ...], totals: tuple[AxisTotal, ...], is_stage: bool
) -> JudgedCollective:
    """What the plan says of the same family of operations over these axes, or over parts that make them up."""
    axes, is_part = axes_of(row.axis), row.axis.startswith(PART)
    parts = [other for other in planned if FAMILIES[other.op] == FAMILIES[row.op] and axes_of(other.axis) <= axes]
    same_axes = [other for other in parts if axes_of(other.axis) == axes]
    exact = [other for other in same_axes if other.op == row.op] or same_axes
    if exact and not is_part:
        count, size = sum(other.count for other in exact), sum(other.step_bytes for other in exact)
        return JudgedCollective(row, "staged" if is_stage else "planned", count, size)
    if FAMILIES[row.op] == "permute" and any(row.axis == total.axis and total.windowed for total in totals):
        return JudgedCollective(row, "windowed", 0, 0)
    if is_small(row, planned):
        return JudgedCollective(row, "statistics", 0, 0)
    covered = parts and not is_part and frozenset().union(*(axes_of(other.axis) for other in parts)) == axes
    return JudgedCollective(row, "planned" if covered else "unplanned", 0, 0)


def is_small(row: CollectiveRow, planned: tuple[ExpectedCollective, ...]) -> bool:
    """Whether a kind of collective carries statistics, beside what the plan sends."""
    return row.payload_bytes <= SMALL_PAYLOAD_BYTES or row.bytes <= SMALL_SHARE * _sent(planned)


def _sent(planned: tuple[ExpectedCollective, ...]) -> int:
    return sum(row.step_bytes for row in planned)


def _totals(
    rows: tuple[CollectiveRow, ...], planned: tuple[ExpectedCollective, ...], platform: str
) -> tuple[AxisTotal, ...]:
    """By family and single axis. Permutes go to the family that sends least of what is planned over their axis."""
    large = [row for row in rows if FAMILIES[row.op] == "permute" or not is_small(row, planned)]
    keys = {(FAMILIES[row.op], axis) for row in (*large, *planned) for axis in axes_of(row.axis)}
    totals = []
    for family, axis in sorted(keys):
        own = [row for row in rows if FAMILIES[row.op] == family and axis in axes_of(row.axis)]
        wanted = [row for row in planned if FAMILIES[row.op] == family and axis in axes_of(row.axis)]
        work = sum(_work_bytes(row, wanted, platform) for row in own if row in large)
        small = sum(_work_bytes(row, wanted, platform) for row in own if row not in large)
        planned_bytes = sum(row.step_bytes for row in wanted)
        found = work + min(small, max(0, planned_bytes - work))
        totals.append(AxisTotal(family, axis, found, planned_bytes, False))
    return _with_windows(tuple(totals))


def _work_bytes(row: CollectiveRow, wanted: list[ExpectedCollective], platform: str) -> int:
    """What a row sends. XLA for CPUs has no reduce-scatter to put in the place of an all-reduce and a slice: there the
    all-reduce counts as what the plan has."""
    ops = {other.op for other in wanted if axes_of(other.axis) == axes_of(row.axis)}
    stands_in = platform == "cpu" and row.op == "all-reduce" and "reduce-scatter" in ops
    return row.bytes // 2 if stands_in else row.bytes


def _with_windows(totals: tuple[AxisTotal, ...]) -> tuple[AxisTotal, ...]:
    """Permutes with what they hide: the family that lacks most of what is planned, if it lacks something or both
    together send no more than they may."""
    result = list(totals)
    for permutes in (total for total in totals if total.family == "permute"):
        others = [i for i, total in enumerate(result) if total.axis == permutes.axis and total.planned_bytes]
        if not others:
            continue
        index = max(others, key=lambda i: result[i].planned_bytes - result[i].bytes)
        other = result[index]
        joined = replace(other, bytes=other.bytes + permutes.bytes, windowed=True)
        if joined.ratio <= MOST_OVER or other.bytes < other.planned_bytes:
            result[index] = joined
            result.remove(permutes)
    return tuple(result)


def _over_capacity(measured: Measured, capacity: int) -> Iterator[str]:
    needed = measured.memory.total
    if capacity and needed > capacity:
        yield f"does not fit: {gigabytes(needed)} per device, and {measured.device_kind} has {gigabytes(capacity)}"


def _unplanned(judged: tuple[JudgedCollective, ...]) -> Iterator[str]:
    for entry in judged:
        row = entry.row
        if entry.judgement == "unplanned":
            yield (
                f"the plan has no {row.op} over {row.axis}: {row.count} per step send {gigabytes(row.bytes)} per "
                f"device, most of it for {_origin(row)}"
            )


def _off(
    totals: tuple[AxisTotal, ...], judged: tuple[JudgedCollective, ...], planned: tuple[ExpectedCollective, ...]
) -> Iterator[str]:
    """Axes over which much more or less is sent than planned; what is not planned at all was told already."""
    for total in totals:
        near = abs(total.bytes - total.planned_bytes) <= SMALL_SHARE * _sent(planned)
        if near or LEAST_UNDER <= total.ratio <= MOST_OVER or total.planned_bytes == 0:
            continue
        rows = [entry.row for entry in judged if FAMILIES[entry.row.op] == total.family]
        if _is_merged(total, rows, planned):
            continue
        rows = [row for row in rows if total.axis in axes_of(row.axis)]
        largest = f", most of it for {_origin(max(rows, key=lambda row: row.bytes))}" if rows else ""
        yield (
            f"{total.family} over {total.axis} sends {gigabytes(total.bytes)} per device and step, and the plan says "
            f"{gigabytes(total.planned_bytes)}{largest}"
        )


def _is_merged(total: AxisTotal, rows: list[CollectiveRow], planned: tuple[ExpectedCollective, ...]) -> bool:
    """Whether one operation over several axes does what the plan has apart, and all together send what is planned."""
    wanted = [row for row in planned if FAMILIES[row.op] == total.family]
    merged = [row for row in rows if total.axis in axes_of(row.axis) and len(axes_of(row.axis)) > 1]
    axes = frozenset().union(*(axes_of(row.axis) for row in merged))
    found = sum(row.bytes for row in rows if axes_of(row.axis) <= axes)
    return 0 < found <= MOST_OVER * sum(row.step_bytes for row in wanted if axes_of(row.axis) <= axes)


def _far_from_plan(measured: Measured | None, expectation: Expectation | None) -> Iterator[str]:
    """What the plan predicts wrongly without being another program for it: the compiler's number is the truth."""
    if expectation is None:
        yield "there is no plan.json beside the program: nothing was held against a plan"
        return
    yield from padding(expectation)
    if measured is None:
        return
    planned = expectation.memory_bytes
    if not 1 / MEMORY_FACTOR <= measured.memory.total / planned["total"] <= MEMORY_FACTOR:
        yield f"memory: {gigabytes(measured.memory.total)} per device, and the plan says {gigabytes(planned['total'])}"
    state = planned["params"] + planned["optimizer"] + expectation.batch_bytes
    if measured.memory.arguments > STATE_FACTOR * state:
        yield (
            f"weights, optimizer and batch take {gigabytes(measured.memory.arguments)} per device, and the plan says "
            f"{gigabytes(state)}: something is replicated that was to be sharded"
        )
    if expectation.executed_flops and measured.flops > FLOPS_FACTOR * expectation.executed_flops:
        yield (
            f"FLOPs: {measured.flops / expectation.executed_flops:.2f} times those of the plan: padding, or work that "
            "is done on several devices"
        )


MOST_NAME = 160
MEMORY_FACTOR = 1.25
STATE_FACTOR = 1.1
FLOPS_FACTOR = 1.25
"""How far the plan's memory, state and FLOPs may be from the compiler's before it is said."""


def _origin(row: CollectiveRow) -> str:
    name = row.origins[0][0] if row.origins else ""
    if not name:
        return "an operation without a name"
    return f"`{name}`" if len(name) <= MOST_NAME else f"`{name[:MOST_NAME]}…`, several at once"
