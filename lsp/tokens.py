"""The colours of a spec, told from what its words are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from lsprotocol import types

from moec.lsp.pieces import Piece
from moec.lsp.view import View
from moec.spec.expressions import children
from moec.spec.fields.table import all_fields
from moec.spec.fields.types import words_of
from moec.spec.functions import FUNCTIONS
from moec.spec.lexer import KEYWORDS, Token
from moec.spec.source import Span
from moec.spec.syntax import (
    Assert,
    Block,
    Boolean,
    Call,
    Expression,
    Field,
    Item,
    Let,
    Number,
    Reference,
    Statement,
    String,
    Topology,
    Use,
)

TYPES: Final = (
    *("comment", "keyword", "type", "class", "property", "variable"),
    *("enumMember", "function", "number", "string", "operator", "namespace"),
)
MODIFIERS: Final = ("documentation", "declaration")
LEGEND: Final = types.SemanticTokensLegend(list(TYPES), list(MODIFIERS))

_INDEX: Final = {name: index for index, name in enumerate(TYPES)}
_DOCUMENTATION, _DECLARATION = 1, 2
_WORDS: Final = frozenset(KEYWORDS.values()) - {"TRUE", "FALSE"}
_PLAIN: Final = {
    "COMMENT": "comment",
    "DOC": "comment",
    "NUMBER": "number",
    "TOPOLOGY": "number",
    "STRING": "string",
    "TRUE": "enumMember",
    "FALSE": "enumMember",
    **dict.fromkeys(("PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "EQUAL", "UNEQUAL"), "operator"),
    **dict.fromkeys(("LESS", "AT_MOST", "GREATER", "AT_LEAST"), "operator"),
}


class Colour(NamedTuple):
    """A stretch of text, which ends in the line that it begins in, with its type and modifiers."""

    start: int
    end: int
    type: str
    modifiers: int = 0


def semantic_tokens(view: View, within: types.Range | None = None) -> types.SemanticTokens:
    """The colours of the file, or of the lines of `within`, as the protocol packs them."""
    start, end = 0, len(view.text.source.text)
    if within:
        start, end = view.lines.offset(within.start), view.lines.offset(within.end)
    colours = _of_yaml(view) if view.is_yaml else _of_pieces(view, start, end)
    return types.SemanticTokens(_packed(view, (one for one in colours if one.end > start and one.start < end)))


def _packed(view: View, colours: Iterable[Colour]) -> list[int]:
    """Five numbers each: lines and columns since the last one, length, type, modifiers."""
    data: list[int] = []
    lines, last_line, last_column = view.lines, 0, 0
    for colour in colours:
        begin, finish = lines.position(colour.start), lines.position(colour.end)
        column = begin.character - (last_column if begin.line == last_line else 0)
        length = finish.character - begin.character
        data += (begin.line - last_line, column, length, _INDEX[colour.type], colour.modifiers)
        last_line, last_column = begin.line, begin.character
    return data


# ---- .moe: from the tokens, so that a broken text has colours, too ----


def _of_pieces(view: View, start: int, end: int) -> Iterator[Colour]:
    text = view.text
    for piece, begin in zip(text.pieces, text.starts, strict=True):
        if begin + len(piece.text) >= start and begin <= end:
            for colour in colours_of(piece):
                yield colour._replace(start=colour.start + begin, end=colour.end + begin)


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for _, info in all_fields() for word in words_of(info.type))


def colours_of(piece: Piece) -> list[Colour]:
    """The colours of one piece, counted from its start."""
    tokens = piece.lexed.tokens
    found: list[Colour] = []
    for index, token in enumerate(tokens):
        if token.type in _PLAIN:
            modifiers = _DOCUMENTATION if token.type == "DOC" else 0
            found.append(Colour(token.start, token.end, _PLAIN[token.type], modifiers))
        elif token.type in _WORDS:
            found.append(Colour(token.start, token.end, "keyword"))
        elif token.type == "NAME":
            found.append(_name_colour(tokens, index))
    return found


def _name_colour(tokens: list[Token], index: int) -> Colour:
    token = tokens[index]
    before = tokens[index - 1].type if index else ""
    after = [one.type for one in tokens[index + 1 : index + 3]]
    kind, modifiers = "variable", 0
    if before == "LET":
        modifiers = _DECLARATION
    elif before == "AS":
        kind, modifiers = "namespace", _DECLARATION
    elif before == "DOT":
        kind = "class" if after[:1] == ["LBRACE"] else "property"
    elif before == "EXTENDS":
        kind = "class"
    elif before == "NAME" and after[:1] in (["LBRACE"], ["EXTENDS"]):
        kind, modifiers = "class", _DECLARATION
    elif after[:1] == ["ASSIGN"]:
        kind = "property"
    elif after[:1] == ["LBRACE"] or after in (["NAME", "LBRACE"], ["NAME", "EXTENDS"]):
        kind = "type"
    elif after[:1] == ["LPAREN"] and token.text in FUNCTIONS:
        kind = "function"
    elif after[:1] != ["DOT"] and token.text in _known_words():
        kind = "enumMember"
    return Colour(token.start, token.end, kind, modifiers)


# ---- .moe.yaml: from the tree ----


def _of_yaml(view: View) -> Iterator[Colour]:
    spans: dict[int, Colour] = {}
    for statement in view.text.file.statements:
        for span, kind, modifiers in _of_item(statement):
            real = view.text.real(span)
            if view.lines.position(real.start).line == view.lines.position(real.end).line:
                spans.setdefault(real.start, Colour(real.start, real.end, kind, modifiers))
    yield from (spans[start] for start in sorted(spans))


def _of_item(item: Statement | Item) -> Iterator[tuple[Span, str, int]]:
    match item:
        case Let():
            yield item.name.span, "variable", _DECLARATION
            yield from _of_expression(item.value)
        case Use():
            yield item.alias.span, "namespace", _DECLARATION
            yield item.path.span, "string", 0
        case Field():
            yield item.name.span, "property", 0
            yield from _of_expression(item.value)
        case Assert():
            yield from _of_expression(item.condition)
        case Block():
            yield item.kind.span, "type", 0
            if item.label:
                yield item.label.span, "class", _DECLARATION
            for inner in item.items:
                yield from _of_item(inner)


def _of_expression(part: Expression) -> Iterator[tuple[Span, str, int]]:
    match part:
        case Number() | Topology():
            yield part.span, "number", 0
        case String():
            yield part.span, "string", 0
        case Boolean():
            yield part.span, "enumMember", 0
        case Reference():
            yield part.span, "enumMember" if part.dotted in _known_words() else "variable", 0
        case Call():
            yield part.function.span, "function", 0
    for inner in children(part):
        yield from _of_expression(inner)
