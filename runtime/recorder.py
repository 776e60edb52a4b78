"""From what the device reports of a step to a line of metrics.jsonl and to the person who waits."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np

from moec.runtime.clock import TrainingClock
from moec.runtime.failure import RunError
from moec.runtime.metrics import Journal
from moec.runtime.program import Program
from moec.runtime.progress import Progress, Standing
from moec.runtime.train_step import StepReport


class Recorder:
    """Fetches the reports of steps, refuses those that are not finite, writes and shows the others.

    `advice` says what a run that cannot go on can go back to.
    """

    def __init__(
        self,
        program: Program,
        journal: Journal,
        progress: Progress,
        clock: TrainingClock,
        *,
        steps: int,
        advice: Callable[[], str],
    ) -> None:
        self._program = program
        self._journal = journal
        self._progress = progress
        self._clock = clock
        self._steps = steps
        self._advice = advice
        self._learning_rates = _learning_rates(program, steps)

    def record(self, step: int, report: StepReport) -> None:
        """Waits for the step's end, then writes its metrics.

        Errors: RunError where loss or gradient is not finite.
        """
        found = jax.device_get(report)
        step_seconds = self._clock.lap()
        loss, grad_norm = float(found.loss), float(found.grad_norm)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise RunError(f"step {step} gave loss {loss} and gradient norm {grad_norm}; {self._advice()}")
        batch_tokens = self._program.training.batch_tokens
        record: dict[str, object] = {"step": step, "loss": loss}
        record |= {name: float(term) for name, term in found.terms.items()}
        record |= {
            "tokens": step * batch_tokens,
            "seconds": self._clock.seconds,
            "step_seconds": step_seconds,
            "tokens_per_second": batch_tokens / step_seconds,
            "grad_norm": grad_norm,
        }
        if self._learning_rates is not None:
            record["learning_rate"] = float(self._learning_rates[step - 1])
        if found.routers is not None:
            record["expert_load"] = found.routers.load
            record["dropped_fraction"] = found.routers.dropped
        self._journal.write(record)
        self._progress.show(self._standing(step, loss, step_seconds))

    def _standing(self, step: int, loss: float, step_seconds: float) -> Standing:
        tokens_per_second = self._program.training.batch_tokens / step_seconds
        expected = self._program.expectations
        peak = expected.peak_flops_per_second * self._program.mesh.devices
        mfu = tokens_per_second * expected.train_flops_per_token / peak if peak > 0 else None
        return Standing(step, self._steps, loss, step_seconds, tokens_per_second, mfu)


def _learning_rates(program: Program, steps: int) -> np.ndarray | None:
    """The learning rate of each step, computed at once: asking the schedule step by step costs a millisecond each."""
    if program.learning_rate is None:
        return None
    rates = jax.jit(jax.vmap(program.learning_rate()))(np.arange(steps))
    return np.broadcast_to(np.asarray(rates), (steps,))
