"""`moec run`: compile, train, and for a study compare."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moec.cli import compile as compile_command
from moec.cli.command import DIAGNOSED, INTERRUPTED, MISUSED, OK, TERMINATED, Command, Failure
from moec.cli.specs import add_spec, choose_runs, make_plans, read_files, resolve_files, stop_on_errors

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.plan import Plan
    from moec.compiler.typed import RunSpec, StudySpec, TypedSpec
    from moec.spec.loader import LoadedFiles
    from moec.spec.source import Sources

HUNG = 75  # what a program that hangs ends with: moec.runtime.watchdog
OUT_OF_MEMORY = 71  # and one that asks for more memory than there is, as it would again: moec.runtime.out_of_memory
OF_SPECS = ("--run", "--set", "--out", "--accept-changes")
NOT_TO_BE_RESTARTED = (OK, MISUSED, OUT_OF_MEMORY, INTERRUPTED, TERMINATED)


class Training(NamedTuple):
    """One training as it is asked for; `folder` lies below the output folder."""

    title: str
    folder: Path
    run: RunSpec


class Job(NamedTuple):
    """One training as it is done: a plan, and the folder that gets the results."""

    title: str
    plan: Plan
    folder: Path


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser, or_folder=" or the folder of one run, whose program runs as it is")
    parser.add_argument(
        "--run", metavar="NAME", help="this run only (default: the study's runs, or else all runs, in order)"
    )
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="options",
        help="change a field: run.batch.tokens=8Ki",
    )
    parser.add_argument("--steps", metavar="N", type=positive, help="stop after N steps in all, also on resume")
    parser.add_argument("--resume", choices=("auto", "never", "must"), default="auto", help="default: auto")
    parser.add_argument(
        "--accept-changes", action="store_true", help="go on although the spec has changed since the newest checkpoint"
    )
    parser.add_argument(
        "--restart",
        metavar="N",
        type=positive,
        default=0,
        help="start a run again, at most N times, where it hung, crashed or failed (default: not at all)",
    )
    parser.add_argument(
        "--verify-steps", metavar="N", type=positive, help="take every Nth step twice and compare the bits"
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR", help="the folder that gets one folder per run (default: runs/SPEC's name)"
    )


def positive(text: str) -> int:
    """The number above 0 that an option says."""
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _run(arguments: Namespace) -> int:
    if Path(arguments.spec).is_dir():
        return _run_folder(arguments)
    out = Path(arguments.out) if arguments.out else Path("runs") / spec_name(arguments.spec)
    files = changed_files(arguments)
    typed = resolve_files(files)
    study = _study(typed, arguments.run)
    jobs = _jobs(_trainings(typed, study, arguments.run), files.sources, out)
    _announce(arguments.run, study, jobs, out)
    for job in jobs:
        status = _train(job, arguments)
        if status != OK:
            return status
    if study is not None:
        from moec.cli.study import write_study

        write_study(study, tuple((job.title, job.folder) for job in jobs), out)
    return OK


def _run_folder(arguments: Namespace) -> int:
    """Executes the program of a folder as it is; what would give it another one is refused."""
    from moec.cli.program_folder import program_in, tell_changes

    given = (arguments.run, arguments.options, arguments.out, arguments.accept_changes)
    refused = ", ".join(option for option, value in zip(OF_SPECS, given, strict=True) if value)
    if refused:
        raise Failure(f"{arguments.spec} is the folder of a program, which runs as it is: {refused} need a spec")
    program = program_in(Path(arguments.spec))
    tell_changes(program)
    return _execute(program, arguments, None)


def changed_files(arguments: Namespace) -> LoadedFiles:
    """The spec as read, with the fields of --set in the run that is asked for, or else in all runs."""
    files = read_files(arguments.spec)
    if not arguments.options:
        return files
    from moec.cli.overrides import override, run_names

    names = run_names(files) if arguments.run is None else (arguments.run,)
    files, diagnostics = override(files, tuple(arguments.options), names)
    stop_on_errors(diagnostics, files.sources)
    return files


def spec_name(path: str) -> str:
    """What the outputs of the spec at `path` are called: its file name without the ending."""
    name = Path(path).name
    for ending in (".moe.yaml", ".moe.yml", ".yaml", ".yml", ".moe"):
        name = name.removesuffix(ending)
    return name if name not in ("", "-") else "stdin"


def _study(typed: TypedSpec, run: str | None) -> StudySpec | None:
    """The study to do; None where one run is asked for or the spec has none."""
    if run is not None or not typed.studies:
        return None
    if len(typed.studies) > 1:
        names = ", ".join(study.name for study in typed.studies)
        raise Failure(f"{typed.file} has several studies ({names}); keep one per spec, or give --run NAME", DIAGNOSED)
    return typed.studies[0]


def _trainings(typed: TypedSpec, study: StudySpec | None, name: str | None) -> tuple[Training, ...]:
    """What to train, in order. Failure: a run that has no data."""
    if study is None:
        runs = choose_runs(typed, name)
    else:
        runs = tuple(run for name in study.runs for run in choose_runs(typed, name))
    refuse_without_data(runs)
    if study is None or not study.seeds:
        return tuple(Training(run.name, Path(run.name), run) for run in runs)
    return tuple(
        Training(f"{run.name}, seed {seed}", Path(run.name) / f"seed-{seed}", replace(run, seed=seed))
        for run in runs
        for seed in study.seeds
    )


def refuse_without_data(runs: tuple[RunSpec, ...]) -> None:
    """Failure: a run that can be planned and compiled, but not trained."""
    for run in runs:
        if run.data is None:
            raise Failure(f"the run `{run.name}` has no data; it can be trained once it says `data = …`", DIAGNOSED)


def _jobs(trainings: tuple[Training, ...], sources: Sources, out: Path) -> tuple[Job, ...]:
    """All plans, before anything is trained."""
    plans = make_plans(tuple(training.run for training in trainings), sources)
    return tuple(
        Job(training.title, plan, out / training.folder) for training, plan in zip(trainings, plans, strict=True)
    )


def _announce(run: str | None, study: StudySpec | None, jobs: tuple[Job, ...], out: Path) -> None:
    titles = ", then ".join(job.title for job in jobs)
    if study is not None:
        from moec.cli.comparison import IN_WORDS

        print(
            f"study {study.name}: {titles}; compared at equal {IN_WORDS[study.match]}\nfolder: {out}",
            flush=True,
        )
    elif run is None and len(jobs) > 1:
        print(f"no study in this spec, so all its runs: {titles}\nfolder: {out}", flush=True)
    else:
        print(f"run {titles}\nfolder: {out}", flush=True)


def _train(job: Job, arguments: Namespace) -> int:
    from moec.cli.resumption import accepted_identity, keep_earlier

    print(f"\n== {job.title}", flush=True)
    accepted = None
    if arguments.resume != "never":
        accepted = accepted_identity(job.plan, job.folder, arguments.accept_changes)
    if accepted is not None:
        keep_earlier(job.folder, accepted)
    compile_command.report(compile_command.write_run(job.plan, job.folder))
    return _execute(job.folder / compile_command.PROGRAM, arguments, accepted)


def _execute(program: Path, arguments: Namespace, accepted: str | None) -> int:
    """The exit status of the last attempt."""
    from moec.cli.program import execute

    options = [] if arguments.steps is None else ["--steps", str(arguments.steps)]
    options += [] if accepted is None else ["--accept", accepted]
    options += [] if arguments.verify_steps is None else ["--verify-steps", str(arguments.verify_steps)]
    return with_restarts(
        lambda resume: execute(program, ("train", "--resume", resume, *options)), arguments.resume, arguments.restart
    )


def with_restarts(train: Callable[[str], int], resume: str, restarts: int) -> int:
    """The exit status of the last attempt: `train(resume)`, then `train("auto")` as long as that has failed."""
    status = train(resume)
    for attempt in range(1, restarts + 1):
        if status in NOT_TO_BE_RESTARTED:
            break
        print(f"the run {_ended(status)}; restart {attempt} of {restarts}", flush=True)
        status = train("auto")
    return status


def _ended(status: int) -> str:
    from moec.cli.program import SIGNALLED

    if status == HUNG:
        return "hung"
    return f"was ended by signal {status - SIGNALLED}" if status > SIGNALLED else f"ended with exit code {status}"


COMMAND = Command(
    "run",
    "compile a spec and train it; a study also compares its runs",
    (
        "moec run tiny.moe",
        "moec run tiny.moe --run baseline --steps 20",
        "moec run tiny.moe --set run.batch.tokens=8Ki --set small.tokens=2M",
        "moec run runs/tiny/baseline       # the program of that folder, as it is",
        "moec run tiny.moe --restart 20     # after a hang or a crash it goes on by itself",
        "moec run tiny.moe --resume never   # puts the earlier results aside and starts again",
    ),
    _add_arguments,
    _run,
)
