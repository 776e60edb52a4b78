"""Names of the main file that nothing uses: each is a warning, since it is most often a slip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.spec.blocks import Spec
from moec.spec.codes import names as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.expressions import references
from moec.spec.limits import MAX_DIAGNOSTICS
from moec.spec.loader import LoadedFiles
from moec.spec.near import nearest
from moec.spec.syntax import Assert, Block, Expression, Field, File, Let, Reference, Use

_MOST_NAMES: Final = 1000
"""Past so many names in a file no one looks for near misses. Assumption: no one wrote them by hand."""


def unused(loaded: LoadedFiles, spec: Spec) -> Iterator[Diagnostic]:
    """Errors: MOE2015, MOE2016, and, where the file has a run, MOE2017."""
    file = loaded.main_file
    used = _with_near_misses({reference.parts[0].text for reference in _references(file)}, spec)
    for statement in file.statements:
        match statement:
            case Let() if statement.name.text not in used:
                yield codes.unused_let(statement.name.span, statement.name.text)
            case Use() if statement.alias.text not in used:
                yield codes.unused_use(statement.alias.span, statement.alias.text)
    if not spec.main.of_kind("run"):
        return
    for (kind, name), block in spec.main.blocks.items():
        if kind not in ("run", "study") and name not in used:
            yield codes.unused_block(block.span, kind, name)


def _with_near_misses(used: set[str], spec: Spec) -> frozenset[str]:
    """`used`, with what was probably meant by those names that are not there: one slip is told once."""
    named = {*spec.main.lets, *spec.main.uses, *(name for _, name in spec.main.blocks)}
    unknown = sorted(used - named)[:MAX_DIAGNOSTICS]
    meant = (nearest(name, named) for name in unknown) if len(named) <= _MOST_NAMES else ()
    return frozenset(used | {name for name in meant if name})


def _references(file: File) -> Iterator[Reference]:
    for statement in file.statements:
        match statement:
            case Let() | Field():
                yield from references(statement.value)
            case Block():
                yield from _of_block(statement)


def _of_block(block: Block) -> Iterator[Reference]:
    if block.extends:
        yield block.extends
    for item in block.items:
        match item:
            case Block():
                yield from _of_block(item)
            case Field() | Assert():
                yield from references(_expression(item))


def _expression(item: Field | Assert) -> Expression:
    return item.value if isinstance(item, Field) else item.condition
