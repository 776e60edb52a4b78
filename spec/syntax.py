"""The syntax tree of a spec: what was written, where, with its comments. Both `.moe` and `.moe.yaml` give this tree.

Spans and trivia do not take part in equality, so `parse(format(x)) == parse(x)` compares meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from moec.spec.source import Span


@dataclass(frozen=True, slots=True)
class Trivia:
    """Comments around a node: `before`, those on own lines (text after `#`; "" is a kept blank line); `behind`, one."""

    before: tuple[str, ...] = ()
    behind: str | None = None


_NO_TRIVIA = Trivia()


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    span: Span = field(compare=False)


# ---- expressions ----


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written, with its suffix if it has one: `128_256`, `7B`, `4Ki`, `80GiB`, `3.35TB/s`, `1e-4`."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """`8x8x8`."""

    sizes: tuple[int, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class String:
    """A quoted text, escapes resolved."""

    value: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    value: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """`swiglu`, `d_model`, `dense.d_model`, `plan.hbm_per_device`: an enum word, a let, a field or a block."""

    parts: tuple[Name, ...]
    span: Span = field(compare=False)

    @property
    def dotted(self) -> str:
        return ".".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Unary:
    operator: Literal["-", "+", "not"]
    operand: Expression
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, one comparison, or a boolean connective."""

    operator: Literal["+", "-", "*", "/", "//", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or"]
    left: Expression
    right: Expression
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """`then if condition else otherwise`."""

    then: Expression
    condition: Expression
    otherwise: Expression
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    function: Name
    arguments: tuple[Expression, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expression, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be parsed; its error has been told, so nothing that follows from it is."""

    span: Span = field(compare=False)


Expression = Number | Topology | String | Boolean | Reference | Unary | Binary | Conditional | Call | ListOf | Broken


# ---- statements ----


@dataclass(frozen=True, slots=True)
class Field:
    """`name = value`."""

    name: Name
    value: Expression
    span: Span = field(compare=False)
    doc: str = ""
    trivia: Trivia = field(default=_NO_TRIVIA, compare=False)


@dataclass(frozen=True, slots=True)
class Assert:
    """`assert condition : "why"`."""

    condition: Expression
    why: String | None
    span: Span = field(compare=False)
    doc: str = ""
    trivia: Trivia = field(default=_NO_TRIVIA, compare=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`kind label extends base { … }` at the top, `kind { … }` inside another block.

    `on_one_line` says how it was written, None where it was not; it only guides the formatter.
    """

    kind: Name
    label: Name | None
    extends: Reference | None
    items: tuple[Item, ...]
    span: Span = field(compare=False)
    doc: str = ""
    trivia: Trivia = field(default=_NO_TRIVIA, compare=False)
    end_trivia: Trivia = field(default=_NO_TRIVIA, compare=False)
    on_one_line: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value`."""

    name: Name
    value: Expression
    span: Span = field(compare=False)
    doc: str = ""
    trivia: Trivia = field(default=_NO_TRIVIA, compare=False)


@dataclass(frozen=True, slots=True)
class Use:
    """`use "base.moe" as base`."""

    path: String
    alias: Name
    span: Span = field(compare=False)
    doc: str = ""
    trivia: Trivia = field(default=_NO_TRIVIA, compare=False)


Item = Field | Block | Assert
Statement = Use | Let | Field | Block


@dataclass(frozen=True, slots=True)
class File:
    """One source file; `edition = 2026` is the first `Field`."""

    statements: tuple[Statement, ...]
    span: Span = field(compare=False)
    end_trivia: Trivia = field(default=_NO_TRIVIA, compare=False)
