"""What the plan beside a program predicts, read from its plan.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moec.runtime.failure import RunError

PLAN = "plan.json"
BYTES_PER_TOKEN = 20
"""Five arrays of 4 bytes: moec.runtime.batch.Batch."""


@dataclass(frozen=True, slots=True)
class ExpectedCollective:
    """`count` operations in a step, each of which sends `bytes` per device over `axis` (several joined with +)."""

    op: str
    axis: str
    count: int
    bytes: int
    what: str

    @property
    def step_bytes(self) -> int:
        """What each device sends in one step."""
        return self.count * self.bytes


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A weight or an activation: its global shape, and the mesh axes over which each of its dims is cut; `layers` are
    those that have such a weight."""

    name: str
    shape: tuple[int, ...]
    sharding: tuple[tuple[str, ...], ...]
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """The plan's numbers, per device: memory by kind in bytes, FLOPs of one step as executed and without padding.

    `topology` is None where the hardware has none; `n_experts` 0 in a dense model; `remat` is the policy; `repeats` are
    the lengths of the leading dims that stacked layers have.
    """

    axes: Mapping[str, int]

    topology: tuple[int, ...] | None
    slices: int
    memory_bytes: Mapping[str, int]
    hbm_bytes: int
    remat: str
    executed_flops: float
    ideal_flops: float
    step_seconds: float
    collectives: tuple[ExpectedCollective, ...]
    tensors: tuple[ExpectedTensor, ...]
    activations: tuple[ExpectedTensor, ...]
    batch_bytes: int
    n_experts: int
    scan: bool
    repeats: tuple[int, ...]


def read_expectation(folder: Path) -> Expectation | None:
    """What plan.json in `folder` says; None where there is none. Errors: RunError (exit 2) where it is no plan."""
    path = folder / PLAN
    if not path.is_file():
        return None
    try:
        return _expectation(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is no plan of this version ({error!r}): compile the spec again", 2) from error


def _expectation(plan: Mapping[str, Any]) -> Expectation:
    mesh, memory, flops = plan["mesh"], plan["memory"], plan["flops_per_token"]
    tokens_per_device = plan["batch_tokens"] / mesh["devices"]
    routers = [row for row in plan["tensors"] if row["role"] == "router" and len(row["shape"]) > 1]
    return Expectation(
        axes=mesh["axes"],
        topology=None if mesh["topology"] is None else tuple(mesh["topology"]),
        slices=mesh["slices"],
        memory_bytes={
            name: memory[f"{name}_bytes_per_device"]
            for name in ("params", "gradients", "optimizer", "activations", "total")
        },
        hbm_bytes=memory["hbm_bytes_per_device"],
        remat=memory["remat_policy"],
        executed_flops=flops["executed_train"] * tokens_per_device,
        ideal_flops=flops["train"] * tokens_per_device,
        step_seconds=plan["step_time"]["seconds"],
        collectives=tuple(
            ExpectedCollective(row["op"], row["axis"], row["count"], row["bytes"], row["what"])
            for row in plan["collectives"]
        ),
        tensors=tuple(_tensor(row) for row in plan["tensors"]),
        activations=tuple(_tensor(row) for row in plan["activations"]),
        n_experts=routers[0]["shape"][-1] if routers else 0,
        batch_bytes=int(BYTES_PER_TOKEN * tokens_per_device),
        scan=plan["layers"]["scan"],
        repeats=(plan["layers"]["repeats"], plan["batch"]["micro_batches"]),
    )


def _tensor(row: Mapping[str, Any]) -> ExpectedTensor:
    cut = ((entry,) if isinstance(entry, str) else tuple(entry or ()) for entry in row["sharding"])
    return ExpectedTensor(row["name"], tuple(row["shape"]), tuple(cut), tuple(row.get("layers", ())))
