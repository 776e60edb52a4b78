"""Names that an expression can go on with: fields, `let`s, blocks, functions; and what lies behind a dot."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from moec.compiler.passes.check_asserts import hardware_values, plan_values
from moec.compiler.plan import Plan
from moec.lsp.cursor import Cursor
from moec.lsp.describe import block_kind, describe_field, describe_function, describe_value
from moec.lsp.offers import Offer
from moec.lsp.view import View
from moec.lsp.worth import name_in_run
from moec.spec.fields.info import BlockInfo
from moec.spec.fields.table import block_info
from moec.spec.functions import FUNCTIONS

_Kind = types.CompletionItemKind


def names_in_expression(view: View, cursor: Cursor) -> Iterator[Offer]:
    """What a part of an expression can begin with, or go on with behind a dot."""
    if cursor.qualifier:
        yield from names_behind(view, cursor)
        return
    scope = view.front.spec.main
    yield from lets(view)
    yield from _fields_around(cursor)
    for kind, name in scope.blocks:
        yield Offer(name, _Kind.Struct, rank=4, detail=kind, doc=scope.blocks[kind, name].doc)
    for alias in scope.uses:
        yield Offer(alias, _Kind.Module, rank=4, detail="used file")
    if cursor.slot == "assert":
        yield Offer("plan", _Kind.Module, rank=1, detail="every derived number")
        yield Offer("hardware", _Kind.Module, rank=1, detail="the chip")
    for name, function in FUNCTIONS.items():
        yield Offer(name, _Kind.Function, rank=6, detail=function.usage, doc=describe_function(function))


def lets(view: View) -> Iterator[Offer]:
    """The `let`s of the file."""
    for name, let in view.front.spec.main.lets.items():
        yield Offer(name, _Kind.Variable, rank=2, detail="let", doc=let.doc)


def names_behind(view: View, cursor: Cursor) -> Iterator[Offer]:
    """What can follow the names before the dot."""
    first, *rest = cursor.qualifier
    if cursor.slot == "assert" and first in ("plan", "hardware"):
        yield from _planned(view, cursor)
        return
    info = block_info(cursor.path)
    field = info.field(first) if info else None
    inner = info.block(first) if info else None
    kind = block_kind(field) if field else None
    scopes, file = view.front.spec.scopes, view.name
    if inner or kind:
        yield from _members(inner or block_info(kind or ""), rest)
        return
    if first in scopes[file].uses:
        file = scopes[file].uses[first]
        if not file or not rest:
            yield from _of_file(view, file)
            return
        first, *rest = rest
    blocks = scopes[file].named(first)
    yield from _members(block_info(blocks[0].path) if blocks else None, rest)


def _of_file(view: View, file: str) -> Iterator[Offer]:
    if not file:
        return
    scope = view.front.spec.scopes[file]
    for (kind, name), block in scope.blocks.items():
        yield Offer(name, _Kind.Struct, rank=0, detail=kind, doc=block.doc)
    for name, let in scope.lets.items():
        yield Offer(name, _Kind.Variable, rank=1, detail="let", doc=let.doc)


def _members(info: BlockInfo | None, names: list[str]) -> Iterator[Offer]:
    """The fields and blocks inside `info`, once the `names` have been followed."""
    for name in names:
        field = info.field(name) if info else None
        kind = block_kind(field) if field else None
        info = block_info(kind) if kind else info.block(name) if info else None
    if info is None:
        return
    for field in info.fields:
        yield Offer(field.name, _Kind.Property, rank=0, doc=describe_field(field, info.path))
    for block in info.blocks:
        yield Offer(block.name, _Kind.Struct, rank=1, detail="block", doc=block.doc)


def _fields_around(cursor: Cursor) -> Iterator[Offer]:
    """Fields of the block that is being typed in and of those around it; the nearest one has the name."""
    seen = {cursor.field}
    for depth in range(len(cursor.kinds), 0, -1):
        info = block_info(".".join(cursor.kinds[:depth]))
        for field in info.fields if info else ():
            if field.name not in seen:
                seen.add(field.name)
                yield Offer(field.name, _Kind.Property, rank=3, doc=describe_field(field, info.path if info else ""))


def _planned(view: View, cursor: Cursor) -> Iterator[Offer]:
    """Numbers of the plan of the run around, or of any run that names the block around; the next name of each."""
    plan = _plan_at(view, cursor)
    if plan is None:
        return
    table = plan_values(plan.derivations) if cursor.qualifier[0] == "plan" else hardware_values(plan.run.mesh.hardware)
    begin = "".join(f"{name}." for name in cursor.qualifier[1:])
    seen: set[str] = set()
    for name, value in table.items():
        following = name.removeprefix(begin).partition(".")[0]
        if name.startswith(begin) and following not in seen:
            seen.add(following)
            is_whole = name == begin + following
            yield Offer(following, _Kind.Constant, rank=0, doc=describe_value(value) if is_whole else "")


def _plan_at(view: View, cursor: Cursor) -> Plan | None:
    plans = tuple(view.checked.plans.values()) if view.checked else ()
    kind = cursor.kinds[0] if cursor.kinds else ""
    named = (plan for plan in plans if name_in_run(plan, kind) == cursor.label)
    return next(named, plans[0] if plans else None)
