"""Trees and diagnostics, moved along the file that they stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from moec.spec import syntax
from moec.spec.diagnostics import Diagnostic
from moec.spec.source import Span
from moec.spec.syntax import Expression, Item, Name, Statement


def along(by: int) -> Mover:
    """A mover that moves everything `by` code points."""
    return Mover(lambda span: Span(span.file, span.start + by, span.end + by))


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves everything: `span` gives the new place of an old one."""

    span: Callable[[Span], Span]

    def diagnostic(self, told: Diagnostic) -> Diagnostic:
        others = tuple(replace(label, span=self.span(label.span)) for label in told.others)
        fixes = tuple(replace(fix, span=self.span(fix.span)) for fix in told.fixes)
        return replace(told, span=self.span(told.span), others=others, fixes=fixes)

    def statement(self, statement: Statement) -> Statement:
        span = self.span(statement.span)
        match statement:
            case syntax.Use(path, alias):
                return replace(
                    statement, path=replace(path, span=self.span(path.span)), alias=self._name(alias), span=span
                )
            case syntax.Let(name, value):
                return replace(statement, name=self._name(name), value=self._expression(value), span=span)
            case syntax.Field() | syntax.Block():
                moved = self._item(statement)
                assert isinstance(moved, syntax.Field | syntax.Block)
                return moved

    def _item(self, item: Item) -> Item:
        span = self.span(item.span)
        match item:
            case syntax.Field(name, value):
                return replace(item, name=self._name(name), value=self._expression(value), span=span)
            case syntax.Assert(condition, why):
                moved_why = replace(why, span=self.span(why.span)) if why else None
                return replace(item, condition=self._expression(condition), why=moved_why, span=span)
            case syntax.Block(kind, label, extends, items):
                base = self._expression(extends) if extends else None
                assert base is None or isinstance(base, syntax.Reference)
                return replace(
                    item,
                    kind=self._name(kind),
                    label=self._name(label) if label else None,
                    extends=base,
                    items=tuple(self._item(inner) for inner in items),
                    span=span,
                )

    def _name(self, name: Name) -> Name:
        return Name(name.text, self.span(name.span))

    def _expression(self, part: Expression) -> Expression:
        span = self.span(part.span)
        match part:
            case syntax.Reference(parts):
                return syntax.Reference(tuple(self._name(name) for name in parts), span)
            case syntax.Unary(operator, operand):
                return syntax.Unary(operator, self._expression(operand), span)
            case syntax.Binary(operator, left, right):
                return syntax.Binary(operator, self._expression(left), self._expression(right), span)
            case syntax.Conditional():
                then, condition = self._expression(part.then), self._expression(part.condition)
                return syntax.Conditional(then, condition, self._expression(part.otherwise), span)
            case syntax.Call(function, arguments):
                return syntax.Call(self._name(function), tuple(self._expression(one) for one in arguments), span)
            case syntax.ListOf(items):
                return syntax.ListOf(tuple(self._expression(one) for one in items), span)
            case _:
                return replace(part, span=span)
