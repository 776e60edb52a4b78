"""Training: from a program and a folder to a trained model, however often it is interrupted and resumed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from moec.runtime.background import CompiledStep, compile_later, compile_meanwhile
from moec.runtime.checkpoints import open_checkpoints
from moec.runtime.data.text import TextData, corpus_facts
from moec.runtime.failure import RunError
from moec.runtime.interrupt import listen_for_interrupts
from moec.runtime.manifest import Position
from moec.runtime.mesh import make_mesh
from moec.runtime.metrics import Journal, open_events, resumed_journal
from moec.runtime.processes import is_first_process, wait_for_all
from moec.runtime.program import Program
from moec.runtime.progress import Progress, open_progress
from moec.runtime.recovery import Recovered, newest_position, quarantine, recover
from moec.runtime.run_directory import RunDirectory, own
from moec.runtime.session import Desk, Session, data_of
from moec.runtime.state import Layout, TrainState, initial_state, lay_out
from moec.runtime.watchdog import watch

HANG_SECONDS = 1800.0
"""Assumption: no step, save or evaluation takes half an hour."""

Resume = Literal["auto", "never", "must"]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """`steps` is the total, also on resume. Checkpoints of a program with the identity `accept` are gone on from too.

    Every step whose number `verify_every` divides is taken twice; 0 takes none. `hang_seconds` without a step end the
    process; 0 waits for ever.
    """

    directory: Path
    steps: int
    resume: Resume = "auto"
    accept: str | None = None
    verify_every: int = 0
    hang_seconds: float = HANG_SECONDS


def train(program: Program, options: TrainOptions) -> int:
    """Trains, evaluates and saves below the folder; gives the exit code: 0, or 130 / 143 where a signal stopped it.

    Errors: RunError where the run cannot start as asked or must not go on, DataError where the text is of no use.
    """
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        directory, progress = RunDirectory(options.directory), stack.enter_context(open_progress(is_first_process()))
        _take_over(directory, options.resume, progress, stack)
        identities = (program.identity, *(() if options.accept is None else (options.accept,)))
        newest = newest_position(directory, identities)
        if newest is not None and _is_finished(newest, options, directory):
            progress.say(_finished(newest, options))
            return 0
        layout = lay_out(program, make_mesh(program.mesh))
        corpus = _corpus(data_of(program), directory)
        interrupt = stack.enter_context(listen_for_interrupts())
        step = _step(program, layout, newest, corpus, options)
        start = _start(program, layout, identities, options, directory, progress, corpus)
        watchdog = stack.enter_context(watch(options.hang_seconds))
        checkpoints = stack.enter_context(open_checkpoints(directory, program.checkpoints.keep))
        metrics, evaluations = _open_journals(directory, start.position.step, stack)
        desk = Desk(directory, progress, checkpoints, interrupt, watchdog, metrics, evaluations)
        finished = Session(program, layout, desk, start, options.steps, options.verify_every, step, began).run()
        return 0 if finished else interrupt.exit_code


def _take_over(directory: RunDirectory, resume: Resume, progress: Progress, stack: contextlib.ExitStack) -> None:
    """Makes the folder this run's own; returns when all its processes may use it."""
    if is_first_process():
        stack.enter_context(own(directory))
        if resume == "never" and directory.has_products():
            progress.say(f"the earlier run is now in {directory.set_aside()}")
    wait_for_all("the run directory is ready")


def _step(
    program: Program, layout: Layout, newest: Position | None, corpus: str, options: TrainOptions
) -> Callable[[], CompiledStep]:
    """What waits for the step. Nothing is compiled before it is called where no step is left, or where the run will be
    refused: the process would only end once the step is compiled."""
    begins = newest is None and options.resume != "must"
    goes_on = newest is not None and newest.step < options.steps and newest.corpus == corpus
    compile_step = compile_meanwhile if begins or goes_on else compile_later
    return compile_step(program, layout)


def _start(
    program: Program,
    layout: Layout,
    identities: tuple[str, ...],
    options: TrainOptions,
    directory: RunDirectory,
    progress: Progress,
    corpus: str,
) -> Recovered[TrainState]:
    """Where the run goes on, or begins.

    Errors: RunError where there is no good checkpoint although there must be, or where the text is not that of the
    checkpoint.
    """
    found = recover(directory, identities, layout.abstract, quarantine(directory, progress.say))
    if found is None and options.resume == "must":
        raise RunError(f"there is no checkpoint in {directory.root}: leave out --resume must to start afresh", 2)
    if found is None:
        beginning = Position(program.identity, 0, program.training.seed, 0.0, corpus)
        return Recovered(beginning, initial_state(program, layout))
    if found.position.corpus != corpus:
        raise RunError(
            f"the text of this run is no longer what it was trained on up to step {found.position.step}: it was "
            f"{found.position.corpus}, now it is {corpus}; bring the old text back, use train --resume never to "
            "start afresh, or --out with another folder",
            2,
        )
    progress.say(f"resumed from step {found.position.step}")
    return replace(found, position=replace(found.position, identity=program.identity))


def _corpus(data: TextData, directory: RunDirectory) -> str:
    """The fingerprint of the text; a large one is tokenised by the first process, for all."""
    if not is_first_process():
        wait_for_all("the text is ready")
        return corpus_facts(data, cache_dir=directory.tokens).fingerprint
    fingerprint = corpus_facts(data, cache_dir=directory.tokens).fingerprint
    wait_for_all("the text is ready")
    return fingerprint


def _open_journals(directory: RunDirectory, step: int, stack: contextlib.ExitStack) -> tuple[Journal, Journal]:
    """The journals of steps and of evaluations, which go on after `step`; what other processes write is lost."""
    if not is_first_process():
        nowhere = stack.enter_context(contextlib.closing(Journal(Path(os.devnull), None)))
        return nowhere, nowhere
    events = open_events(directory.tensorboard, step)
    if events is not None:
        stack.callback(events.close)
    metrics, evaluations = (
        stack.enter_context(contextlib.closing(resumed_journal(path, step, events)))
        for path in (directory.metrics, directory.evaluations)
    )
    return metrics, evaluations


def _is_finished(start: Position, options: TrainOptions, directory: RunDirectory) -> bool:
    """Whether nothing is left to do: a run that was stopped between last step and result still has to evaluate."""
    return start.step >= options.steps and directory.result.exists()


def _finished(start: Position, options: TrainOptions) -> str:
    return (
        f"finished: {options.directory} has step {start.step} of {options.steps}; "
        "give more --steps to go on, or --resume never to start afresh"
    )
