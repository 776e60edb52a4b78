"""`moec expand`: the spec with nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import OK, Command
from moec.cli.specs import add_run, add_spec, choose_runs, read_files, resolve_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument("--origins", action="store_true", help="say behind each value where it was written")


def _run(arguments: Namespace) -> int:
    from moec.compiler.expand import expand_run

    files = read_files(arguments.spec)
    runs = choose_runs(resolve_files(files), arguments.run)
    sources = files.sources if arguments.origins else None
    print("\n".join(expand_run(run, sources) for run in runs).rstrip("\n"))
    return OK


COMMAND = Command(
    "expand",
    "print the spec with imports, inheritance and defaults written out",
    ("moec expand tiny.moe --run baseline", "moec expand tiny.moe --origins   # where each value was written"),
    _add_arguments,
    _run,
)
