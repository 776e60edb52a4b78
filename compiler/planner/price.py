"""What the planner asks of a candidate: is it legal, how many bytes does it take, how many seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from moec.compiler.plan import (
    ActivationPlan,
    BatchPlan,
    KernelPlan,
    MemoryPlan,
    MeshPlan,
    RoutingPlan,
    StepTimePlan,
)
from moec.compiler.typed import MESH_AXES, RunSpec

MEMORY_SHARE: Final = 0.9
"""Assumption: the share of a device's memory that a plan may fill; XLA, collectives and fragmentation want the rest
(estimate_memory warns from there on)."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A legal candidate and its bytes per device, with what its seconds are worked out from."""

    run: RunSpec
    mesh: MeshPlan
    batch: BatchPlan
    routing: RoutingPlan | None
    kernels: KernelPlan
    activations: tuple[ActivationPlan, ...]
    memory: MemoryPlan

    @property
    def limit(self) -> float:
        """Bytes that it may take; without end where the memory is not known."""
        return MEMORY_SHARE * self.memory.hbm if self.memory.hbm else float("inf")

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.limit

    @property
    def least_bytes(self) -> int:
        """Weights, one gradient of each and optimizer state, which every micro-batch and policy has."""
        copies = 1 if self.batch.micro_batches == 1 else 2
        return self.memory.params + self.memory.gradients // copies + self.memory.optimizer

    @property
    def can_ever_fit(self) -> bool:
        return self.least_bytes <= self.limit


class Pricing(Protocol):
    """Prices the candidates of one run; none of them has an `auto` that the planner decides."""

    def is_legal(self, run: RunSpec) -> bool:
        """Whether `run` passes the checks of shapes against the mesh."""
        ...

    def weigh(self, run: RunSpec) -> Weighed | None:
        """The bytes of `run`, None where it is not legal."""
        ...

    def time(self, weighed: Weighed) -> StepTimePlan | None:
        """The seconds of one step, None where the rate of the hardware is not known."""
        ...


Rank = tuple[float, int, int, tuple[int, ...]]
"""What candidates are ordered by, the best first."""


Key = tuple[object, ...]


def key_of(run: RunSpec) -> Key:
    """What tells the candidates of one run apart."""
    return (*run.mesh.axes.values(), run.batch.micro, run.remat.policy)


class Remembered:
    """A pricing that prices no candidate twice."""

    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing
        self._weighed: dict[Key, Weighed | None] = {}
        self._times: dict[Key, StepTimePlan | None] = {}

    def is_legal(self, run: RunSpec) -> bool:
        return self._pricing.is_legal(run)

    def weigh(self, run: RunSpec) -> Weighed | None:
        key = key_of(run)
        if key not in self._weighed:
            self._weighed[key] = self._pricing.weigh(run)
        return self._weighed[key]

    def time(self, weighed: Weighed) -> StepTimePlan | None:
        key = key_of(weighed.run)
        if key not in self._times:
            self._times[key] = self._pricing.time(weighed)
        return self._times[key]


def rounded(seconds: float) -> float:
    """To three digits: what differs by less is as fast."""
    return float(f"{seconds:.3g}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that fits, with its predicted step."""

    weighed: Weighed
    step_time: StepTimePlan

    @property
    def seconds(self) -> float:
        return rounded(self.step_time.seconds)

    @property
    def rank(self) -> Rank:
        """Predicted seconds to three digits, then fewer axes, fewer micro-batches, and the outer axes first."""
        sizes = tuple(self.weighed.mesh.axes[axis] for axis in MESH_AXES)
        axes = sum(size != 1 for size in sizes)
        return self.seconds, axes, self.weighed.batch.micro_batches, tuple(-size for size in sizes)
