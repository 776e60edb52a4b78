"""What one compilation shows: plain facts that go from the process that compiles to the one that judges."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device. `aliased` are outputs that take the place of arguments; `temporary` is scratch memory."""

    arguments: int
    outputs: int
    aliased: int
    temporary: int
    code: int

    @property
    def total(self) -> int:
        """What the step needs at its peak, by the compiler's account."""
        return self.arguments + self.outputs - self.aliased + self.temporary + self.code


@dataclass(frozen=True, slots=True)
class CollectiveRow:
    """The collectives of one kind over one axis: `count` executions per step, `bytes` that a device sends in all.

    `in_loop_count` of them run inside a loop. `payload_bytes` are the largest single one's arrays. `origins` name where
    the program asked for them, those that send most first, each with its bytes per step.
    """

    op: str
    axis: str
    count: int
    bytes: int
    in_loop_count: int
    payload_bytes: int
    origins: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """`flops` are those of the matrix products in the compiled program, per device and step.

    `estimated_seconds` is the compiler's own estimate of a step, 0 where it gives none. `unknown_loops` are loops whose
    length is decided at run time; what is in them is counted once. `replicated` are the compiler's own words on
    arrays that it had to replicate; `warnings` are sentences on what was found in the program's text.
    """

    device_kind: str
    devices: int
    compile_seconds: float
    jax_version: str
    memory: Memory
    flops: float
    estimated_seconds: float
    collectives: tuple[CollectiveRow, ...]
    unknown_loops: tuple[str, ...]
    warnings: tuple[str, ...]


def to_json(measured: Measured) -> str:
    """The text that `from_json` reads."""
    return json.dumps(dataclasses.asdict(measured))


def from_json(text: str) -> Measured:
    """The inverse of `to_json`."""
    fields: Mapping[str, Any] = json.loads(text)
    return Measured(
        **{
            **fields,
            "memory": Memory(**fields["memory"]),
            "collectives": tuple(
                CollectiveRow(**{**row, "origins": tuple((name, size) for name, size in row["origins"])})
                for row in fields["collectives"]
            ),
            "unknown_loops": tuple(fields["unknown_loops"]),
            "warnings": tuple(fields["warnings"]),
        }
    )
