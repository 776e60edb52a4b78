"""syntax tree -> YAML text, which `yaml_form.py` reads back to the same tree, in `yaml_order`, without comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from moec.spec.format_value import format_expression
from moec.spec.syntax import Assert, Block, Expression, Field, File, Item, Let, ListOf, Statement, String, Use
from moec.spec.yaml_form import takes_text

_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_(+]|-(?=[A-Za-z0-9_(]))[^\n]*")
_ESCAPES: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t"}
_INDENT: Final = "  "


def to_yaml(file: File) -> str:
    """The YAML form of `file`, which has been read without errors: ValueError where a value is broken or a name is
    given twice.
    """
    return "".join(f"{line}\n" for line in _lines(yaml_order(file)))


def yaml_order(file: File) -> File:
    """`file` with its statements in the order that YAML can keep: imports, `let`s, then the kinds as they first come.

    In each block, asserts come last. Doc comments are kept on blocks alone: elsewhere YAML has no place for them.
    """
    ranks: dict[str, int] = {}
    for statement in file.statements:
        ranks.setdefault(_group(statement), 3 + len(ranks))
    ranks |= {"field edition": 0, "use": 1, "let": 2}
    ordered = sorted(file.statements, key=lambda statement: ranks[_group(statement)])
    return replace(file, statements=tuple(_plain_statement(statement) for statement in ordered))


def _group(statement: Statement) -> str:
    match statement:
        case Use():
            return "use"
        case Let():
            return "let"
        case Field():
            return f"field {statement.name.text}"
        case Block():
            return f"block {statement.kind.text}"


def _plain_statement(statement: Statement) -> Statement:
    return _plain_block(statement) if isinstance(statement, Block) else replace(statement, doc="")


def _plain_block(block: Block) -> Block:
    items = [_plain_block(item) if isinstance(item, Block) else replace(item, doc="") for item in block.items]
    items.sort(key=lambda item: isinstance(item, Assert))
    return replace(block, items=tuple(items))


def _lines(file: File) -> Iterator[str]:
    group = ""
    names: set[tuple[str, str]] = set()
    for statement in file.statements:
        head, name = _group(statement), _name(statement)
        if (head, name) in names:
            raise ValueError(f"`{name}` is given twice")
        names.add((head, name))
        if head != group and not head.startswith("field"):
            if isinstance(statement, Block):
                yield ""
            yield f"{statement.kind.text if isinstance(statement, Block) else head}:"
        group = head
        yield from _statement(statement)


def _name(statement: Statement) -> str:
    match statement:
        case Use():
            return statement.alias.text
        case Block():
            return statement.label.text if statement.label else ""
        case _:
            return statement.name.text


def _statement(statement: Statement) -> Iterator[str]:
    match statement:
        case Field():
            yield from _entry(statement.name.text, statement.value, False, "")
        case Let():
            yield from _entry(statement.name.text, statement.value, True, _INDENT)
        case Use():
            yield f"{_INDENT}{statement.alias.text}: {_quoted(statement.path.value)}"
        case Block() if statement.label:
            yield from _block(statement, statement.label.text, statement.kind.text, _INDENT)
        case Block():
            raise ValueError(f"a {statement.kind.text} has no name")


def _block(block: Block, key: str, path: str, indent: str) -> Iterator[str]:
    inner = indent + _INDENT
    if not (block.items or block.doc or block.extends):
        yield f"{indent}{key}: {{}}"
        return
    yield f"{indent}{key}:"
    if block.doc:
        yield f"{inner}doc: {_quoted(block.doc)}"
    if block.extends:
        yield f"{inner}extends: {block.extends.dotted}"
    yield from _items(block.items, path, inner)


def _items(items: tuple[Item, ...], path: str, indent: str) -> Iterator[str]:
    names = [
        item.name.text if isinstance(item, Field) else item.kind.text for item in items if not isinstance(item, Assert)
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"`{path}` has a name twice")
    asserting = False
    for item in items:
        match item:
            case Field():
                inner = f"{path}.{item.name.text}"
                yield from _entry(item.name.text, item.value, takes_text(inner), indent)
            case Block():
                yield from _block(item, item.kind.text, f"{path}.{item.kind.text}", indent)
            case Assert():
                if not asserting:
                    yield f"{indent}assert:"
                asserting = True
                yield from _assert(item, indent + _INDENT)


def _assert(item: Assert, indent: str) -> Iterator[str]:
    yield f"{indent}- that: {_scalar(item.condition, False)}"
    if item.why:
        yield f"{indent}  why: {_quoted(item.why.value)}"


def _entry(key: str, value: Expression, text: bool, indent: str) -> Iterator[str]:
    """A key with its value: a list of values has a line for each."""
    if not isinstance(value, ListOf):
        yield f"{indent}{key}: {_scalar(value, text)}"
    elif not value.items:
        yield f"{indent}{key}: []"
    else:
        yield f"{indent}{key}:"
        for item in value.items:
            yield f"{indent}{_INDENT}- {_scalar(item, text)}"


def _scalar(value: Expression, text: bool) -> str:
    if text and isinstance(value, String) and not value.value.startswith("="):
        return _quoted(value.value)
    written = format_expression(value)
    is_plain = _PLAIN.fullmatch(written) and ": " not in written and " #" not in written and not written.endswith(":")
    return written if is_plain else _quoted(f"= {written}")


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return (
        f"\\x{ord(char):02X}"
        if ord(char) < 256
        else f"\\u{ord(char):04X}"
        if ord(char) < 65536
        else f"\\U{ord(char):08X}"
    )
