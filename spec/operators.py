"""The operators on values: `value, value -> value or error`, with units held together."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from moec.spec.codes import types
from moec.spec.quantities import fits, product_fits
from moec.spec.source import Span
from moec.spec.syntax import Binary, Unary
from moec.spec.values import Dimension, Error, Exact, Quantity, Truth, Value, describe, dimension_name

_ORDER: Final[dict[str, Callable[[Exact, Exact], bool]]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_SAME_UNIT: Final = frozenset(("+", "-", "%", *_ORDER))


def unary(expression: Unary, value: Value) -> Value | Error:
    """`-x`, `+x`, `not x`."""
    if expression.operator == "not":
        if isinstance(value, Truth):
            return Truth(not value.value)
        return _wrong(expression.operand.span, "not", "true or false", value)
    if not isinstance(value, Quantity):
        return _wrong(expression.operand.span, expression.operator, "a number", value)
    return Quantity(-value.amount, value.dimension) if expression.operator == "-" else value


def binary(expression: Binary, left: Value, right: Value) -> Value | Error:
    """`left operator right`; `and` and `or` come here only where the left side has not decided."""
    operator = expression.operator
    if operator in ("and", "or"):
        return _connective(expression, left, right)
    if operator in ("==", "!="):
        return _equality(expression, left, right)
    if not isinstance(left, Quantity):
        return _wrong(expression.left.span, operator, "numbers", left)
    if not isinstance(right, Quantity):
        return _wrong(expression.right.span, operator, "numbers", right)
    if operator in _SAME_UNIT and left.dimension != right.dimension:
        return _units_differ(expression, left.dimension, right.dimension)
    if operator in _ORDER:
        return Truth(_ORDER[operator](left.amount, right.amount))
    return _arithmetic(expression, left, right)


def _connective(expression: Binary, left: Value, right: Value) -> Value | Error:
    if not isinstance(left, Truth):
        return _wrong(expression.left.span, expression.operator, "true or false", left)
    if not isinstance(right, Truth):
        return _wrong(expression.right.span, expression.operator, "true or false", right)
    return right


def _equality(expression: Binary, left: Value, right: Value) -> Value | Error:
    if isinstance(left, Quantity) and isinstance(right, Quantity) and left.dimension != right.dimension:
        return _units_differ(expression, left.dimension, right.dimension)
    return Truth((left == right) == (expression.operator == "=="))


def _arithmetic(expression: Binary, left: Quantity, right: Quantity) -> Value | Error:
    operator = expression.operator
    if operator in ("/", "//", "%") and right.amount == 0:
        return Error((types.division_by_zero(expression.span, expression.right.span),))
    inverse = operator in ("/", "//", "%")
    factor = 1 / Fraction(right.amount) if inverse else right.amount
    if not product_fits(left.amount, factor):
        return Error((types.too_large(expression.span),))
    amount, dimension = _apply(operator, left, right)
    return Quantity(amount, dimension) if fits(amount) else Error((types.too_large(expression.span),))


def _apply(operator: str, left: Quantity, right: Quantity) -> tuple[Exact, Dimension]:
    x, y = left.amount, right.amount
    if operator == "+":
        return x + y, left.dimension
    if operator == "-":
        return x - y, left.dimension
    if operator == "%":
        return x % y, left.dimension
    pairs = list(zip(left.dimension, right.dimension, strict=True))
    if operator == "*":
        return x * y, Dimension(*(mine + theirs for mine, theirs in pairs))
    divided = Dimension(*(mine - theirs for mine, theirs in pairs))
    return (x // y if operator == "//" else Fraction(x) / y), divided


def _units_differ(expression: Binary, left: Dimension, right: Dimension) -> Error:
    sides = (expression.left.span, expression.right.span)
    names = (dimension_name(left), dimension_name(right))
    return Error((types.units_differ(expression.span, expression.operator, *names, sides),))


def _wrong(span: Span, operator: str, wanted: str, found: Value) -> Error:
    return Error((types.wrong_operand(span, operator, wanted, describe(found)),))
