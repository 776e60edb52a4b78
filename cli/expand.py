"""`moec expand`: the spec with nothing left out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure
from moec.cli.specs import add_run, add_spec, choose_runs, read_files, resolve_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from moec.compiler.typed import RunSpec
    from moec.spec.source import Sources
    from moec.spec.syntax import File, Statement


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument("--origins", action="store_true", help="say behind each value where it was written")


def _run(arguments: Namespace) -> int:
    files = read_files(arguments.spec)
    runs = choose_runs(resolve_files(files), arguments.run)
    texts = [_expanded(run, files.sources if arguments.origins else None) for run in runs]
    if len(texts) == 1:
        sys.stdout.write(texts[0])
    else:
        sys.stdout.write(_joined(texts, _studies(files.main_file)))
    return OK


def _expanded(run: RunSpec, sources: Sources | None) -> str:
    from moec.compiler.expand import expand_run, expand_with_origins

    return expand_run(run) if sources is None else expand_with_origins(run, sources)


def _studies(file: File) -> list[Statement]:
    from moec.spec.syntax import Block

    return [
        statement for statement in file.statements if isinstance(statement, Block) and statement.kind.text == "study"
    ]


def _joined(texts: Iterable[str], studies: list[Statement]) -> str:
    """One spec with the runs of all `texts`; what several of them have is written once.

    Failure: two runs mean different blocks by the same name, which only files with `use` can.
    """
    from dataclasses import replace

    from moec.spec.formatter import format_file
    from moec.spec.parser import parse
    from moec.spec.source import Source
    from moec.spec.syntax import Block

    trees = [parse(Source("expanded.moe", text))[0] for text in texts]
    found: dict[tuple[str, str], Statement] = {}
    for statement in (statement for tree in trees for statement in tree.statements):
        label = statement.label.text if isinstance(statement, Block) and statement.label else ""
        key = (statement.kind.text if isinstance(statement, Block) else "", label)
        if found.setdefault(key, statement) != statement:
            raise Failure(f"the runs mean different blocks by `{' '.join(key)}`; expand one at a time with --run NAME")
    return format_file(replace(trees[0], statements=(*found.values(), *studies)))


COMMAND = Command(
    "expand",
    "print the spec with imports, inheritance and defaults written out",
    ("moec expand tiny.moe --run baseline", "moec expand tiny.moe --origins   # where each value was written"),
    _add_arguments,
    _run,
)
