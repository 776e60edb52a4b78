"""value -> the expression that a spec would write for it."""

from __future__ import annotations

from fractions import Fraction

from moec.spec.quantities import write_number
from moec.spec.source import Span
from moec.spec.syntax import (
    Binary,
    Boolean,
    Expression,
    ListOf,
    Name,
    Number,
    Reference,
    String,
    Topology,
    Unary,
)
from moec.spec.values import (
    BYTES,
    BYTES_PER_SECOND,
    FLOPS,
    FLOPS_PER_SECOND,
    PLAIN,
    SECONDS,
    BlockName,
    Dimension,
    Exact,
    Grid,
    Many,
    Quantity,
    Text,
    Truth,
    Value,
    Word,
)

_UNITS = {
    PLAIN: ("", 1),
    BYTES: ("kB", 1000),
    FLOPS: ("FLOP", 1),
    SECONDS: ("s", 1),
    BYTES_PER_SECOND: ("kB/s", 1000),
    FLOPS_PER_SECOND: ("FLOP/s", 1),
}
"""The suffix that each dimension is written with, and how many base units that is; no suffix says single bytes."""


def literal(value: Value, span: Span) -> Expression:
    """`value` written out, as if it stood at `span`."""
    match value:
        case Quantity():
            return _number(value, span)
        case Word(text) | BlockName(_, text):
            return Reference((Name(text, span),), span)
        case Text(text):
            return String(text, span)
        case Truth(truth):
            return Boolean(truth, span)
        case Grid(sizes):
            return Topology(sizes, span)
        case Many(items):
            return ListOf(tuple(literal(item, span) for item in items), span)


def _number(value: Quantity, span: Span) -> Expression:
    if value.amount < 0:
        return Unary("-", _number(Quantity(-value.amount, value.dimension), span), span)
    if value.dimension not in _UNITS:
        return _compound(value, span)
    suffix, base = _UNITS[value.dimension]
    amount = Quantity(Fraction(value.amount, base)).amount
    return _in_unit(amount, suffix, span)


def _in_unit(amount: Exact, suffix: str, span: Span) -> Expression:
    """`amount` of the unit `suffix`, as a division where no decimal is exact."""
    text = write_number(amount)
    if " / " not in text:
        return Number(text + suffix, span)
    top, bottom = text.split(" / ")
    return Binary("/", Number(top + suffix, span), Number(bottom, span), span)


def _compound(value: Quantity, span: Span) -> Expression:
    """A number times or over its units, for dimensions that have no suffix of their own."""
    result = _in_unit(value.amount, "", span)
    for base, suffix, size in ((Dimension(1), "kB", 1000), (FLOPS, "FLOP", 1), (SECONDS, "s", 1)):
        power = sum(mine * theirs for mine, theirs in zip(value.dimension, base, strict=True))
        one = _in_unit(Fraction(1, size), suffix, span) if size > 1 else Number(f"1{suffix}", span)
        for _ in range(abs(power)):
            result = Binary("*" if power > 0 else "/", result, one, span)
    return result
