"""From the path of a spec to what a command works on, each step's mistakes told on standard error.

path ──load──▶ syntax ──read, resolve──▶ typed spec ──plan──▶ plans
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, MISUSED, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from moec.compiler.places import Places
    from moec.compiler.plan import Plan
    from moec.compiler.typed import RunSpec, TypedSpec
    from moec.spec.diagnostics import Diagnostic
    from moec.spec.loader import LoadedFiles
    from moec.spec.source import Sources

STDIN = "-"
STDIN_NAME = "stdin.moe"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec as read; `files` is None where the file itself cannot be had."""

    path: str
    files: LoadedFiles | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def sources(self) -> Sources:
        return self.files.sources if self.files else {}


def add_spec(parser: ArgumentParser, or_folder: str = "") -> None:
    """The argument SPEC; `or_folder` says what else it may name."""
    parser.add_argument(
        "spec", metavar="SPEC", help=f"a .moe or .moe.yaml file{or_folder}; {STDIN} reads .moe from standard input"
    )


def add_run(parser: ArgumentParser) -> None:
    """The option --run."""
    parser.add_argument("--run", metavar="NAME", help="this run only (default: all runs)")


def load_spec(path: str) -> Loaded:
    """The spec at `path`, `-` for standard input, with what is wrong with its text."""
    from moec.spec.loader import load

    if path == STDIN:
        return _load_stdin()
    return Loaded(path, *load(path))


def _load_stdin() -> Loaded:
    from pathlib import Path

    from moec.spec.codes import files as codes
    from moec.spec.limits import MAX_FILE_BYTES
    from moec.spec.loader import load_text
    from moec.spec.source import Span

    where = Span(STDIN_NAME, 0, 0)
    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        return Loaded(STDIN_NAME, None, (codes.file_too_large(where, STDIN_NAME),))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Loaded(STDIN_NAME, None, (codes.not_utf8(where, STDIN_NAME, line, content[error.start]),))
    return Loaded(STDIN_NAME, *load_text(STDIN_NAME, text, root=Path.cwd()))


def read_files(path: str) -> LoadedFiles:
    """The files of a spec whose text has no mistake; else they are told and the command ends."""
    loaded = load_spec(path)
    stop_on_errors(loaded.diagnostics, loaded.sources)
    if loaded.files is None:
        raise Failure(f"{loaded.path} cannot be read")
    return loaded.files


def resolve_files(files: LoadedFiles) -> TypedSpec:
    """The typed spec of `files`; mistakes are told and end the command."""
    from moec.compiler.resolve import resolve
    from moec.spec.reader import read

    spec, of_reading = read(files)
    typed, of_resolving = resolve(spec)
    stop_on_errors((*of_reading, *of_resolving), files.sources)
    return typed


def choose_runs(typed: TypedSpec, name: str | None) -> tuple[RunSpec, ...]:
    """The run called `name`, or all runs where it is None."""
    from moec.spec.near import nearest

    if name is None:
        if not typed.runs:
            raise Failure(f"{typed.file} has no run: add `run NAME {{ model = …, mesh = …, budget = … }}`", DIAGNOSED)
        return typed.runs
    names = tuple(run.name for run in typed.runs)
    if name not in names:
        near = nearest(name, names)
        meant = f"; did you mean `{near}`?" if near else ""
        raise Failure(f"{typed.file} has no run `{name}`{meant} (runs: {', '.join(names) or 'none'})")
    return tuple(run for run in typed.runs if run.name == name)


def make_plans(runs: tuple[RunSpec, ...], sources: Sources) -> tuple[Plan, ...]:
    """The plans of `runs`; mistakes of all of them are told and end the command."""
    from moec.compiler.pipeline import plan_run

    plans: list[Plan] = []
    diagnostics: list[Diagnostic] = []
    for run in runs:
        plan, told = plan_run(run)
        diagnostics += told
        if plan is not None:
            plans.append(plan)
    stop_on_errors(tuple(diagnostics), sources)
    return tuple(plans)


def read_plans(path: str, run: str | None) -> tuple[Plan, ...]:
    """The plans of the run called `run`, or of all runs; mistakes are told and end the command."""
    return tuple(plan for plan, _ in read_placed_plans(path, run))


def read_placed_plans(path: str, run: str | None) -> tuple[tuple[Plan, Places], ...]:
    """The plans as `read_plans` gives them, each with the lines of the spec that its fields come from."""
    from moec.compiler.places import places_of_run

    files = read_files(path)
    plans = make_plans(choose_runs(resolve_files(files), run), files.sources)
    return tuple((plan, places_of_run(plan.run, files.sources)) for plan in plans)


def stop_on_errors(diagnostics: tuple[Diagnostic, ...], sources: Sources) -> None:
    """Tells `diagnostics` on standard error, and ends the command if there is an error among them."""
    from moec.spec.allowances import without_allowed
    from moec.spec.diagnostics import has_errors, in_order

    told = in_order(without_allowed(diagnostics, sources)) if diagnostics else ()
    if told:
        tell(told, sources)
    if has_errors(told):
        raise Failure("", DIAGNOSED if sources else MISUSED)


def tell(diagnostics: tuple[Diagnostic, ...], sources: Sources) -> None:
    """Prints `diagnostics` for people on standard error."""
    from moec.cli.terminal import wants_colour, width
    from moec.spec.render.full import render_full

    text = render_full(diagnostics, sources, color=wants_colour(sys.stderr), width=width(sys.stderr))
    print(text.rstrip("\n"), file=sys.stderr)
