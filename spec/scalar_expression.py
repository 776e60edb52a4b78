"""A text inside another file -> the expression that it holds, with spans that point into that file."""

from __future__ import annotations

import re
from dataclasses import replace

from moec.spec.diagnostics import Diagnostic
from moec.spec.lexer import KEYWORDS
from moec.spec.limits import MAX_IDENTIFIER, MAX_NUMBER
from moec.spec.quantities import SUFFIX_VALUES, suffix_of
from moec.spec.source import Source, Span
from moec.spec.syntax import (
    Binary,
    Boolean,
    Broken,
    Call,
    Conditional,
    Expression,
    Field,
    ListOf,
    Name,
    Number,
    Reference,
    Unary,
)

_NUMBER = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[A-Za-z]*", re.ASCII)
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_HEAD = "value = "


def simple_expression(text: str, span: Span) -> Expression | None:
    """The expression `text` if it is just a number, a name or a boolean, else None. Names lie evenly over `span`."""
    if text in ("true", "false"):
        return Boolean(text == "true", span)
    if _NUMBER.fullmatch(text) and len(text) <= MAX_NUMBER and suffix_of(text) in SUFFIX_VALUES:
        return Number(text, span)
    parts = text.split(".") if _NAMES.fullmatch(text) else []
    if not parts or any(part in KEYWORDS or len(part) > MAX_IDENTIFIER for part in parts):
        return None
    names, start, exact = [], span.start, span.end - span.start == len(text)
    for part in parts:
        names.append(Name(part, Span(span.file, start, start + len(part)) if exact else span))
        start += len(part) + 1
    return Reference(tuple(names), span)


def parse_expression(text: str, span: Span) -> tuple[Expression, tuple[Diagnostic, ...]]:
    """The expression `text`, which lies at `span`; where `span` is not as long as the text, all of it points to all
    of that.

    Errors: MOE1xxx. Where there are any, the expression may be Broken.
    """
    from moec.spec.parser import parse

    mover = _Mover(span, span.end - span.start == len(text))
    file, told = parse(Source(span.file, f"{_HEAD}{text}\n"))
    value = file.statements[0].value if file.statements and isinstance(file.statements[0], Field) else Broken(span)
    if len(file.statements) != 1 and not told:
        value = Broken(span)
    return mover.expression(value), tuple(mover.diagnostic(diagnostic) for diagnostic in told)


class _Mover:
    def __init__(self, span: Span, exact: bool) -> None:
        self.within = span
        self.exact = exact

    def span(self, span: Span) -> Span:
        if not self.exact:
            return self.within
        shift = self.within.start - len(_HEAD)
        ends = (min(max(end + shift, self.within.start), self.within.end) for end in (span.start, span.end))
        return Span(span.file, *ends)

    def name(self, name: Name) -> Name:
        return Name(name.text, self.span(name.span))

    def expression(self, part: Expression) -> Expression:
        span = self.span(part.span)
        match part:
            case Reference(parts):
                return Reference(tuple(self.name(name) for name in parts), span)
            case Unary(operator, operand):
                return Unary(operator, self.expression(operand), span)
            case Binary(operator, left, right):
                return Binary(operator, self.expression(left), self.expression(right), span)
            case Conditional(then, condition, otherwise):
                then, condition, otherwise = (self.expression(inner) for inner in (then, condition, otherwise))
                return Conditional(then, condition, otherwise, span)
            case Call(function, arguments):
                return Call(self.name(function), tuple(self.expression(inner) for inner in arguments), span)
            case ListOf(items):
                return ListOf(tuple(self.expression(inner) for inner in items), span)
            case _:
                return replace(part, span=span)

    def diagnostic(self, diagnostic: Diagnostic) -> Diagnostic:
        others = tuple(replace(label, span=self.span(label.span)) for label in diagnostic.others)
        fixes = tuple(replace(fix, span=self.span(fix.span)) for fix in diagnostic.fixes) if self.exact else ()
        return replace(diagnostic, span=self.span(diagnostic.span), others=others, fixes=fixes)
