"""`moec compile`: one folder per run, with the program and what it was made from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moec.cli.command import OK, Command
from moec.cli.files import write_whole
from moec.cli.specs import add_run, add_spec, read_plans

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.plan import Plan

PROGRAM = "program.py"
EARLIER_PROGRAM = "program.earlier.py"


class Written(NamedTuple):
    """A file of a run's folder; `state` is `wrote`, `same` or `replaced`."""

    path: Path
    state: str


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument("-o", "--out", metavar="DIR", required=True, help="the folder that gets one folder per run")


def _run(arguments: Namespace) -> int:
    for plan in read_plans(arguments.spec, arguments.run):
        report(write_run(plan, Path(arguments.out) / plan.run.name))
    return OK


def write_run(plan: Plan, folder: Path) -> tuple[Written, ...]:
    """Compiles `plan` into `folder`, each file at once or not at all; another program.py that was there is kept."""
    from moec.compiler.artifacts import compile_run

    artifacts = compile_run(plan)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        PROGRAM: artifacts.program,
        "plan.json": artifacts.plan_json,
        "plan.md": artifacts.plan_markdown,
        "resolved.moe": artifacts.resolved,
    }
    return tuple(write_file(folder / name, text) for name, text in files.items())


def write_file(path: Path, text: str) -> Written:
    """Writes one file, where it does not say `text` already; another program.py that was there is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else None
    if earlier == text:
        return Written(path, "same")
    if earlier is not None and path.name == PROGRAM:
        write_whole(path.with_name(EARLIER_PROGRAM), earlier)
    write_whole(path, text)
    return Written(path, "wrote" if earlier is None else "replaced")


def report(files: tuple[Written, ...]) -> None:
    """Tells on standard output what was written."""
    for path, state in files:
        kept = _kept(path) if state == "replaced" and path.name == PROGRAM else ""
        print(f"{state:<8} {path}{kept}")
    sys.stdout.flush()


def _kept(program: Path) -> str:
    """Where the program is that was replaced, and whether someone had worked on it."""
    from moec.compiler.emit.program_hash import is_as_written

    earlier = program.with_name(EARLIER_PROGRAM).read_text(encoding="utf-8")
    changed = ", changed by hand," if is_as_written(earlier) is False else ""
    return f" (the earlier one{changed} is {EARLIER_PROGRAM})"


COMMAND = Command(
    "compile",
    "write program.py, plan.json, plan.md and resolved.moe for each run",
    (
        "moec compile tiny.moe -o out",
        "moec compile tiny.moe -o out --run baseline && python out/baseline/program.py train",
    ),
    _add_arguments,
    _run,
)
