"""Expressions -> text, with no more parentheses than needed."""

from __future__ import annotations

from typing import Final

from moec.spec import syntax
from moec.spec.syntax import Expression

_CONDITIONAL, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _UNARY, _ATOM = range(9)
_LEVELS: Final = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARISON),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys(("*", "/", "//", "%"), _PRODUCT),
}
_ESCAPES: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t"}


def format_expression(expression: Expression) -> str:
    """The canonical text of `expression`, on one line. `Broken` values have none and raise ValueError."""
    return _at_level(expression, _CONDITIONAL)


def format_string(value: str) -> str:
    """`value` in double quotes; what cannot be seen is escaped."""
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else f"\\u{{{ord(char):X}}}"


def _at_level(expression: Expression, least: int) -> str:
    """The text of `expression` where the grammar wants one that binds at least as tightly as `least`."""
    text, level = _text_and_level(expression)
    return text if level >= least else f"({text})"


def _text_and_level(expression: Expression) -> tuple[str, int]:
    match expression:
        case syntax.Binary(operator, left, right):
            level = _LEVELS[operator]
            left_level = level + 1 if level == _COMPARISON else level
            return f"{_at_level(left, left_level)} {operator} {_at_level(right, level + 1)}", level
        case syntax.Unary("not", operand):
            return f"not {_at_level(operand, _NOT)}", _NOT
        case syntax.Unary(operator, operand):
            return f"{operator}{_at_level(operand, _UNARY)}", _UNARY
        case syntax.Conditional(then, condition, otherwise):
            parts = (_at_level(then, _OR), _at_level(condition, _OR), _at_level(otherwise, _CONDITIONAL))
            return "{} if {} else {}".format(*parts), _CONDITIONAL
        case _:
            return _atom(expression), _ATOM


def _atom(expression: Expression) -> str:
    match expression:
        case syntax.Number(text):
            return text
        case syntax.Topology(sizes):
            return "x".join(map(str, sizes))
        case syntax.String(value):
            return format_string(value)
        case syntax.Boolean(value):
            return "true" if value else "false"
        case syntax.Reference():
            return expression.dotted
        case syntax.Call(function, arguments):
            return f"{function.text}({', '.join(map(format_expression, arguments))})"
        case syntax.ListOf(items):
            return f"[{', '.join(map(format_expression, items))}]"
        case _:
            raise ValueError("a value that could not be read cannot be written")
