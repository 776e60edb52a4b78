"""What names mean, and where else the same is meant: for definitions, references, rename, highlight and hover.

A *target* is a thing that has a name: a `let`, the alias of a `use`, a block at the top of a file, or a field of such a
block or of one inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moec.compiler.scope import ASSERT_NAMES, Place, Scope
from moec.lsp.front import Front
from moec.lsp.view import View, place_of
from moec.lsp.walking import Spot, covers
from moec.spec.expressions import references
from moec.spec.fields.info import FieldInfo
from moec.spec.fields.types import BlockType, ListType, words_of
from moec.spec.source import Span
from moec.spec.syntax import Assert, Block, Expression, Field, Item, Let, Name, Reference, Statement, Use
from moec.spec.values import BlockName

TargetKind = Literal["let", "use", "block", "field"]


@dataclass(frozen=True, slots=True)
class Target:
    """`path` is the kind of the block, or of the block that holds the field. A field that someone wrote is known by
    the span of its name, whatever blocks inherit it; one that took its default, by the names that lead to it.
    """

    kind: TargetKind
    file: str
    name: str
    path: str = ""
    owner: Span | tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A place where a target is named; `defines` where it gets its name."""

    target: Target
    span: Span
    defines: bool = False


def occurrence_at(view: View, spot: Spot) -> Occurrence | None:
    """The name at `spot` that means something with a name of its own."""
    if spot.statement is None:
        return None
    found = _Namer(view.front, view.name).of_item(spot.statement, spot.blocks, deep=False)
    return next((one for one in found if covers(one.span, spot.address)), None)


def target_at(view: View, spot: Spot) -> Target | None:
    """What the name at `spot` means."""
    occurrence = occurrence_at(view, spot)
    return occurrence.target if occurrence else None


def occurrences(front: Front, file: str) -> Iterator[Occurrence]:
    """All names with a meaning in `file`, one of the files of `front`, from top to bottom."""
    namer = _Namer(front, file)
    for statement in front.loaded.files[file].statements:
        yield from namer.of_item(statement, (), deep=True)


def definition_of(front: Front, target: Target) -> Span | None:
    """Where `target` gets its name; None for a field that no one wrote."""
    if isinstance(target.owner, Span):
        return target.owner
    match target.kind:
        case "let":
            let = let_of(front, target)
            return let.name.span if let else None
        case "use":
            use = use_of(front, target)
            return use.alias.span if use else None
        case _:
            block = block_of(front, target)
            return block.label.span if block and block.label else None


def block_of(front: Front, target: Target) -> Block | None:
    """The block that `target` is."""
    for one in front.loaded.files[target.file].statements:
        if isinstance(one, Block) and one.label and (one.kind.text, one.label.text) == (target.path, target.name):
            return one
    return None


def let_of(front: Front, target: Target) -> Let | None:
    """The `let` that `target` is."""
    statements = front.loaded.files[target.file].statements
    return next((one for one in statements if isinstance(one, Let) and one.name.text == target.name), None)


def use_of(front: Front, target: Target) -> Use | None:
    """The `use` whose alias `target` is."""
    statements = front.loaded.files[target.file].statements
    return next((one for one in statements if isinstance(one, Use) and one.alias.text == target.name), None)


class _Namer:
    """Finds the names in one file."""

    def __init__(self, front: Front, file: str) -> None:
        self.front = front
        self.file = file
        self.scope = Scope(front.spec)

    def of_item(self, item: Statement | Item, blocks: tuple[Block, ...], *, deep: bool) -> Iterator[Occurrence]:
        """The names in `item`, which stands in `blocks`; with `deep`, also those inside a block."""
        match item:
            case Let():
                yield Occurrence(Target("let", self.file, item.name.text), item.name.span, True)
                yield from self._in_expression(item.value, None, None)
            case Use():
                yield Occurrence(Target("use", self.file, item.alias.text), item.alias.span, True)
            case Field():
                yield from self._of_field(item, place_of(self.front, self.file, blocks))
            case Assert():
                yield from self._in_expression(item.condition, place_of(self.front, self.file, blocks), None)
            case Block():
                yield from self._of_block(item, blocks, deep=deep)

    def _of_block(self, block: Block, blocks: tuple[Block, ...], *, deep: bool) -> Iterator[Occurrence]:
        kind = block.kind.text
        if block.label and not blocks:
            yield Occurrence(Target("block", self.file, block.label.text, kind), block.label.span, True)
        if block.extends:
            yield from self._of_named_block(block.extends, kind)
        for inner in block.items if deep else ():
            yield from self.of_item(inner, (*blocks, block), deep=True)

    def _of_field(self, field: Field, place: Place | None) -> Iterator[Occurrence]:
        info = place.info.field(field.name.text) if place else None
        if place and info:
            yield Occurrence(self._field_target(place, info.name), field.name.span, True)
        item = info.type.item if info and isinstance(info.type, ListType) else info.type if info else None
        if isinstance(item, BlockType):
            for reference in references(field.value):
                yield from self._of_named_block(reference, item.kind)
        else:
            yield from self._in_expression(field.value, place, info)

    def _of_named_block(self, reference: Reference, kind: str) -> Iterator[Occurrence]:
        """`dense`, or `base.dense` of a used file, where only a block of `kind` is meant."""
        *aliases, name = reference.parts
        file = self._used_file(aliases[0]) if len(aliases) == 1 else self.file if not aliases else None
        for alias in aliases[:1]:
            yield Occurrence(Target("use", self.file, alias.text), alias.span)
        if file and self.front.spec.block(file, kind, name.text):
            yield Occurrence(Target("block", file, name.text, kind), name.span)

    def _used_file(self, alias: Name) -> str | None:
        return self.front.spec.scopes[self.file].uses.get(alias.text) or None

    def _in_expression(self, part: Expression, place: Place | None, info: FieldInfo | None) -> Iterator[Occurrence]:
        words = words_of(info.type) if info else ()
        for reference in references(part):
            if reference.dotted not in words and reference.parts[0].text not in ASSERT_NAMES:
                yield from self._of_reference(reference, place)

    def _of_reference(self, reference: Reference, place: Place | None) -> Iterator[Occurrence]:
        first, rest = reference.parts[0], reference.parts[1:]
        for around in place.upwards() if place else ():
            field = around.info.field(first.text)
            leads_on = field is not None and (not rest or isinstance(field.type, BlockType))
            if leads_on or around.info.block(first.text):
                yield from self._within(around, reference.parts)
                return
        scope = self.front.spec.scopes[self.file]
        if first.text in scope.lets and not rest:
            yield Occurrence(Target("let", self.file, first.text), first.span)
        elif first.text in scope.uses and rest:
            yield Occurrence(Target("use", self.file, first.text), first.span)
            if used := self._used_file(first):
                yield from self._in_file(used, rest)
        else:
            yield from self._in_file(self.file, reference.parts)

    def _in_file(self, file: str, parts: tuple[Name, ...]) -> Iterator[Occurrence]:
        """Names that begin with a block or a `let` of `file`."""
        scope, first = self.front.spec.scopes[file], parts[0]
        named = scope.named(first.text)
        if len(named) == 1:
            yield Occurrence(Target("block", file, first.text, named[0].path), first.span)
            yield from self._within(Place(named[0]), parts[1:])
        elif first.text in scope.lets and len(parts) == 1:
            yield Occurrence(Target("let", file, first.text), first.span)

    def _within(self, place: Place, parts: tuple[Name, ...]) -> Iterator[Occurrence]:
        """Names that lead from `place` on: through blocks inside it and through blocks that its fields name."""
        for part in parts:
            if place.info.block(part.text):
                place = place.inside(part.text)
                continue
            if place.info.field(part.text) is None:
                return
            yield Occurrence(self._field_target(place, part.text), part.span)
            named = self.scope.value(place, part.text) if part is not parts[-1] else None
            block = self.front.spec.block(named.file, named.kind, named.name) if isinstance(named, BlockName) else None
            if block is None:
                return
            place = Place(block)

    def _field_target(self, place: Place, name: str) -> Target:
        written = place.written(name)
        owner = written.name_span if written else (place.root.name, *place.inner)
        return Target("field", place.root.file, name, place.path, owner)
