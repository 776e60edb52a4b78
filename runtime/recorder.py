"""From what the device reports of a step to a line of metrics.jsonl and to the person who waits."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np

from moec.runtime.batch import DepthReport, Report
from moec.runtime.clock import TrainingClock
from moec.runtime.failure import RunError
from moec.runtime.guard import reason
from moec.runtime.metrics import Journal
from moec.runtime.program import Program
from moec.runtime.progress import Progress, Standing
from moec.runtime.train_step import StepReport


class Recorder:
    """Fetches the reports of steps, writes and shows them, and ends a run whose steps are skipped one after the other.

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
        """Waits for the step's end, then writes its metrics and says where it was skipped.

        Errors: RunError where so many steps in a row were skipped that the run must end.
        """
        found = jax.device_get(report)
        step_seconds = self._clock.lap()
        self._journal.write(self._record(step, found, step_seconds))
        self._progress.show(self._standing(step, float(found.loss), step_seconds))
        if found.skipped_in_a_row > 0:
            self._tell_of_skipped(step, found)

    def _record(self, step: int, found: StepReport, step_seconds: float) -> dict[str, object]:
        batch_tokens = self._program.training.batch_tokens
        record: dict[str, object] = {"step": step, "loss": _finite(found.loss)}
        record |= {name: _finite(term) for name, term in found.terms.items()}
        record |= {
            "tokens": step * batch_tokens,
            "seconds": self._clock.seconds,
            "step_seconds": step_seconds,
            "tokens_per_second": batch_tokens / step_seconds,
            "grad_norm": _finite(found.grad_norm),
            "skipped": int(found.skipped),
        }
        if self._learning_rates is not None:
            updates_before = step - 1 - int(found.skipped) + int(found.skipped_in_a_row > 0)
            record["learning_rate"] = float(self._learning_rates[updates_before])
        return record | of_routers(found.routers)

    def _tell_of_skipped(self, step: int, found: StepReport) -> None:
        in_a_row, limit = int(found.skipped_in_a_row), self._program.guard.max_skips
        why = reason(float(found.loss), float(found.grad_norm))
        if in_a_row >= limit:
            raise RunError(
                f"{in_a_row} steps in a row were skipped, the last of them, {step}, because it {why}; the weights are "
                f"those of step {step - in_a_row}; {self._advice()}. A lower peak_lr, more warmup_steps or a lower "
                "clip_norm may help; guard.max_skips says how many are borne"
            )
        self._progress.say(f"step {step:,} was skipped, it {why}; {int(found.skipped):,} so far")

    def _standing(self, step: int, loss: float, step_seconds: float) -> Standing:
        tokens_per_second = self._program.training.batch_tokens / step_seconds
        expected = self._program.expectations
        peak = expected.peak_flops_per_second * self._program.mesh.devices
        mfu = tokens_per_second * expected.train_flops_per_token / peak if peak > 0 else None
        return Standing(step, self._steps, loss, step_seconds, tokens_per_second, mfu)


def of_routers(report: Report | None) -> dict[str, object]:
    """What the routers did, layer by layer."""
    if report is None:
        return {}
    if isinstance(report, DepthReport):
        return {"taken_in_decoding": jax.tree.map(_finite, report.taken_in_decoding.tolist())}
    return {
        "expert_load": jax.tree.map(_finite, report.load.tolist()),
        "dropped_fraction": jax.tree.map(_finite, report.dropped.tolist()),
    }


def _finite(number: float) -> float | None:
    """The number as JSON has it: None where it is not finite."""
    return float(number) if math.isfinite(number) else None


def _learning_rates(program: Program, steps: int) -> np.ndarray | None:
    """The learning rate of each step, computed at once: asking the schedule step by step costs a millisecond each."""
    if program.learning_rate is None:
        return None
    rates = jax.jit(jax.vmap(program.learning_rate()))(np.arange(steps))
    return np.broadcast_to(np.asarray(rates), (steps,))
