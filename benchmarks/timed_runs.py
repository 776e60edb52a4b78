"""Seconds of real training steps: the emitted programs, compiled and run in turns on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import numpy as jnp

from moec.runtime.background import compile_meanwhile
from moec.runtime.batch import Batch
from moec.runtime.devices import prepare_devices
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.state import initial_state, lay_out


@dataclass
class TimedStep:
    """A training step that carries its state from call to call, and what its calls took."""

    step: Callable[[object], tuple[object, object]]
    state: object
    vocab_size: int
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """Of all threads."""

    def run(self) -> None:
        start, cpu_start = time.perf_counter(), time.process_time()
        self.state, loss = self.step(self.state)
        jax.block_until_ready(loss)
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - cpu_start)

    @property
    def least(self) -> float:
        """What the step costs when nothing else runs: the least of all calls but the first."""
        return min(self.seconds[1:])


def timed_step(program: Program, vocab_size: int) -> TimedStep:
    """The program's step on random tokens, compiled as `moec run` does; whole rows are one document. Not run yet."""
    prepare_devices(program.mesh)
    layout = lay_out(program, make_mesh(program.mesh))
    batch = random_batch(program, vocab_size)
    compiled = compile_meanwhile(program, layout)
    state = initial_state(program, layout)
    train_step = compiled().step

    def step(state: object) -> tuple[object, object]:
        with jax.set_mesh(layout.mesh):
            state, report = train_step(state, batch)
        return state, report.loss

    return TimedStep(step, state, vocab_size)


def random_batch(program: Program, vocab_size: int) -> Batch:
    training = program.training
    shape = (training.micro_batches, training.micro_sequences, training.seq_len)
    tokens = np.random.default_rng(0).integers(0, vocab_size, (*shape[:2], shape[2] + 1)).astype(np.int32)
    positions = np.broadcast_to(np.arange(shape[2], dtype=np.int32), shape)
    # Weights sum to 1 over the micro-batches, averaged.
    weights = np.full(shape, 1 / (shape[1] * shape[2]), np.float32)
    batch = Batch(tokens[..., :-1], tokens[..., 1:], positions, np.ones(shape, np.int32), weights)
    return jax.tree.map(jnp.asarray, batch)


def take_turns(steps: dict[str, TimedStep], seconds: float, least_rounds: int = 4) -> int:
    """Runs all the steps one after the other, round after round, for about `seconds`; gives the number of rounds."""
    began, rounds = time.perf_counter(), 0
    while rounds < least_rounds or time.perf_counter() - began < seconds:
        for timed in steps.values():
            timed.run()
        rounds += 1
    return rounds
