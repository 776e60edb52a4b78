"""YAML text -> syntax tree: `*.moe.yaml` holds the same tree as `.moe`.

edition: 2026 use: {base: "base.moe"} let: {heads: 12} model: dense: doc: What it is. extends: base.dense d_model: 128
* heads attention: {n_heads: heads} assert: [{that: plan.tokens < 2B, why: it must be cheap}]

A plain scalar is an expression of the language. A quoted scalar is a text where a text can stand: in fields that take
texts and in `let`; elsewhere it is an expression, too. A quoted scalar that begins with `=` is always an expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from moec.spec.codes import names as name_codes
from moec.spec.codes import syntax as syntax_codes
from moec.spec.codes import yaml_form as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.table import KINDS, field_info
from moec.spec.fields.types import HardwareType, ListType, TextType
from moec.spec.first_mistakes import first_mistakes
from moec.spec.limits import MAX_FILE_BYTES, MAX_IDENTIFIER, MAX_LIST_ITEMS, MAX_STRING
from moec.spec.scalar_expression import parse_expression, simple_expression
from moec.spec.source import Source, Span
from moec.spec.syntax import (
    Assert,
    Block,
    Broken,
    Expression,
    Field,
    File,
    Item,
    Let,
    ListOf,
    Name,
    Reference,
    Statement,
    String,
    Use,
)
from moec.spec.yaml_nodes import Mapping, Node, Scalar, Sequence, compose

_NAME: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_IDENTIFIER - 1}}}", re.ASCII)


def parse_yaml(source: Source) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of `source`, as good as its text allows, and all that is wrong with the text.

    Errors: MOE1101 to MOE1108, MOE2001 of a kind without a block, MOE1xxx of the expressions in it, and MOE1039.
    """
    root, told = compose(source)
    reader = _FormReader(source)
    span = Span(source.name, 0, len(source.text))
    statements: tuple[Statement, ...] = ()
    if isinstance(root, Mapping):
        statements = reader.file(root)
    elif root is not None and not (isinstance(root, Scalar) and root.plain and not root.value):
        reader.diagnostics.append(codes.wrong_shape(root.span, "a spec", "a mapping that begins with `edition`"))
    return File(statements, span), first_mistakes((*told, *reader.diagnostics))


def takes_text(path: str) -> bool:
    """Whether the field at `path` of the fields table takes texts."""
    info = field_info(path)
    kind = info.type.item if info and isinstance(info.type, ListType) else info.type if info else None
    return isinstance(kind, (TextType, HardwareType))


@dataclass(frozen=True, slots=True)
class _Head:
    """What the keys `doc` and `extends` of a block say."""

    doc: str = ""
    extends: Reference | None = None


class _FormReader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.expressions = 0

    def file(self, root: Mapping) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for key, value in root.pairs:
            if key.value == "use":
                statements += self._uses(value)
            elif key.value == "let":
                statements += self._lets(value)
            elif isinstance(value, Mapping):
                statements += self._blocks(key, value)
            elif key.value in KINDS:
                self._wrong_shape(value, f"`{key.value}`", "a mapping of names to blocks")
            elif name := self._name(key):
                statements.append(Field(name, self._value(value, False), key.span.to(value.span)))
        return tuple(statements)

    def _uses(self, node: Node) -> list[Statement]:
        uses: list[Statement] = []
        for key, value in self._pairs(node, "`use`", "a mapping of names to paths"):
            name, path = self._name(key), self._text(value, "a path")
            if name and path:
                uses.append(Use(path, name, key.span.to(value.span)))
        return uses

    def _lets(self, node: Node) -> list[Statement]:
        lets: list[Statement] = []
        for key, value in self._pairs(node, "`let`", "a mapping of names to values"):
            name = self._name(key)
            if name:
                lets.append(Let(name, self._value(value, True), key.span.to(value.span)))
        return lets

    def _blocks(self, key: Scalar, node: Mapping) -> list[Statement]:
        kind = self._name(key)
        blocks: list[Statement] = []
        if kind and kind.text not in KINDS and not node.pairs:
            self.diagnostics.append(name_codes.unknown_kind(kind.span, kind.text, KINDS))  # no block will tell it
        for label, value in node.pairs:
            name = self._name(label)
            if kind is None or name is None:
                continue
            if isinstance(value, Mapping):
                blocks.append(self._block(kind, name, value, kind.text))
            else:
                self._wrong_shape(value, f"`{kind.text} {name.text}`", "a mapping of fields to values")
        return blocks

    def _block(self, kind: Name, label: Name | None, node: Mapping, path: str) -> Block:
        head = self._head(node, label is not None)
        items = self._items(node, path, label is not None)
        span = kind.span.to(node.span) if label is None else label.span.to(node.span)
        return Block(kind, label, head.extends, items, span, head.doc)

    def _head(self, node: Mapping, at_top: bool) -> _Head:
        found = {key.value: (key, value) for key, value in node.pairs if key.value in ("doc", "extends")}
        doc = self._text(found["doc"][1], "`doc`", MAX_FILE_BYTES) if "doc" in found else None
        if "extends" not in found:
            return _Head(doc.value if doc else "")
        key, value = found["extends"]
        if not at_top:
            self.diagnostics.append(syntax_codes.block_with_name(key.span, "block", "`extends`"))
            return _Head(doc.value if doc else "")
        base = self._value(value, False)
        if not isinstance(base, (Reference, Broken)):
            self._wrong_shape(value, "`extends`", "the name of a block")
        return _Head(doc.value if doc else "", base if isinstance(base, Reference) else None)

    def _items(self, node: Mapping, path: str, at_top: bool) -> tuple[Item, ...]:
        items: list[Item] = []
        for key, value in node.pairs:
            if key.value in ("doc", "extends"):
                continue
            if key.value == "assert":
                items += self._asserts(value)
            elif name := self._name(key):
                inner = f"{path}.{name.text}"
                if isinstance(value, Mapping):
                    items.append(self._block(name, None, value, inner))
                else:
                    field = Field(name, self._value(value, takes_text(inner)), key.span.to(value.span))
                    items.append(field)
        return tuple(items)

    def _asserts(self, node: Node) -> list[Item]:
        if not isinstance(node, Sequence):
            self._wrong_shape(node, "`assert`", "a list of mappings with `that` and `why`")
            return []
        asserts: list[Item] = []
        for item in node.items:
            parts = {key.value: value for key, value in self._pairs(item, "an assert", "a mapping of `that` and `why`")}
            strange = sorted(set(parts) - {"that", "why"})
            if strange or "that" not in parts:
                self._wrong_shape(item, "an assert", "a mapping of `that` and `why`")
                continue
            why = self._text(parts["why"], "`why`") if "why" in parts else None
            asserts.append(Assert(self._value(parts["that"], False), why, item.span))
        return asserts

    def _pairs(self, node: Node, what: str, wanted: str) -> tuple[tuple[Scalar, Node], ...]:
        if isinstance(node, Mapping):
            return node.pairs
        self._wrong_shape(node, what, wanted)
        return ()

    def _name(self, key: Scalar) -> Name | None:
        if _NAME.fullmatch(key.value):
            return Name(key.value, key.span)
        self.diagnostics.append(codes.key_is_no_name(key.span, key.value))
        return None

    def _text(self, node: Node, what: str, most: int = MAX_STRING) -> String | None:
        if not isinstance(node, Scalar):
            self._wrong_shape(node, what, "a text")
            return None
        if len(node.value) > most:
            self.diagnostics.append(syntax_codes.text_too_long(node.span, len(node.value)))
            return None
        return String(node.value, node.span)

    def _value(self, node: Node, text: bool) -> Expression:
        """The expression that `node` holds; a quoted scalar is a text if `text`."""
        match node:
            case Sequence(items) if len(items) > MAX_LIST_ITEMS:
                self.diagnostics.append(syntax_codes.list_too_long(node.span))
                return Broken(node.span)
            case Sequence(items):
                return ListOf(tuple(self._value(item, text) for item in items), node.span)
            case Mapping():
                self._wrong_shape(node, "a value", "a scalar or a list")
                return Broken(node.span)
            case Scalar() if text and not node.plain and not node.value.startswith("="):
                return self._text(node, "a value") or Broken(node.span)
            case _:
                return self._expression(node)

    def _expression(self, node: Scalar) -> Expression:
        text, span = self._verbatim(node)
        if not text:
            self.diagnostics.append(syntax_codes.missing_value(node.span, ":"))
            return Broken(node.span)
        simple = simple_expression(text, span)
        if simple:
            return simple
        self.expressions += 1
        if self.expressions > codes.MAX_EXPRESSIONS:
            if self.expressions == codes.MAX_EXPRESSIONS + 1:
                self.diagnostics.append(codes.too_many_expressions(node.span))
            return Broken(node.span)
        expression, told = parse_expression(text, span)
        self.diagnostics += told
        return expression

    def _verbatim(self, node: Scalar) -> tuple[str, Span]:
        """The text of the expression in `node`, and its own span where it stands in the file letter by letter."""
        value = " ".join(node.value.split("\n"))
        text = value.removeprefix("=").strip() if not node.plain else value.strip()
        written = self.source.slice(node.span)
        offset = written.find(text) if text else -1
        if offset < 0 or (written != text and written[1:-1] != node.value):
            return text, node.span
        start = node.span.start + offset
        return text, Span(node.span.file, start, start + len(text))

    def _wrong_shape(self, node: Node, what: str, wanted: str) -> None:
        self.diagnostics.append(codes.wrong_shape(node.span, what, wanted))
