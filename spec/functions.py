"""The functions that expressions may call. All are exact but `sqrt` and `log2`, which round as they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from moec.spec.codes import types
from moec.spec.quantities import fits
from moec.spec.source import Span
from moec.spec.syntax import Call
from moec.spec.values import PLAIN, Dimension, Error, Exact, Many, Quantity, Value, describe, dimension_name

ROOT_BITS: Final = 64
"""`sqrt` and `log2` are right to this many bits behind the point. Assumption: finer than any 64-bit float near 1."""


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is called, and what it gives; `moec explain` and the docs print both."""

    usage: str
    doc: str
    least: int
    most: int | None
    work: Callable[[Call, tuple[Quantity, ...]], Value | Error]


def call(expression: Call, arguments: tuple[Value, ...]) -> Value | Error:
    """The value of `expression`, whose function is known, for these arguments.

    Errors: MOE2103 (units), MOE2107 (`round_up` to 0), MOE2108 (size), MOE2110 (number of arguments), MOE2113 (kind
    of argument).
    """
    name = expression.function.text
    if name == "len":
        return _length(expression, arguments)
    numbers = _numbers(expression, arguments)
    if isinstance(numbers, Error):
        return numbers
    function = FUNCTIONS[name]
    if len(numbers) < function.least or (function.most is not None and len(numbers) > function.most):
        return _wrong_count(expression, len(numbers))
    result = function.work(expression, numbers)
    if isinstance(result, Quantity) and not fits(result.amount):
        return Error((types.too_large(expression.span),))
    return result


def _numbers(expression: Call, arguments: tuple[Value, ...]) -> tuple[Quantity, ...] | Error:
    """The arguments, or the items of the one list that is given, all in one unit."""
    name = expression.function.text
    items = arguments[0].items if len(arguments) == 1 and isinstance(arguments[0], Many) else arguments
    wrong = [item for item in items if not isinstance(item, Quantity)]
    if wrong:
        return Error((types.wrong_operand(expression.span, name, "numbers", describe(wrong[0])),))
    numbers = tuple(item for item in items if isinstance(item, Quantity))
    for number in numbers[1:]:
        if number.dimension != numbers[0].dimension:
            names = (dimension_name(numbers[0].dimension), dimension_name(number.dimension))
            return Error((types.units_differ(expression.span, name, *names, _sides(expression)),))
    return numbers


def _sides(expression: Call) -> tuple[Span, Span]:
    return expression.arguments[0].span, expression.arguments[-1].span


def _wrong_count(expression: Call, given: int) -> Error:
    function = FUNCTIONS[expression.function.text]
    most = function.most
    wanted = (
        f"{function.least} value{'s' if function.least != 1 else ''}" if most == function.least else "1 value or more"
    )
    return Error((types.wrong_arguments(expression.span, expression.function.text, wanted, given),))


def _length(expression: Call, arguments: tuple[Value, ...]) -> Value | Error:
    if len(arguments) != 1:
        return _wrong_count(expression, len(arguments))
    if not isinstance(arguments[0], Many):
        return Error((types.wrong_operand(expression.span, "len", "a list", describe(arguments[0])),))
    return Quantity(len(arguments[0].items))


def _least(expression: Call, numbers: tuple[Quantity, ...]) -> Value:
    return min(numbers, key=lambda number: number.amount)


def _most(expression: Call, numbers: tuple[Quantity, ...]) -> Value:
    return max(numbers, key=lambda number: number.amount)


def _ceil(expression: Call, numbers: tuple[Quantity, ...]) -> Value:
    return Quantity(math.ceil(numbers[0].amount), numbers[0].dimension)


def _floor(expression: Call, numbers: tuple[Quantity, ...]) -> Value:
    return Quantity(math.floor(numbers[0].amount), numbers[0].dimension)


def _round_up(expression: Call, numbers: tuple[Quantity, ...]) -> Value | Error:
    number, to = numbers
    if to.amount <= 0:
        return Error((types.division_by_zero(expression.span, expression.arguments[-1].span),))
    return Quantity(math.ceil(Fraction(number.amount) / to.amount) * to.amount, number.dimension)


def _sqrt(expression: Call, numbers: tuple[Quantity, ...]) -> Value | Error:
    amount, dimension = numbers[0].amount, numbers[0].dimension
    if amount < 0 or any(power % 2 for power in dimension):
        wanted = "a number from 0 up" if amount < 0 else "a number without a unit"
        return Error((types.wrong_operand(expression.span, "sqrt", wanted, describe(numbers[0])),))
    return Quantity(_root(amount), Dimension(*(power // 2 for power in dimension)))


def _root(amount: Exact) -> Exact:
    """Exact where the root is a fraction, else rounded down to ROOT_BITS bits."""
    top, bottom = math.isqrt(amount.numerator), math.isqrt(amount.denominator)
    if top * top == amount.numerator and bottom * bottom == amount.denominator:
        return Fraction(top, bottom)
    scaled = amount.numerator * 4**ROOT_BITS // amount.denominator
    return Fraction(math.isqrt(scaled), 2**ROOT_BITS)


def _log2(expression: Call, numbers: tuple[Quantity, ...]) -> Value | Error:
    amount = numbers[0].amount
    if amount <= 0 or numbers[0].dimension != PLAIN:
        wanted = "a number above 0" if amount <= 0 else "a number without a unit"
        return Error((types.wrong_operand(expression.span, "log2", wanted, describe(numbers[0])),))
    return Quantity(_binary_logarithm(Fraction(amount)))


def _binary_logarithm(amount: Fraction) -> Fraction:
    """By repeated squaring of the mantissa, rounded down to ROOT_BITS bits: the same on every machine."""
    whole = amount.numerator.bit_length() - amount.denominator.bit_length()
    whole -= Fraction(2) ** whole > amount
    mantissa = int(amount / Fraction(2) ** whole * 2**128)
    bits = 0
    for _ in range(ROOT_BITS):
        mantissa = mantissa * mantissa >> 128
        above = mantissa >= 2**129
        bits = bits * 2 + above
        mantissa >>= above
    return whole + Fraction(bits, 2**ROOT_BITS)


def _sum(expression: Call, numbers: tuple[Quantity, ...]) -> Value | Error:
    total: Exact = 0
    for number in numbers:
        total = total + number.amount
        if not fits(total):
            return Error((types.too_large(expression.span),))
    return Quantity(total, numbers[0].dimension if numbers else PLAIN)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "min": Function("min(a, b, …)", "The least of its numbers, or of those in a list.", 1, None, _least),
    "max": Function("max(a, b, …)", "The greatest of its numbers, or of those in a list.", 1, None, _most),
    "ceil": Function("ceil(x)", "`x` rounded up to a whole number.", 1, 1, _ceil),
    "floor": Function("floor(x)", "`x` rounded down to a whole number.", 1, 1, _floor),
    "round_up": Function("round_up(x, to)", "The least multiple of `to` that is not below `x`.", 2, 2, _round_up),
    "sqrt": Function(
        "sqrt(x)", "The square root: exact where it is a fraction, else to 64 bits behind the point.", 1, 1, _sqrt
    ),
    "log2": Function("log2(x)", "The binary logarithm, rounded down to 64 bits behind the point.", 1, 1, _log2),
    "sum": Function("sum(list)", "The sum of the numbers in a list.", 0, None, _sum),
    "len": Function("len(list)", "How many items a list has.", 1, 1, _sum),
}
