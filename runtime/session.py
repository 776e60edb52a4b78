"""One process's part of a run: from the position where it starts to the last step or the interruption."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import jax

from moec.runtime.background import CompiledStep
from moec.runtime.batch import Batch
from moec.runtime.checkpoints import CheckpointWriter
from moec.runtime.clock import TrainingClock
from moec.runtime.data.text import TextData, train_batches
from moec.runtime.evaluate import Evaluator, HeldOut
from moec.runtime.failure import RunError
from moec.runtime.heap import give_back_freed
from moec.runtime.interrupt import Interrupt
from moec.runtime.metrics import Journal, write_json
from moec.runtime.placement import batch_sharding, place, row_share
from moec.runtime.processes import is_first_process
from moec.runtime.program import Program
from moec.runtime.progress import Progress
from moec.runtime.recorder import Recorder
from moec.runtime.recovery import Recovered
from moec.runtime.result import summarise
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import Layout, TrainState, count_params
from moec.runtime.train_step import StepReport, TrainStep
from moec.runtime.verify import check_same, rehearse
from moec.runtime.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class Desk:
    """What a session works with besides the model; whoever opened it closes it."""

    directory: RunDirectory
    progress: Progress
    checkpoints: CheckpointWriter
    interrupt: Interrupt
    watchdog: Watchdog
    metrics: Journal
    evaluations: Journal


def data_of(program: Program) -> TextData:
    """The program's data. Errors: RunError where it has none."""
    if program.data is None:
        raise RunError(
            "this run has no `data`: it can be planned, compiled and proven, not trained; add a data block to its spec",
            2,
        )
    return program.data


class Session:
    """Takes the steps from where the run stands to `steps`, in total, and evaluates at the end.

    `step` waits for the compiled step. `began`: when the command did, by `time.perf_counter`.
    """

    def __init__(
        self,
        program: Program,
        layout: Layout,
        desk: Desk,
        start: Recovered[TrainState],
        steps: int,
        verify_every: int,
        step: Callable[[], CompiledStep],
        began: float,
    ) -> None:
        self._began = began
        self._program, self._layout, self._desk = program, layout, desk
        self._steps, self._verify_every, self._step = steps, verify_every, step
        self._data = data_of(program)
        self._evaluator = Evaluator(program, self._data, layout, desk.directory.tokens)
        self._start, self._initial = start.position, start.tree
        self._clock = TrainingClock(self._start.seconds)
        self._recorder = Recorder(
            program, desk.metrics, desk.progress, self._clock, steps=steps, advice=desk.checkpoints.advice
        )
        self._compile_seconds: float | None = None

    def run(self) -> bool:
        """All the steps that are left, then the final evaluation; False where the run was interrupted before."""
        state, step = self._initial, self._start.step
        self._compare_with_plan(state)
        if step < self._steps:
            state, step = self._take_steps(state)
        if step < self._steps:
            self._desk.progress.say(f"stopped and saved at step {step}; the same command goes on from there")
            return False
        self._finish(state)
        return True

    def _compare_with_plan(self, state: TrainState) -> None:
        params, planned = count_params(state.params), self._program.expectations.params
        if params != planned:
            self._desk.progress.say(
                f"note: the model has {params:,} parameters and its plan {planned:,}: the program was changed since"
            )

    def _take_steps(self, state: TrainState) -> tuple[TrainState, int]:
        """The state after the last step that was taken, and that step.

        The report of a step is fetched when the next step is under way, so that the device never waits for the host;
        before a pause (saving, evaluating, stopping, taking a step twice) all reports are fetched.
        """
        compiled = self._compiled_step()
        give_back_freed()
        self._desk.watchdog.alive()
        waiting: deque[tuple[int, StepReport]] = deque()
        with jax.set_mesh(self._layout.mesh), contextlib.closing(self._placed_batches()) as batches:
            self._clock.restart()
            for step, batch in zip(range(self._start.step + 1, self._steps + 1), batches, strict=False):
                self._desk.checkpoints.check()
                verifies = self._verifies(step)
                if verifies:
                    self._record_all_but(0, waiting)
                    state, report = self._take_step_twice(compiled, step, state, batch)
                else:
                    state, report = compiled(state, batch)
                waiting.append((step, report))
                stops = self._desk.interrupt.stops_here()
                pauses = stops or self._pauses_after(step)
                self._record_all_but(0 if pauses or verifies else 1, waiting)
                if pauses:
                    self._pause(step, state, stops=stops)
                if stops:
                    break
        return state, step

    def _verifies(self, step: int) -> bool:
        return self._verify_every > 0 and step % self._verify_every == 0

    def _take_step_twice(
        self, compiled: TrainStep, step: int, state: TrainState, batch: Batch
    ) -> tuple[TrainState, StepReport]:
        """Only the second time counts as training."""
        rehearsed = rehearse(compiled, state, batch)
        self._clock.restart()
        after, report = compiled(state, batch)
        check_same(step, rehearsed, after, report)
        return after, report

    def _record_all_but(self, n_left: int, waiting: deque[tuple[int, StepReport]]) -> None:
        while len(waiting) > n_left:
            self._record(*waiting.popleft())

    def _record(self, step: int, report: StepReport) -> None:
        self._recorder.record(step, report)
        self._desk.watchdog.alive()
        if step == self._start.step + 1:
            self._desk.progress.say(f"first step done {time.perf_counter() - self._began:.1f} s after the start")

    def _compiled_step(self) -> TrainStep:
        compiled = self._step()
        self._compile_seconds = compiled.seconds
        self._desk.progress.say(f"compiled in {compiled.seconds:.1f} s")
        return compiled.step

    def _placed_batches(self) -> Iterator[Batch]:
        """The batches of the steps that are left, on the mesh."""
        training = replace(self._program.training, steps=self._steps)
        mesh = self._layout.mesh
        share = row_share(mesh, training.micro_sequences)
        batches = train_batches(
            self._data,
            training,
            first_step=self._start.step,
            process_index=share.index,
            process_count=share.count,
            cache_dir=self._desk.directory.tokens,
        )
        with contextlib.closing(batches):
            for batch in batches:
                yield place(batch, batch_sharding(mesh), share)

    def _pauses_after(self, step: int) -> bool:
        return step == self._steps or self._saves_after(step) or self._evaluates_after(step)

    def _saves_after(self, step: int) -> bool:
        every = self._program.checkpoints.every_steps
        return step == self._steps or (every > 0 and step % every == 0)

    def _evaluates_after(self, step: int) -> bool:
        every = self._program.evaluation.every_steps
        return every > 0 and step % every == 0 and step != self._steps

    def _pause(self, step: int, state: TrainState, *, stops: bool) -> None:
        if stops or self._saves_after(step):
            position = replace(self._start, step=step, seconds=self._clock.seconds)
            self._desk.checkpoints.save(position, state)
        if self._evaluates_after(step) and not stops:
            held_out = self._evaluate(step, state)
            if held_out is not None:
                self._desk.progress.say(f"step {step:,}: held-out loss {held_out.loss:.4f}")
        give_back_freed()
        self._clock.restart()
        self._desk.watchdog.alive()

    def _evaluate(self, step: int, state: TrainState) -> HeldOut | None:
        held_out = self._evaluator.held_out(state.weights, self._program.evaluation.tokens)
        if held_out is not None:
            self._desk.evaluations.write({"step": step, "eval_loss": held_out.loss, "seconds": self._clock.seconds})
        return held_out

    def _finish(self, state: TrainState) -> None:
        """The final evaluation and the result."""
        held_out = self._evaluate(max(self._steps, self._start.step), state)
        unigram = self._evaluator.unigram(self._program.evaluation.tokens)
        self._desk.progress.say(self._evaluator.describe(held_out, unigram))
        if not is_first_process():
            return
        directory = self._desk.directory
        result = summarise(
            self._program,
            directory.metrics,
            held_out,
            unigram,
            params=count_params(state.params),
            compile_seconds=self._compile_seconds,
        )
        write_json(directory.result, result)
        self._desk.progress.say(f"saved in {directory.root}")
