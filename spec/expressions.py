"""Works out what an expression is worth: `expression, environment -> value or error`. Exact, and always soon done.

There is no recursion and there are no user functions in the language, so the work is bounded by the size of the tree;
each value that a name stands for is worked out once by whoever keeps the environment. What is bounded here is the
size of numbers, told before multiplying, and how deep one expression leans on others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from moec.spec import operators
from moec.spec.codes import types
from moec.spec.diagnostics import Diagnostic
from moec.spec.functions import FUNCTIONS, call
from moec.spec.quantities import fits, read_number
from moec.spec.syntax import (
    Binary,
    Boolean,
    Broken,
    Call,
    Conditional,
    Expression,
    ListOf,
    Number,
    Reference,
    String,
    Topology,
    Unary,
)
from moec.spec.values import Error, Grid, Many, Text, Truth, Value, Word, describe

MAX_DEPTH: Final = 128
"""Nodes above one another, a step to another field or `let` counting REFERENCE_COST. Assumption: keeps Python's own
stack below half of its default limit of 1,000 frames.
"""

REFERENCE_COST: Final = 6


def _no_words(reference: Reference) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Environment:
    """What names stand for. `find` gives the value of a reference, or an Error; it passes its depth on to `evaluate`.

    `expected` are the words that the place itself allows (`swiglu` after `activation =`); `words` those that the field
    behind a reference may hold, so that `activation == swiglu` can be read.
    """

    find: Callable[[Reference, int], Value | Error]
    words: Callable[[Reference], tuple[str, ...]] = _no_words
    expected: tuple[str, ...] = ()


def evaluate(expression: Expression, environment: Environment, depth: int = 0) -> Value | Error:
    """The value of `expression`.

    Errors: MOE2103 (units), MOE2107 (zero), MOE2108 (size), MOE2109, MOE2110 (functions), MOE2112 (depth), MOE2113
    (operands), MOE2114 (lists), and those of `environment.find`.
    """
    if depth > MAX_DEPTH:
        return Error((types.chain_too_long(expression.span),))
    match expression:
        case Number():
            number = read_number(expression.text)
            return number if number and fits(number.amount) else Error((types.too_large(expression.span),))
        case String(value):
            return Text(value)
        case Boolean(value):
            return Truth(value)
        case Topology(sizes):
            return Grid(sizes)
        case Broken():
            return Error()
        case Reference():
            return _reference(expression, environment, depth)
        case Unary():
            return _unary(expression, environment, depth)
        case Binary():
            return _chain(expression, environment, depth)
        case Conditional():
            return _conditional(expression, environment, depth)
        case Call():
            return _call(expression, environment, depth)
        case ListOf():
            return _list(expression, environment, depth)


def explain(expression: Expression, environment: Environment) -> tuple[tuple[str, Value], ...]:
    """The text and the value of `expression` and of every part of it that is not written out already, outermost
    first.
    """
    from moec.spec.formatter import format_expression

    shown: dict[str, Value] = {}
    for part in _parts(expression):
        value = _part_value(part, environment)
        if not isinstance(value, Error):
            shown.setdefault(format_expression(part), value)
    return tuple(shown.items())


def references(expression: Expression) -> tuple[Reference, ...]:
    """Every reference in `expression`, from left to right."""
    found: list[Reference] = []
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Reference):
            found.append(part)
        waiting.extend(reversed(children(part)))
    return tuple(found)


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions right inside `expression`, from left to right."""
    match expression:
        case Unary():
            return (expression.operand,)
        case Binary():
            return (expression.left, expression.right)
        case Conditional():
            return (expression.then, expression.condition, expression.otherwise)
        case Call():
            return expression.arguments
        case ListOf():
            return expression.items
        case _:
            return ()


def _parts(expression: Expression) -> tuple[Expression, ...]:
    found: list[Expression] = []
    waiting = [expression]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, (Reference, Unary, Binary, Conditional, Call)):
            found.append(part)
        waiting.extend(children(part))
    return tuple(found)


def _part_value(part: Expression, environment: Environment) -> Value | Error:
    """Of one part alone; a word that only its neighbour explains has none."""
    return evaluate(part, environment)


def _reference(reference: Reference, environment: Environment, depth: int) -> Value | Error:
    if reference.dotted in environment.expected:
        return Word(reference.dotted)
    return environment.find(reference, depth + REFERENCE_COST)


def _unary(expression: Unary, environment: Environment, depth: int) -> Value | Error:
    signs: list[Unary] = []
    operand: Expression = expression
    while isinstance(operand, Unary):
        signs.append(operand)
        operand = operand.operand
    value = evaluate(operand, environment, depth + 1)
    for sign in reversed(signs):
        if isinstance(value, Error):
            return value
        value = operators.unary(sign, value)
    return value


def _chain(expression: Binary, environment: Environment, depth: int) -> Value | Error:
    """Goes down the left side in a loop: `1 + 2 + 3 + …` leans left and may be long."""
    chain: list[Binary] = []
    first: Expression = expression
    while isinstance(first, Binary):
        chain.append(first)
        first = first.left
    innermost = chain[-1]
    value = _operand(first, innermost.right, innermost, environment, depth)
    for link in reversed(chain):
        value = _link(link, value, environment, depth)
    return value


def _link(link: Binary, left: Value | Error, environment: Environment, depth: int) -> Value | Error:
    if isinstance(left, Truth) and link.operator in ("and", "or") and left.value == (link.operator == "or"):
        return left
    right = _operand(link.right, link.left, link, environment, depth)
    if isinstance(left, Error) or isinstance(right, Error):
        told = (*_told(left), *_told(right))
        return Error(told)
    return operators.binary(link, left, right)


def _operand(side: Expression, other: Expression, link: Binary, environment: Environment, depth: int) -> Value | Error:
    """One side of an operator; beside `==` and `!=` a word of the field on the other side is a word."""
    if isinstance(side, Reference) and isinstance(other, Reference) and _is_word(side, other, link, environment):
        return Word(side.dotted)
    return evaluate(side, environment, depth + 1)


def _is_word(side: Reference, other: Reference, link: Binary, environment: Environment) -> bool:
    return link.operator in ("==", "!=") and side.dotted in environment.words(other)


def _conditional(expression: Conditional, environment: Environment, depth: int) -> Value | Error:
    condition = evaluate(expression.condition, environment, depth + 1)
    if isinstance(condition, Error):
        return condition
    if not isinstance(condition, Truth):
        span = expression.condition.span
        return Error((types.wrong_operand(span, "if", "true or false", describe(condition)),))
    return evaluate(expression.then if condition.value else expression.otherwise, environment, depth + 1)


def _call(expression: Call, environment: Environment, depth: int) -> Value | Error:
    if expression.function.text not in FUNCTIONS:
        return Error((types.unknown_function(expression.function.span, expression.function.text, sorted(FUNCTIONS)),))
    arguments = [evaluate(argument, environment, depth + 1) for argument in expression.arguments]
    good = tuple(argument for argument in arguments if not isinstance(argument, Error))
    if len(good) < len(arguments):
        return _all_told(arguments)
    return call(expression, good)


def _list(expression: ListOf, environment: Environment, depth: int) -> Value | Error:
    items = [evaluate(item, environment, depth + 1) for item in expression.items]
    good = tuple(item for item in items if not isinstance(item, Error))
    if len(good) < len(items):
        return _all_told(items)
    nested = [item.span for item, value in zip(expression.items, good, strict=True) if isinstance(value, Many)]
    return Error(tuple(types.nested_list(span) for span in nested)) if nested else Many(good)


def _all_told(values: list[Value | Error]) -> Error:
    return Error(tuple(told for value in values for told in _told(value)))


def _told(value: Value | Error) -> tuple[Diagnostic, ...]:
    return value.diagnostics if isinstance(value, Error) else ()
