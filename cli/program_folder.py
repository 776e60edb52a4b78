"""`moec run FOLDER`: the program that is there, as it is, with a word where it is not what its resolved.moe gives."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from moec.cli.command import Failure
from moec.cli.compile import PROGRAM
from moec.cli.specs import read_plans

RESOLVED = "resolved.moe"


def program_in(folder: Path) -> Path:
    """The program of a folder that `moec compile` or `moec run` wrote. Failure where there is none."""
    program = folder / PROGRAM
    if not program.is_file():
        raise Failure(f"{folder} has no {PROGRAM}: name the folder of one run, or a spec")
    return program


def tell_changes(program: Path) -> None:
    """Says on standard error in one line how the program differs from what moec wrote, where it does.

    The program is read and not executed; its spec is compiled again to be held against it.
    """
    from moec.compiler.artifacts import compile_run
    from moec.compiler.emit.program_hash import is_as_written
    from moec.compiler.program_changes import program_changes

    text = program.read_text(encoding="utf-8", errors="replace")
    if is_as_written(text):
        return
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its warnings were told when the program was written
            plan, *_ = read_plans(str(program.with_name(RESOLVED)), None)
        told = f"it differs in {', '.join(program_changes(compile_run(plan).program, text))}"
    except Failure:
        told = f"the {RESOLVED} beside it, which would tell what was changed, does not compile"
    print(f"warning: {program} is not what moec wrote: {told}", file=sys.stderr, flush=True)
