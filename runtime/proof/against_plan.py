"""What the compiler made of a program, held against its plan: the judgement of a proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moec.runtime.proof.expectation import Expectation, ExpectedCollective
from moec.runtime.proof.measured import CollectiveRow, Measured
from moec.runtime.proof.targets import Target

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

SMALL_BYTES = 2**20
SMALL_SHARE = 0.01
"""What no plan lists one by one: a kind of collective that sends at most this many bytes in a step, or this share of
all that the plan sends, is a control message (norms of gradients, counts of the routers, indices)."""

MOST_OVER = 1.5
LEAST_UNDER = 0.5
"""How far the bytes over one axis may be from the plan's. Assumption: XLA may keep float32 where the plan has bfloat16
in some of an axis's messages, or do without some; twice the traffic is another program."""

Class = Literal["planned", "statistics", "unplanned"]


@dataclass(frozen=True, slots=True)
class JudgedCollective:
    """`planned_count` and `planned_bytes` are the plan's for the same work over the same axes."""

    row: CollectiveRow
    judgement: Class
    planned_count: int
    planned_bytes: int


@dataclass(frozen=True, slots=True)
class AxisTotal:
    """Bytes that a device sends in a step for one kind of work over all axes that include `axis`."""

    family: str
    axis: str
    bytes: int
    planned_bytes: int

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
    judged = tuple(_judged(row, planned) for row in rows)
    totals = () if expectation is None or measured is None else _totals(rows, planned)
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


def _judged(row: CollectiveRow, planned: tuple[ExpectedCollective, ...]) -> JudgedCollective:
    """What the plan says of the same family of operations over these axes, or over parts that make them up."""
    family, axes = FAMILIES[row.op], _axes(row.axis)
    parts = [other for other in planned if FAMILIES[other.op] == family and _axes(other.axis) <= axes]
    exact = [other for other in parts if other.op == row.op and _axes(other.axis) == axes]
    matching = exact or [other for other in parts if _axes(other.axis) == axes] or parts
    covered = frozenset().union(*(_axes(other.axis) for other in matching)) == axes if matching else False
    judgement: Class = "planned" if covered and not row.axis.startswith("part of ") else "unplanned"
    if judgement == "unplanned" and is_small(row.bytes, planned):
        judgement = "statistics"
    count = sum(other.count for other in matching) if covered else 0
    return JudgedCollective(row, judgement, count, sum(other.step_bytes for other in matching) if covered else 0)


def is_small(sent: int, planned: tuple[ExpectedCollective, ...]) -> bool:
    """Whether so many bytes are a control message, beside what the plan sends."""
    return sent <= max(SMALL_BYTES, SMALL_SHARE * sum(row.step_bytes for row in planned))


def _totals(rows: tuple[CollectiveRow, ...], planned: tuple[ExpectedCollective, ...]) -> tuple[AxisTotal, ...]:
    keys = {(FAMILIES[row.op], axis) for row in (*rows, *planned) for axis in _axes(row.axis)}
    return tuple(
        AxisTotal(
            family,
            axis,
            sum(row.bytes for row in rows if FAMILIES[row.op] == family and axis in _axes(row.axis)),
            sum(row.step_bytes for row in planned if FAMILIES[row.op] == family and axis in _axes(row.axis)),
        )
        for family, axis in sorted(keys)
    )


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
    for total in totals:
        if LEAST_UNDER <= total.ratio <= MOST_OVER or is_small(abs(total.bytes - total.planned_bytes), planned):
            continue
        rows = [entry.row for entry in judged if FAMILIES[entry.row.op] == total.family]
        rows = [row for row in rows if total.axis in _axes(row.axis)]
        if rows and total.planned_bytes == 0 and all(e.judgement == "unplanned" for e in judged if e.row in rows):
            continue
        largest = f", most of it for {_origin(max(rows, key=lambda row: row.bytes))}" if rows else ""
        yield (
            f"{total.family} over {total.axis} sends {gigabytes(total.bytes)} per device and step, and the plan says "
            f"{gigabytes(total.planned_bytes)}{largest}"
        )


def _far_from_plan(measured: Measured | None, expectation: Expectation | None) -> Iterator[str]:
    """Memory and FLOPs that the plan predicts wrongly: no failure, the compiler's number is the truth."""
    if expectation is None:
        yield "there is no plan.json beside the program: nothing was held against a plan"
        return
    planned = expectation.memory_bytes["total"]
    if measured is None:
        return
    if not 1 / MEMORY_FACTOR <= measured.memory.total / planned <= MEMORY_FACTOR:
        yield f"memory: {gigabytes(measured.memory.total)} per device, and the plan says {gigabytes(planned)}"


MEMORY_FACTOR = 1.25
"""How far the plan's memory may be from the compiler's before it is said."""


def gigabytes(count: float) -> str:
    """A number of bytes for people, in the unit that leaves it above 1."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:.0f} B"


def _origin(row: CollectiveRow) -> str:
    return f"`{row.origins[0][0]}`" if row.origins and row.origins[0][0] else "an operation without a name"


def _axes(name: str) -> frozenset[str]:
    return frozenset(name.removeprefix("part of ").split("+"))
