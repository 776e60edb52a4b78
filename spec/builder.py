"""Grammar rules -> syntax tree. One method for each rule or alias of `grammar.lark`, called with the rule's parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from moec.spec import syntax
from moec.spec.codes import syntax as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.layout import Comments
from moec.spec.lexer import Token
from moec.spec.source import Source, Span
from moec.spec.syntax import Expression, Statement, Trivia

_NO_TRIVIA: Final = Trivia()
_AnyItem = syntax.Use | syntax.Let | syntax.Field | syntax.Block | syntax.Assert


class Body:
    """The inside of a block, on its way into the block."""

    __slots__ = ("closer", "items", "opener")

    def __init__(self, opener: Token, items: list[_AnyItem], closer: Token) -> None:
        self.opener, self.items, self.closer = opener, items, closer


class Builder:
    """Makes the tree of one file; tells of statements that stand where they may not."""

    def __init__(self, source: Source, comments: Comments) -> None:
        self.name = source.name
        self.text = source.text
        self.comments = comments
        self.diagnostics: list[Diagnostic] = []
        self.with_broken_heads: set[int] = set()

    # ---- the file ----

    def file(self, parts: list[Any]) -> syntax.File:
        items: list[_AnyItem] = parts[0] if parts else []
        statements = tuple(item for item in items if self._may_stand_at_top(item))
        end = len(self.text)
        return syntax.File(
            cast("tuple[Statement, ...]", statements),
            Span(self.name, 0, end),
            Trivia(before=self.comments.before.get(end, ())),
        )

    def _may_stand_at_top(self, item: _AnyItem) -> bool:
        if isinstance(item, syntax.Assert):
            self._tell(codes.misplaced(self._first(item, 6), "assert", "inside a block, such as a `run`"))
            return False
        if isinstance(item, syntax.Block) and item.label is None and item.span.start not in self.with_broken_heads:
            self._tell(codes.block_without_name(item.kind.span, item.kind.text))
        return True

    def _may_stand_inside(self, item: _AnyItem) -> bool:
        if isinstance(item, syntax.Let | syntax.Use):
            word = "let" if isinstance(item, syntax.Let) else "use"
            self._tell(codes.misplaced(self._first(item, 3), word, "at the top of a file, not inside a block"))
            return False
        if isinstance(item, syntax.Block) and item.label is not None:
            self._tell(codes.block_with_name(item.label.span, item.kind.text, "name"))
        elif isinstance(item, syntax.Block) and item.extends is not None:
            self._tell(codes.block_with_name(item.extends.span, item.kind.text, "`extends`"))
        return True

    def _first(self, item: _AnyItem, length: int) -> Span:
        return Span(self.name, item.span.start, item.span.start + length)

    def first_item(self, parts: list[Any]) -> list[_AnyItem]:
        return [] if parts[0] is None else [parts[0]]

    def next_item(self, parts: list[Any]) -> list[_AnyItem]:
        items = cast("list[_AnyItem]", parts[0])
        if parts[2] is not None:
            items.append(parts[2])
        return items

    def separator(self, parts: list[Any]) -> None:
        return None

    # ---- statements ----

    def field(self, parts: list[Any]) -> syntax.Field:
        name, _, value = parts
        span = self._cover(name.start, value.span.end)
        return syntax.Field(self._name(name), value, span, self._doc(name), self._trivia(span))

    def let(self, parts: list[Any]) -> syntax.Let:
        let, name, _, value = parts
        span = self._cover(let.start, value.span.end)
        return syntax.Let(self._name(name), value, span, self._doc(let), self._trivia(span))

    def use(self, parts: list[Any]) -> syntax.Use | None:
        use, path, _, alias = parts
        span = self._cover(use.start, alias.end)
        return syntax.Use(path, self._name(alias), span, self._doc(use), self._trivia(span))

    def path(self, parts: list[Any]) -> syntax.String:
        token = parts[0]
        return syntax.String(token.text if token.type == "STRING" else "", self._span(token))

    def assertion(self, parts: list[Any]) -> syntax.Assert:
        word, condition, why = parts[0], parts[1], parts[3] if len(parts) > 2 else None
        span = self._cover(word.start, (why or condition).span.end)
        return syntax.Assert(condition, why, span, self._doc(word), self._trivia(span))

    why = path

    def broken_item(self, parts: list[Any]) -> None:
        return None

    def broken_field(self, parts: list[Any]) -> syntax.Field:
        name, error = parts[0], parts[-1]
        return syntax.Field(self._name(name), syntax.Broken(self._span(error)), self._cover(name.start, error.end))

    def broken_let(self, parts: list[Any]) -> syntax.Let:
        let, name, error = parts
        return syntax.Let(self._name(name), syntax.Broken(self._span(error)), self._cover(let.start, error.end))

    # ---- blocks ----

    def body(self, parts: list[Any]) -> Body:
        items = [item for item in parts[1] if self._may_stand_inside(item)]
        return Body(parts[0], items, parts[-1])

    def empty_body(self, parts: list[Any]) -> Body:
        return Body(parts[0], [], parts[1])

    def plain_block(self, parts: list[Any]) -> syntax.Block:
        return self._block(parts[0], None, None, parts[-1])

    def broken_block(self, parts: list[Any]) -> syntax.Block:
        block = self._block(parts[0], None, None, parts[-1])
        self.with_broken_heads.add(block.span.start)
        return block

    def labelled_block(self, parts: list[Any]) -> syntax.Block:
        return self._block(parts[0], parts[1], None, parts[-1])

    broken_labelled_block = labelled_block

    def extending_block(self, parts: list[Any]) -> syntax.Block:
        return self._block(parts[0], parts[1], parts[3], parts[-1])

    def nameless_extending_block(self, parts: list[Any]) -> syntax.Block:
        return self._block(parts[0], None, parts[2], parts[-1])

    def _block(self, kind: Token, label: Token | None, base: Expression | None, body: Body) -> syntax.Block:
        span = self._cover(kind.start, body.closer.end)
        comments = self.comments
        return syntax.Block(
            kind=self._name(kind),
            label=self._name(label) if label else None,
            extends=base if isinstance(base, syntax.Reference) else None,
            items=cast("tuple[syntax.Item, ...]", tuple(body.items)),
            span=span,
            doc=self._doc(kind),
            trivia=Trivia(comments.before.get(kind.start, ()), comments.behind.get(body.opener.end)),
            end_trivia=Trivia(comments.before.get(body.closer.start, ()), comments.behind.get(body.closer.end)),
            on_one_line=self._is_one_line(span),
        )

    def _is_one_line(self, span: Span) -> bool:
        return self.text.find("\n", span.start, span.end) < 0 and self.text.find("\r", span.start, span.end) < 0

    # ---- values ----

    def number(self, parts: list[Any]) -> syntax.Number:
        return syntax.Number(parts[0].text, self._span(parts[0]))

    def topology(self, parts: list[Any]) -> syntax.Topology:
        return syntax.Topology(tuple(map(int, parts[0].text.split("x"))), self._span(parts[0]))

    def string(self, parts: list[Any]) -> syntax.String:
        return syntax.String(parts[0].text, self._span(parts[0]))

    def boolean(self, parts: list[Any]) -> syntax.Boolean:
        return syntax.Boolean(parts[0].type == "TRUE", self._span(parts[0]))

    def broken_value(self, parts: list[Any]) -> syntax.Broken:
        return syntax.Broken(self._span(parts[0]))

    def first_part(self, parts: list[Any]) -> syntax.Reference:
        name = self._name(parts[0])
        return syntax.Reference((name,), name.span)

    def next_part(self, parts: list[Any]) -> syntax.Reference:
        reference, _, name = parts
        span = self._cover(reference.span.start, name.end)
        return syntax.Reference((*reference.parts, self._name(name)), span)

    def conditional(self, parts: list[Any]) -> syntax.Conditional:
        then, _, condition, _, otherwise = parts
        return syntax.Conditional(then, condition, otherwise, then.span.to(otherwise.span))

    def binary(self, parts: list[Any]) -> syntax.Binary:
        left, operator, right = parts
        return syntax.Binary(operator.text, left, right, left.span.to(right.span))

    def unary(self, parts: list[Any]) -> syntax.Unary:
        operator, operand = parts
        return syntax.Unary(operator.text, operand, self._cover(operator.start, operand.span.end))

    def call(self, parts: list[Any]) -> syntax.Call:
        name, _, arguments, closer = parts
        return syntax.Call(self._name(name), tuple(arguments), self._cover(name.start, closer.end))

    def list_of(self, parts: list[Any]) -> syntax.ListOf:
        opener, items, closer = parts
        return syntax.ListOf(tuple(items), self._cover(opener.start, closer.end))

    def grouped(self, parts: list[Any]) -> Expression:
        opener, expression, closer = parts
        return replace(cast("Expression", expression), span=self._cover(opener.start, closer.end))

    def arguments(self, parts: list[Any]) -> list[Expression]:
        return parts[0] if parts else []

    def first_argument(self, parts: list[Any]) -> list[Expression]:
        return [parts[0]]

    def next_argument(self, parts: list[Any]) -> list[Expression]:
        arguments = cast("list[Expression]", parts[0])
        arguments.append(parts[2])
        return arguments

    # ---- places and comments ----

    def _cover(self, start: int, end: int) -> Span:
        return Span(self.name, start, end)

    def _span(self, token: Token) -> Span:
        return Span(self.name, token.start, token.end)

    def _name(self, token: Token) -> syntax.Name:
        return syntax.Name(token.text, Span(self.name, token.start, token.end))

    def _doc(self, first: Token) -> str:
        return self.comments.docs.get(first.start, "")

    def _trivia(self, span: Span) -> Trivia:
        before, behind = self.comments.before.get(span.start, ()), self.comments.behind.get(span.end)
        return Trivia(before, behind) if before or behind is not None else _NO_TRIVIA

    def _tell(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
