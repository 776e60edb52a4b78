"""Several slices of TPUs, joined by a slow network: how XLA writes what crosses it, and what it does in stages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from moec.runtime.mesh import over_slices
from moec.runtime.proof.expectation import ExpectedCollective
from moec.runtime.proof.groups import PART, Extent, axes_of, extent_of_groups
from moec.runtime.proof.hlo import Array, Instruction
from moec.runtime.proof.measured import CollectiveRow

OP_OF_TRANSFER = {
    "ALL_GATHER": "all-gather",
    "ALL_REDUCE": "all-reduce",
    "REDUCE_SCATTER": "reduce-scatter",
    "ALL_TO_ALL": "all-to-all",
    "ONE_TO_ONE": "collective-permute",
}
"""What `_xla_megascale_transfer_type` of a `send` says. Source: text that libtpu writes for two slices."""

_TRANSFER = re.compile(r'_xla_megascale_transfer_type="(\w+)"')
_SLICES = re.compile(r'_xla_megascale_target="\{([\d,:]+)\}')
_RENDEZVOUS = re.compile(r'_xla_host_transfer_rendezvous="([^"]*)"')


@dataclass(frozen=True, slots=True)
class SliceMesh:
    """The mesh axes as they lie inside a slice and between slices; their product is the whole axis."""

    inside: Mapping[str, int]
    between: Mapping[str, int]

    @property
    def crossing(self) -> tuple[str, ...]:
        """The axes that go from slice to slice, outermost first."""
        return tuple(axis for axis, size in self.between.items() if size > 1)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One exchange over the network between slices: `payload` is the array of each device that goes out."""

    op: str
    extent: Extent
    payload: Array
    name: str


def slice_mesh(axes: Mapping[str, int], slices: int) -> SliceMesh:
    """How `axes` lie on so many slices. Errors: RunError (exit 2) where the slices do not divide them."""
    between = over_slices(tuple(axes.values()), slices)
    return SliceMesh(
        {axis: size // part for (axis, size), part in zip(axes.items(), between, strict=True)},
        dict(zip(axes, between, strict=True)),
    )


def transfer_of(row: Instruction, mesh: SliceMesh) -> Transfer | None:
    """What a `send` exchanges between slices; None for any other instruction."""
    kind = _TRANSFER.search(row.attributes) if row.opcode == "send" else None
    op = OP_OF_TRANSFER.get(kind.group(1)) if kind else None
    if op is None:
        return None
    rendezvous = _RENDEZVOUS.search(row.attributes)
    name = row.op_name or (rendezvous.group(1) if rendezvous else row.name)
    return Transfer(op, _extent(row.attributes, mesh), row.results[0], name)


def _extent(attributes: str, mesh: SliceMesh) -> Extent:
    """Slices are numbered from 1, the axes that cross them in their order; a group of them is a list or a range. All
    where the text names none."""
    found = _SLICES.search(attributes)
    numbers = _numbers(found.group(1)) if found else range(1, prod(mesh.between.values()) + 1)
    return extent_of_groups((tuple(number - 1 for number in numbers),), mesh.between)


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


def in_stages(
    rows: tuple[CollectiveRow, ...], planned: tuple[ExpectedCollective, ...], crossing: tuple[str, ...]
) -> tuple[tuple[CollectiveRow, ...], frozenset[CollectiveRow]]:
    """The rows, and those of them that are stages of a planned sum over several slices.

    XLA sums over slices in three steps: it scatters the sum inside each slice, adds up the shares between slices, and
    gathers inside; or it sums inside and then between. What is summed, scattered and gathered inside beyond the plan's
    own is counted to the sum that it serves.
    """
    result: list[CollectiveRow] = []
    stages: set[CollectiveRow] = set()
    for row in rows:
        whole = _sum_served(row, planned, crossing)
        spare = row.bytes - sum(other.step_bytes for other in planned if (other.op, other.axis) == (row.op, row.axis))
        if whole is None or spare <= 0:
            result.append(row)
            continue
        count = max(1, round(row.count * spare / row.bytes))
        stage = replace(row, op="all-reduce", axis=whole, count=count, bytes=spare)
        stages.add(stage)
        result.append(stage)
        if spare < row.bytes:
            result.append(replace(row, count=max(1, row.count - count), bytes=row.bytes - spare))
    return tuple(result), frozenset(stages)


def _sum_served(row: CollectiveRow, planned: tuple[ExpectedCollective, ...], crossing: tuple[str, ...]) -> str | None:
    """The axes of a planned sum over slices and the axes of this row, if the row may be a stage of one."""
    own, slow = axes_of(row.axis), frozenset(crossing)
    has_own = any(axes_of(other.axis) == own for other in planned if other.op in ("all-reduce", "reduce-scatter"))
    inside = not own & slow and (row.op in ("all-gather", "reduce-scatter") or (row.op == "all-reduce" and not has_own))
    between = row.op == "all-reduce" and own <= slow
    if row.axis.startswith(PART) or not (inside or between):
        return None
    wider = [other for other in planned if own < axes_of(other.axis) and slow & axes_of(other.axis)]
    sums = [other for other in wider if other.op == "all-reduce"]
    return max(sums, key=lambda other: other.step_bytes).axis if sums else None
