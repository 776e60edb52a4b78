"""The default of a field as an expression. Defaults are written in the language itself, so one evaluator works them
out.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from moec.spec.fields.info import FieldInfo
from moec.spec.source import Source, Span
from moec.spec.syntax import Boolean, Expression, Field, Number, Reference

DEFAULT_FILE: Final = "<default>"
"""The file name of the spans of defaults: nothing in a spec can have it."""


def default_expression(info: FieldInfo) -> Expression | None:
    """The default of the field, None where it has none."""
    return None if info.default is None else _parse(info.default)


@cache
def _parse(text: str) -> Expression:
    """Words, numbers and booleans, as most defaults are, need no parser."""
    span = Span(DEFAULT_FILE, 0, len(text))
    if text in ("true", "false"):
        return Boolean(text == "true", span)
    if text[0].isdigit():
        return Number(text, span)
    if text.replace("_", "").isalnum():
        from moec.spec.syntax import Name

        return Reference((Name(text, span),), span)
    return _parse_with_grammar(text)


def _parse_with_grammar(text: str) -> Expression:
    from moec.spec.parser import parse

    file, diagnostics = parse(Source(DEFAULT_FILE, f"value = {text}\n"))
    (statement,) = file.statements
    assert isinstance(statement, Field), text
    assert not diagnostics, text
    return statement.value
