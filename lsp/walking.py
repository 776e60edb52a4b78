"""Ways through a syntax tree: all references in it, and what stands at a place of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from moec.spec.expressions import children, references
from moec.spec.source import Span
from moec.spec.syntax import (
    Assert,
    Block,
    Call,
    Expression,
    Field,
    File,
    Item,
    Let,
    Name,
    Reference,
    Statement,
    String,
    Use,
)


def defined_name(statement: Statement) -> Name | None:
    """The name that a statement at the top of a file gives, if it gives one."""
    match statement:
        case Let():
            return statement.name
        case Use():
            return statement.alias
        case Block():
            return statement.label
        case Field():
            return None


def references_in(item: Statement | Item) -> Iterator[Reference]:
    """Every reference in `item`, in the order in which they are written; what a block extends is one."""
    match item:
        case Let() | Field():
            yield from references(item.value)
        case Assert():
            yield from references(item.condition)
        case Block():
            if item.extends:
                yield item.extends
            for inner in item.items:
                yield from references_in(inner)


@dataclass(frozen=True, slots=True)
class Spot:
    """What is at a place: the blocks around it, outermost first; the statement; the expressions, outermost first.

    `name` is the name that is there, where it is the name of a block, field, function, `let` or `use`.
    """

    blocks: tuple[Block, ...] = ()
    statement: Statement | Item | None = None
    expressions: tuple[Expression | String, ...] = ()
    name: Name | None = None
    address: int = 0

    @property
    def expression(self) -> Expression | String | None:
        """The innermost expression."""
        return self.expressions[-1] if self.expressions else None

    @property
    def reference(self) -> Reference | None:
        return self.expression if isinstance(self.expression, Reference) else None

    @property
    def path(self) -> str:
        """The kinds of the blocks, as the fields table joins them: `model.attention`."""
        return ".".join(block.kind.text for block in self.blocks)


def spot_at(file: File, address: int) -> Spot:
    """What is at `address` of `file`; a place right behind something still counts as in it."""
    for statement in file.statements:
        if covers(statement.span, address) or (isinstance(statement, Block) and covers(statement.kind.span, address)):
            return replace(_in_item(statement, address, ()), address=address)
    return Spot(address=address)


def covers(span: Span, address: int) -> bool:
    """Whether `address` is in `span` or right behind it."""
    return span.start <= address <= span.end


def _in_item(item: Statement | Item, address: int, blocks: tuple[Block, ...]) -> Spot:
    match item:
        case Block():
            return _in_block(item, address, blocks)
        case Use():
            name = item.alias if covers(item.alias.span, address) else None
            path = (item.path,) if covers(item.path.span, address) else ()
            return Spot(blocks, item, path, name)
        case Assert():
            return Spot(blocks, item, *_in_expression(item.condition, address))
        case _:
            if covers(item.name.span, address):
                return Spot(blocks, item, (), item.name)
            return Spot(blocks, item, *_in_expression(item.value, address))


def _in_block(block: Block, address: int, blocks: tuple[Block, ...]) -> Spot:
    for name in (block.kind, block.label):
        if name and covers(name.span, address):
            return Spot(blocks, block, (), name)
    if block.extends and covers(block.extends.span, address):
        return Spot(blocks, block, (block.extends,))
    for inner in block.items:
        if covers(inner.span, address):
            return _in_item(inner, address, (*blocks, block))
    return Spot((*blocks, block), None)


def _in_expression(expression: Expression, address: int) -> tuple[tuple[Expression, ...], Name | None]:
    """The expressions around `address`, from the outside in, and the name of the function that is there."""
    found: list[Expression] = []
    waiting = [expression]
    while waiting:
        part = waiting.pop(0)
        if covers(part.span, address):
            found.append(part)
            waiting = list(children(part))
    last = found[-1] if found else None
    name = last.function if isinstance(last, Call) and covers(last.function.span, address) else None
    return tuple(found), name
