"""What could be typed next: fields that are missing before all else, then what the place takes, each with its page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lsprotocol import types

from moec.lsp.completion_names import lets, names_in_expression
from moec.lsp.cursor import Cursor, cursor_at
from moec.lsp.describe import block_kind, describe_block, describe_field, describe_word
from moec.lsp.offers import Offer, item_of
from moec.lsp.snippets import Writer
from moec.lsp.view import View, info_of
from moec.lsp.walking import covers
from moec.spec.blocks import SpecBlock
from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.table import EDITION, TABLE, block_info
from moec.spec.fields.types import BooleanType, ListType, NumberType, words_of
from moec.spec.syntax import Block, Field, Reference

_MOST_FILES = 500
_Kind = types.CompletionItemKind


@dataclass(frozen=True, slots=True)
class _Around:
    """The block that is being typed in: what is written in it, and what it inherits."""

    written: frozenset[str]
    inherited: frozenset[str]
    words: dict[str, str]


def complete(view: View, position: types.Position, *, with_places: bool) -> types.CompletionList:
    """All that could stand at `position`; `with_places` where the editor knows snippets."""
    offset = view.lines.offset(position)
    cursor = cursor_at(view.text, offset)
    writer = Writer(view.is_yaml, with_places)
    replaced = view.lines.range(offset - len(cursor.prefix), offset)
    offers = _offers(view, cursor, writer, position)
    return types.CompletionList(False, [item_of(offer, replaced, with_places) for offer in offers])


def _offers(view: View, cursor: Cursor, writer: Writer, position: types.Position) -> Iterator[Offer]:
    match cursor.slot:
        case "statement" if not cursor.kinds:
            yield from _at_top(view, writer)
        case "statement":
            yield from _in_block(view, cursor, writer, position)
        case "value":
            yield from _values(view, cursor)
        case "assert":
            yield from names_in_expression(view, cursor)
        case "extends":
            yield from _blocks_of_kind(view, cursor.field, cursor)
        case "after_label":
            yield Offer("extends", _Kind.Keyword, doc="Copies another block of the same kind; the last word wins.")
        case "path":
            yield from _paths(view, cursor.prefix)
        case _:
            return


def _at_top(view: View, writer: Writer) -> Iterator[Offer]:
    statements = view.text.file.statements
    if not any(isinstance(one, Field) and one.name.text == "edition" for one in statements):
        text = f"edition: {EDITION}" if view.is_yaml else f"edition = {EDITION}"
        yield Offer("edition", _Kind.Keyword, text=text, rank=0, doc="By which rules the file is read.")
    for info in TABLE:
        text = writer.top_block(info)
        yield Offer(info.name, _Kind.Struct, text=text, rank=1, detail="block", doc=describe_block(info))
    equals, colon = (" = ", "") if not view.is_yaml else (": ", ":")
    let = f"let{colon}\n  {writer.place(1, 'name')}: " if view.is_yaml else f"let {writer.place(1, 'name')}{equals}"
    yield Offer("let", _Kind.Keyword, text=let + writer.place(2, "1"), rank=2, doc="Names a value.")
    path, alias = writer.place(1, "base.moe"), writer.place(2, "base")
    use = f'use:\n  {alias}: "{path}"' if view.is_yaml else f'use "{path}" as {alias}'
    yield Offer("use", _Kind.Keyword, text=use, rank=2, doc="Uses the blocks of another file.")


def _in_block(view: View, cursor: Cursor, writer: Writer, position: types.Position) -> Iterator[Offer]:
    info = block_info(cursor.path)
    if info is None:
        return
    around = _around(view, cursor, position)
    for field in info.fields:
        if not field.replaced_by and field.name not in around.written and not _is_excluded(field, info, around):
            rank = 0 if _is_missing(field, info, around) else 2
            detail = "missing" if rank == 0 else f"default {field.default}" if field.default else ""
            doc = describe_field(field, info.path)
            yield Offer(field.name, _Kind.Property, text=writer.field(field), rank=rank, detail=detail, doc=doc)
    for inner in info.blocks:
        if inner.name not in around.written:
            missing = _is_missing(inner, info, around)
            doc, text = describe_block(inner), writer.block(inner)
            yield Offer(inner.name, _Kind.Struct, text=text, rank=1 if missing else 3, detail="block", doc=doc)
    if info.path != "study" and not view.is_yaml:
        text = f'assert {writer.place(1, "plan.hbm_per_device < hardware.hbm")} : "{writer.place(2, "why")}"'
        yield Offer("assert", _Kind.Keyword, text=text, rank=4, doc="Must hold over anything in the plan.")


def _around(view: View, cursor: Cursor, position: types.Position) -> _Around:
    blocks = view.spot(position).blocks
    known = info_of(blocks)
    if known is None or known.path != cursor.path:
        return _Around(frozenset(), frozenset(), {})
    block, address = blocks[-1], view.address(position)
    others = [item for item in block.items if not (isinstance(item, Field) and covers(item.name.span, address))]
    written = {item.name.text for item in others if isinstance(item, Field)}
    inner = {item.kind.text for item in others if isinstance(item, Block)}
    words = {
        item.name.text: item.value.dotted
        for item in block.items
        if isinstance(item, Field) and isinstance(item.value, Reference)
    }
    place = view.place(blocks)
    return _Around(frozenset(written | inner), _inherited(place.block if place else None), words)


def _inherited(block: SpecBlock | None) -> frozenset[str]:
    if block is None:
        return frozenset()
    fields = (name for name, field in block.fields.items() if field.inherited)
    return frozenset((*fields, *block.blocks))


def _is_missing(item: FieldInfo | BlockInfo, info: BlockInfo, around: _Around) -> bool:
    """Whether the block `info` must have `item`, and does not."""
    present = around.written | around.inherited
    for group in (info.exactly_one, info.at_least_one):
        if item.name in group:
            return not present & set(group)
    if item.name in present or not item.required:
        return False
    return isinstance(item, BlockInfo) or (_applies(item, info, around) and item.unless not in present)


def _is_excluded(field: FieldInfo, info: BlockInfo, around: _Around) -> bool:
    """Whether writing the field beside what is written would be an error."""
    return bool(field.name in info.exactly_one and around.written & set(info.exactly_one)) or not _applies(
        field, info, around
    )


def _applies(field: FieldInfo, info: BlockInfo, around: _Around) -> bool:
    """Whether the field has an effect beside what is written; yes where that is not sure."""
    when = field.only_when
    if when is None:
        return True
    other = info.field(when.field)
    is_there = when.field in around.written | around.inherited
    word = around.words.get(when.field) if is_there else other.default if other else None
    if when.words:
        return word in when.words or (word is None and is_there)
    return word not in when.not_words if when.not_words else is_there


def _values(view: View, cursor: Cursor) -> Iterator[Offer]:
    info = block_info(cursor.path)
    field = info.field(cursor.field) if info else None
    kind = block_kind(field) if field else None
    if kind:
        yield from _blocks_of_kind(view, kind, cursor)
        return
    if cursor.qualifier or field is None:
        yield from names_in_expression(view, cursor)
        return
    for word in words_of(field.type) if cursor.is_lone else ():
        detail = "default" if word == field.default else ""
        yield Offer(word, _Kind.EnumMember, rank=0, detail=detail, doc=describe_word(field, word))
    item = field.type.item if isinstance(field.type, ListType) else field.type
    for word in ("true", "false") if isinstance(item, BooleanType) and cursor.is_lone else ():
        detail = "default" if word == field.default else ""
        yield Offer(word, _Kind.Keyword, rank=0, detail=detail, doc=describe_field(field, cursor.path))
    yield from names_in_expression(view, cursor) if isinstance(item, NumberType) else lets(view)


def _blocks_of_kind(view: View, kind: str, cursor: Cursor) -> Iterator[Offer]:
    scopes = view.front.spec.scopes
    own = scopes[view.name]
    if cursor.qualifier:
        used = own.uses.get(cursor.qualifier[0], "") if len(cursor.qualifier) == 1 else ""
        names = scopes[used].of_kind(kind) if used else ()
        for name in names:
            yield Offer(name, _Kind.Struct, detail=kind, doc=scopes[used].blocks[kind, name].doc)
        return
    for name in own.of_kind(kind):
        if not (cursor.slot == "extends" and name == cursor.label):
            yield Offer(name, _Kind.Struct, rank=0, detail=kind, doc=own.blocks[kind, name].doc)
    for alias, used in own.uses.items():
        for name in scopes[used].of_kind(kind) if used else ():
            doc = scopes[used].blocks[kind, name].doc
            yield Offer(f"{alias}.{name}", _Kind.Struct, rank=1, detail=kind, doc=doc)


def _paths(view: View, typed: str) -> Iterator[Offer]:
    """Specs and folders beside the file, as far as `typed` leads."""
    folder = os.path.join(os.path.dirname(view.name), os.path.dirname(typed))
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, _MOST_FILES))
    except OSError:
        return
    for name, is_folder in found:
        if name.startswith("."):
            continue
        if is_folder:
            yield Offer(f"{os.path.dirname(typed)}/{name}/".lstrip("/"), _Kind.Folder, rank=1)
        elif name.endswith((".moe", ".moe.yaml")) and os.path.join(folder, name) != view.name:
            yield Offer(os.path.join(os.path.dirname(typed), name), _Kind.File, rank=0)
