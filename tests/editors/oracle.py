"""What every editor has to colour, told by the language's own lexer and parser, and the texts that they are held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from moec.spec.expressions import children
from moec.spec.lexer import KEYWORDS, lex
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.syntax import Assert, Block, Call, Expression, Field, Item, Let, Statement, Use

ROOT = Path(__file__).parents[2]
CORPUS = (*sorted((ROOT / "examples").glob("*.moe")), *sorted((Path(__file__).parent / "corpus").glob("*.moe")))

_OF_TOKENS = {
    "COMMENT": "comment",
    "DOC": "doc",
    "STRING": "string",
    "NUMBER": "number",
    "TOPOLOGY": "number",
    "TRUE": "boolean",
    "FALSE": "boolean",
    **{name: "keyword" for name in KEYWORDS.values() if name not in ("TRUE", "FALSE")},
}


class Stretch(NamedTuple):
    """A part of one line, `[start, end)`, both counted from 0, with what it is."""

    line: int
    start: int
    end: int
    kind: str
    text: str


def stretches(text: str) -> list[Stretch]:
    """All words, numbers, texts and comments of `text`, in their order.

    Kinds: comment, doc, string, number, boolean, keyword; block and label (`model`, `dense`), base (behind `extends`),
    field, let (the name), alias, function, and name for all other words.
    """
    source = Source("corpus.moe", text)
    file, diagnostics = parse(source)
    assert diagnostics == (), [one.message for one in diagnostics]
    names = dict(found for statement in file.statements for found in _names(statement))
    found = []
    for token in lex(source).tokens:
        kind = names.get(token.start, "name") if token.type == "NAME" else _OF_TOKENS.get(token.type)
        if kind:
            place = source.position(token.start)
            start, length = place.column - 1, token.end - token.start
            found.append(Stretch(place.line - 1, start, start + length, kind, text[token.start : token.end]))
    return found


def _names(item: Statement | Item) -> Iterator[tuple[int, str]]:
    """Where the names of `item` begin, with what they are."""
    match item:
        case Use():
            yield item.alias.span.start, "alias"
        case Let():
            yield item.name.span.start, "let"
            yield from _functions(item.value)
        case Field():
            yield item.name.span.start, "field"
            yield from _functions(item.value)
        case Assert():
            yield from _functions(item.condition)
        case Block():
            yield from _of_block(item)


def _of_block(block: Block) -> Iterator[tuple[int, str]]:
    yield block.kind.span.start, "block"
    if block.label:
        yield block.label.span.start, "label"
    for part in block.extends.parts if block.extends else ():
        yield part.span.start, "base"
    for item in block.items:
        yield from _names(item)


def _functions(expression: Expression) -> Iterator[tuple[int, str]]:
    if isinstance(expression, Call):
        yield expression.function.span.start, "function"
    for part in children(expression):
        yield from _functions(part)
