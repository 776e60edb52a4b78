"""What an emitted program hands to the runtime: plain facts and the functions that it defines itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optax

from moec.runtime.batch import Batch, Objective, RouterReport
from moec.runtime.mesh import MeshShape

if TYPE_CHECKING:
    from flax import nnx

    from moec.runtime.data.text import TextData
    from moec.runtime.initializer import Initializer


@dataclass(frozen=True, slots=True)
class Training:
    """How long and in what pieces: `batch_tokens` per step = `micro_batches` x `micro_sequences` x `seq_len`."""

    steps: int
    seq_len: int
    micro_batches: int
    micro_sequences: int
    seed: int

    @property
    def batch_tokens(self) -> int:
        """Tokens per optimizer step over all devices."""
        return self.micro_batches * self.micro_sequences * self.seq_len


@dataclass(frozen=True, slots=True)
class Checkpoints:
    every_steps: int
    keep: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """At most `tokens` held-out tokens are read per evaluation; `every_steps` 0 evaluates only at the end."""

    every_steps: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Guard:
    """A step whose loss or gradient is not finite is skipped; so is one that lies more than `spike` standard deviations
    above the mean of the newest `window` accepted steps, None leaves those alone. `max_skips` in a row end the run."""

    spike: float | None
    window: int
    max_skips: int


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the plan derived, for the progress line, MFU and the checks at start.

    `peak_flops_per_second` is per device, 0 where unknown. `params` counts trainable weights.
    """

    params: int
    active_params: int
    train_flops_per_token: float
    peak_flops_per_second: float


@dataclass(frozen=True, slots=True)
class Program:
    """What the runtime needs of a run.

    `after_step(model, routers)` changes non-trained state of the model (router biases) after each step, None where
    there is none. The objective's term for the prediction is called `cross_entropy`; the model has `head_DV()`.

    `learning_rate` gives the schedule that `optimizer` uses, for the metrics; None leaves it out of them.
    """

    name: str
    identity: str
    mesh: MeshShape
    model: Callable[[Initializer], nnx.Module]
    objective: Callable[[nnx.Module, Batch], Objective]
    optimizer: Callable[[], optax.GradientTransformation]
    after_step: Callable[[nnx.Module, RouterReport], None] | None
    data: TextData | None
    training: Training
    checkpoints: Checkpoints
    evaluation: Evaluation
    expectations: Expectations
    learning_rate: Callable[[], optax.Schedule] | None = None
    guard: Guard = Guard(spike=None, window=128, max_skips=10)
