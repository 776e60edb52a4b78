"""`--set run.batch.tokens=8Ki`: fields of a spec changed from the command line, before anything is resolved.

A path begins with `run`, for the runs that the command works on, or with the name of a block: `small.steps=20`.
The options are one source, a line each, so that a diagnostic points into them as into a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from moec.cli.command import Failure
from moec.spec.source import Source, Span
from moec.spec.syntax import Block, Field, File, Name

if TYPE_CHECKING:
    from moec.spec.diagnostics import Diagnostic
    from moec.spec.loader import LoadedFiles

SOURCE_NAME = "--set"


def override(
    files: LoadedFiles, options: tuple[str, ...], runs: tuple[str, ...]
) -> tuple[LoadedFiles, tuple[Diagnostic, ...]]:
    """`files` with the fields of `options` set in its main file, and what is wrong with their values.

    `runs` are the names of the blocks that `run.…` stands for. Failure: a path that leads to no block.
    """
    from moec.spec.parser import parse

    source = Source(SOURCE_NAME, "\n".join(options))
    padded = Source(SOURCE_NAME, "\n".join(_padded(option) for option in options))
    values, diagnostics = parse(padded)
    main = files.main_file
    if not diagnostics and len(values.statements) != len(options):
        raise Failure("--set takes one field; write it again for another")
    for statement in values.statements:
        if isinstance(statement, Field):
            main = _set(main, statement, _path_at(source, statement.name.span.start), runs)
    changed = replace(files, files={**files.files, files.main: main}, sources={**files.sources, SOURCE_NAME: source})
    return changed, diagnostics


def run_names(files: LoadedFiles) -> tuple[str, ...]:
    """The names of all runs that stand in the main file."""
    blocks = (statement for statement in files.main_file.statements if isinstance(statement, Block))
    return tuple(block.label.text for block in blocks if block.kind.text == "run" and block.label is not None)


def _padded(option: str) -> str:
    """`option` as a field, each character of its value in its place: `run.seed=1` gives `seed    =1`."""
    path, equals, value = option.partition("=")
    parts = path.strip().split(".")
    if not equals or len(parts) < 2 or not all(part.isidentifier() for part in parts) or not option.isprintable():
        raise Failure(f"--set {option!r}: write a path, `=` and a value, as in --set run.batch.tokens=8Ki")
    return parts[-1].ljust(len(path)) + equals + value


def _path_at(source: Source, offset: int) -> tuple[Name, ...]:
    """The path of the option that begins at `offset`, part by part."""
    path = source.text[offset:].partition("=")[0]
    names: list[Name] = []
    for part in path.strip().split("."):
        names.append(Name(part, Span(SOURCE_NAME, offset, offset + len(part))))
        offset += len(part) + 1
    return tuple(names)


def _set(file: File, field: Field, path: tuple[Name, ...], runs: tuple[str, ...]) -> File:
    first, *inner = path
    wanted = runs if first.text == "run" else (first.text,)
    found = {s.label.text for s in file.statements if isinstance(s, Block) and s.label is not None}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise Failure(f"--set {first.text}.…: {file.span.file} has no block `{missing[0]}`; it has {_listed(found)}")
    placed = replace(field, name=inner[-1])
    statements = tuple(
        _with_field(statement, tuple(inner[:-1]), placed)
        if isinstance(statement, Block) and statement.label is not None and statement.label.text in wanted
        else statement
        for statement in file.statements
    )
    return replace(file, statements=statements)


def _with_field(block: Block, blocks: tuple[Name, ...], field: Field) -> Block:
    """`block` with `field` set in the block that the path `blocks` leads to, made where it is missing."""
    if not blocks:
        others = tuple(i for i in block.items if not (isinstance(i, Field) and i.name == field.name))
        return replace(block, items=(*others, field))
    first, rest = blocks[0], blocks[1:]
    inside = next((i for i in block.items if isinstance(i, Block) and i.kind == first), None)
    if inside is None:
        made = Block(first, None, None, (), field.span)
        return replace(block, items=(*block.items, _with_field(made, rest, field)))
    items = tuple(_with_field(inside, rest, field) if item is inside else item for item in block.items)
    return replace(block, items=items)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"
