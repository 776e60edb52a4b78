"""Where the cursor is, told from the text before it alone, since the text around it is seldom whole while one types.

Gives, for both forms, in which blocks it is, whether a name or a value is being typed, of which field, and what of it
is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from moec.lsp.pieces import Pieced
from moec.spec.lexer import KEYWORDS, Token, lex
from moec.spec.source import Source

Slot = Literal["statement", "value", "extends", "after_label", "path", "assert", "nothing"]

_PATH: Final = re.compile(r'^\s*(?:use\s+"|["\']?[A-Za-z_]\w*["\']?:\s*["\'])(?P<path>[^"\']*)$')
_YAML_KEY: Final = re.compile(r"^(?P<indent>[ ]*)(?P<dash>- +)?(?P<prefix>[A-Za-z_]\w*)?$")
_YAML_VALUE: Final = re.compile(r"^(?P<indent>[ ]*)(?:- +)?(?P<key>[A-Za-z_]\w*):[ ]+(?P<value>.*)$")
_YAML_PARENT: Final = re.compile(r"^(?P<indent>[ ]*)(?P<key>[A-Za-z_]\w*):\s*(?:#.*)?$")
_LAST_NAMES: Final = re.compile(r"(?P<qualifier>(?:[A-Za-z_]\w*\.)*)(?P<prefix>[A-Za-z_]\w*)?$")


@dataclass(frozen=True, slots=True)
class Cursor:
    """`kinds` are those of the blocks around, outermost first, and `label` the name of the outermost. `qualifier` are
    the names before the last dot, `prefix` what of the last name is typed. `is_lone`: nothing of the value is there
    yet but this name. `call` is the innermost function whose arguments are being typed, `argument` which of them.
    """

    slot: Slot
    kinds: tuple[str, ...] = ()
    label: str = ""
    field: str = ""
    qualifier: tuple[str, ...] = ()
    prefix: str = ""
    is_lone: bool = True
    call: str = ""
    argument: int = 0

    @property
    def path(self) -> str:
        return ".".join(self.kinds)


def cursor_at(text: Pieced, offset: int) -> Cursor:
    """Where the place `offset` of the file `text` is."""
    if not text.source.name.endswith(".moe"):
        return _yaml_cursor(text.source, offset)
    piece, start = text.piece_at(offset)
    before = piece.text[: offset - start]
    line = re.split(r"[\r\n]", before)[-1]
    if match := _PATH.match(line):
        return Cursor("path", prefix=match["path"])
    walker = _Walker()
    tokens = lex(Source(text.source.name, before)).tokens
    if tokens and tokens[-1].type in ("COMMENT", "DOC", "STRING", "BROKEN") and tokens[-1].end == len(before):
        return Cursor("nothing")
    for token in tokens:
        walker.take(token)
    return walker.cursor(len(before))


class _Walker:
    """Follows tokens into blocks, statements and brackets."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, str]] = []
        self.statement: list[Token] = []
        self.brackets: list[tuple[Token, str, int]] = []

    def take(self, token: Token) -> None:
        kind = token.type
        if kind in ("COMMENT", "DOC"):
            return
        if kind == "LBRACE":
            self._open_block()
        elif kind == "RBRACE":
            self.blocks = self.blocks[:-1]
            self.statement, self.brackets = [], []
        elif kind == "NEWLINE" or (kind == "COMMA" and not self.brackets):
            if not self.brackets:
                self.statement = []
        else:
            self._take_inside(token)

    def _open_block(self) -> None:
        words = [token.text for token in self.statement if token.type == "NAME"]
        if len(words) > 1:  # a block with a name is at the top, whatever was left open above it
            self.blocks = []
        self.blocks.append((words[0] if words else "", words[1] if len(words) > 1 else ""))
        self.statement, self.brackets = [], []

    def _take_inside(self, token: Token) -> None:
        if token.type in ("LPAREN", "LBRACKET"):
            before = self.statement[-1] if self.statement else None
            is_call = token.type == "LPAREN" and before is not None and before.type == "NAME"
            self.brackets.append((token, before.text if before and is_call else "", 0))
        elif token.type in ("RPAREN", "RBRACKET"):
            self.brackets = self.brackets[:-1]
        elif token.type == "COMMA" and self.brackets:
            opened, name, commas = self.brackets[-1]
            self.brackets[-1] = (opened, name, commas + 1)
        self.statement.append(token)

    def cursor(self, end: int) -> Cursor:
        statement, prefix = self.statement, ""
        if statement and statement[-1].end == end and (statement[-1].type == "NAME" or statement[-1].text in KEYWORDS):
            statement, prefix = statement[:-1], statement[-1].text
        statement, qualifier = _split_qualifier(statement)
        call, argument = next(((name, commas) for _, name, commas in reversed(self.brackets) if name), ("", 0))
        kinds = tuple(kind for kind, _ in self.blocks)
        label = self.blocks[0][1] if self.blocks else ""
        slot, field = _slot(statement, top=not self.blocks)
        label = statement[1].text if slot == "extends" and len(statement) > 2 else label
        is_lone = not statement or statement[-1].type in ("ASSIGN", "LBRACKET", "COMMA")
        return Cursor(slot, kinds, label, field, qualifier, prefix, is_lone, call, argument)


def _split_qualifier(statement: list[Token]) -> tuple[list[Token], tuple[str, ...]]:
    """`… base . dense .` without its last names, and those names."""
    names: list[str] = []
    while len(statement) >= 2 and statement[-1].type == "DOT" and statement[-2].type == "NAME":
        names.insert(0, statement[-2].text)
        statement = statement[:-2]
    return statement, tuple(names)


def _slot(statement: Sequence[Token], *, top: bool) -> tuple[Slot, str]:
    """What is being typed behind the tokens of `statement`, and of which field."""
    kinds = [token.type for token in statement]
    if not kinds:
        return "statement", ""
    if kinds[0] == "ASSERT":
        return ("nothing" if "COLON" in kinds else "assert"), ""
    if "ASSIGN" in kinds:
        name = statement[1] if kinds[0] == "LET" and len(statement) > 1 else statement[0]
        return "value", ("" if kinds[0] == "LET" else name.text)
    if kinds[-1] == "EXTENDS":
        return "extends", statement[0].text
    if top and kinds == ["NAME", "NAME"]:
        return "after_label", statement[0].text
    return "nothing", ""


def _yaml_cursor(source: Source, offset: int) -> Cursor:
    """By indentation: YAML that is being typed is often no YAML."""
    number = source.position(offset).line
    line = source.text[source.line_starts[number - 1] : offset]
    if match := _YAML_KEY.match(line):
        keys = _yaml_parents(source, number, len(match["indent"]) + len(match["dash"] or ""))
        slot: Slot = "nothing" if len(keys) == 1 else "statement"
        return Cursor(slot, *_kinds_and_label(keys), prefix=match["prefix"] or "")
    value = _YAML_VALUE.match(line)
    if value is None or "#" in value["value"]:
        return Cursor("nothing")
    keys = _yaml_parents(source, number, len(value["indent"]))
    return _yaml_value(keys, value["key"], value["value"])


def _yaml_value(keys: tuple[str, ...], key: str, value: str) -> Cursor:
    kinds, label = _kinds_and_label(keys)
    if path := _PATH.match(f"{key}: {value}"):
        return Cursor("path", kinds, label, key, prefix=path["path"])
    names = _LAST_NAMES.search(value)
    qualifier = tuple((names["qualifier"] if names else "").split(".")[:-1])
    prefix = (names["prefix"] if names else "") or ""
    before = value[: names.start() if names else len(value)].rstrip()
    is_lone = not before or before[-1] in "[,"
    if key == "extends" and len(kinds) == 1:
        return Cursor("extends", (), label, kinds[0], qualifier, prefix, is_lone)
    slot: Slot = "assert" if key == "that" else "nothing" if key in ("doc", "why") else "value"
    return Cursor(slot, kinds, label, key if slot == "value" else "", qualifier, prefix, is_lone)


def _yaml_parents(source: Source, number: int, indent: int) -> tuple[str, ...]:
    """The keys around a line that is indented by `indent`, outermost first."""
    keys: list[str] = []
    for above in range(number - 1, 0, -1):
        match = _YAML_PARENT.match(source.line(above))
        if match and len(match["indent"]) < indent:
            keys.insert(0, match["key"])
            indent = len(match["indent"])
    return tuple(keys)


def _kinds_and_label(keys: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """`model: dense: attention:` are the kinds model, attention and the label dense."""
    without_asserts = tuple(key for key in keys if key != "assert")
    return (*without_asserts[:1], *without_asserts[2:]), (without_asserts[1] if len(without_asserts) > 1 else "")
