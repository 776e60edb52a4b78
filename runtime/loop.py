"""Training: from a program and a folder to a trained model, however often it is interrupted and resumed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from moec.runtime.checkpoints import Position, Resume, open_checkpoints, position_to_resume
from moec.runtime.interrupt import listen_for_interrupts
from moec.runtime.processes import is_first_process, wait_for_all
from moec.runtime.program import Program
from moec.runtime.progress import open_progress
from moec.runtime.run_directory import RunDirectory, own
from moec.runtime.session import Desk, Session


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """`steps` is the total, also on resume."""

    directory: Path
    steps: int
    resume: Resume = "auto"


def train(program: Program, options: TrainOptions) -> int:
    """Trains, evaluates and saves below the folder; gives the exit code: 0, or 130 / 143 where a signal stopped it.

    Errors: RunError where the run cannot start as asked or must not go on, DataError where the text is of no use.
    """
    with contextlib.ExitStack() as stack:
        desk = _open_desk(program, options, stack)
        start = position_to_resume(desk.checkpoints, options.resume, program.identity, desk.directory)
        if start is not None and _is_finished(start, options, desk):
            return 0
        session = stack.enter_context(contextlib.closing(Session(program, desk, start, options.steps)))
        session.run()
        return desk.interrupt.exit_code


def _open_desk(program: Program, options: TrainOptions, stack: contextlib.ExitStack) -> Desk:
    directory = RunDirectory(options.directory)
    progress = stack.enter_context(open_progress(first_process=is_first_process()))
    if is_first_process():
        stack.enter_context(own(directory))
        if options.resume == "never" and directory.has_products():
            progress.say(f"the earlier run is now in {directory.set_aside()}")
    wait_for_all("the run directory is ready")
    checkpoints = stack.enter_context(open_checkpoints(directory, program.checkpoints.keep))
    return Desk(directory, progress, checkpoints, stack.enter_context(listen_for_interrupts()))


def _is_finished(start: Position, options: TrainOptions, desk: Desk) -> bool:
    """Whether there is nothing left to do, which is then said.

    A run that was stopped between its last step and its result still has to evaluate.
    """
    if start.step < options.steps or not desk.directory.result.exists():
        return False
    desk.progress.say(
        f"finished: {desk.directory.root} has step {start.step} of {options.steps}; "
        "give more --steps to go on, or --resume never to start afresh"
    )
    return True
