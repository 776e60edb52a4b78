"""syntax tree -> canonical text.

The layout, in six rules:
- two spaces for each block; at most one blank line; one blank line around each top-level block of several lines;
- fields on neighbouring lines align their `=` and the comments behind them, and one-line blocks their `{`;
- a block stays on one line if it was written so, has no comments, and fits;
- a list that does not fit has a line per value;
- doc comments stand right above what they document, other comments above those;
- parentheses only where they are needed.
Comments inside brackets move above their field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from moec.spec import syntax
from moec.spec.format_value import format_expression, format_string
from moec.spec.syntax import Block, Expression, File, Item, Statement

__all__ = ["format_expression", "format_file"]

_WIDTH: Final = 120
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class _Row:
    """A statement, laid out: a `head`, which neighbours of the same `shape` align, and what follows it."""

    shape: str
    above: tuple[str, ...]
    head: str
    rest: str
    further: tuple[str, ...] = ()
    comment: str | None = None
    spaced: bool = False


def format_file(file: File) -> str:
    """The canonical text of `file`; formatting it again changes nothing. `Broken` values have no text: ValueError."""
    lines = _lines([_row(statement, "", at_top=True) for statement in file.statements], "")
    lines += _above(file.end_trivia.before, "", "")
    return "".join(f"{line}\n" for line in _without_outer_blanks(lines))


def _lines(rows: Sequence[_Row], indent: str) -> list[str]:
    """The lines of all `rows`, neighbours aligned."""
    lines: list[str] = []
    previous: _Row | None = None
    for group in _groups(rows):
        for row, code in zip(group, _aligned(group, indent), strict=True):
            apart = previous is not None and (previous.spaced or row.spaced)
            if apart and row.above[:1] != ("",):
                lines.append("")
            lines += row.above
            lines += code
            previous = row
    return lines


def _groups(rows: Iterable[_Row]) -> list[list[_Row]]:
    """Runs of neighbours that align: of one shape, on one line each, nothing between them."""
    groups: list[list[_Row]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        if last and row.shape and row.shape == last.shape and not (row.above or row.further or last.further):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _aligned(group: Sequence[_Row], indent: str) -> list[list[str]]:
    width = max(len(row.head) for row in group)
    codes = [f"{indent}{row.head.ljust(width)}{row.rest}" for row in group]
    column = max(map(len, codes))
    return [_with_comment(row, code, column) for row, code in zip(group, codes, strict=True)]


def _with_comment(row: _Row, code: str, column: int) -> list[str]:
    """The lines of one row; its comment goes behind the first where that opens a block, else behind the last."""
    lines = [code, *row.further]
    if row.comment is not None:
        place = 0 if row.shape == "open block" else -1
        padded = lines[place] if row.further else lines[place].ljust(column)
        lines[place] = f"{padded}  {_comment(row.comment)}"
    return lines


def _row(item: Statement | Item, indent: str, *, at_top: bool) -> _Row:
    above = _above(item.trivia.before, item.doc, indent)
    behind = item.trivia.behind
    match item:
        case syntax.Field(name, value):
            first, *further = _value_lines(f"{name.text} = ", value, indent)
            return _Row("field", above, name.text, first[len(name.text) :], tuple(further), behind)
        case syntax.Let(name, value):
            head = f"let {name.text}"
            first, *further = _value_lines(f"{head} = ", value, indent)
            return _Row("let", above, head, first[len(head) :], tuple(further), behind)
        case syntax.Use(path, alias):
            return _Row("use", above, f"use {format_string(path.value)}", f" as {alias.text}", (), behind)
        case syntax.Assert():
            return _Row("", above, _assertion(item), "", (), behind)
        case syntax.Block():
            return _block_row(item, above, indent, at_top=at_top)


def _block_row(block: Block, above: tuple[str, ...], indent: str, *, at_top: bool) -> _Row:
    head = _head(block)
    flat = _flat(block)
    may_be_flat = block.on_one_line or (block.on_one_line is None and not at_top)
    if may_be_flat and flat is not None and len(indent) + len(flat) <= _WIDTH:
        shape = "" if at_top else "block"
        return _Row(shape, above, head, flat[len(head) :], (), block.end_trivia.behind)
    inner = indent + _INDENT
    lines = _lines([_row(item, inner, at_top=False) for item in block.items], inner)
    lines = _without_outer_blanks([*lines, *_above(block.end_trivia.before, "", inner)])
    closer = f"{indent}}}"
    if block.end_trivia.behind is not None:
        closer += f"  {_comment(block.end_trivia.behind)}"
    return _Row("open block", above, head, " {", (*lines, closer), block.trivia.behind, spaced=at_top)


def _head(block: Block) -> str:
    words = [block.kind.text]
    if block.label is not None:
        words.append(block.label.text)
    if block.extends is not None:
        words += ["extends", block.extends.dotted]
    return " ".join(words)


def _flat(block: Block) -> str | None:
    """`block` on one line, however long; None where a comment forbids it."""
    if block.end_trivia.before or block.trivia.behind is not None:
        return None
    parts: list[str] = []
    for item in block.items:
        part = None if _is_commented(item) else _flat_item(item)
        if part is None:
            return None
        parts.append(part)
    return f"{_head(block)} {{ {', '.join(parts)} }}" if parts else f"{_head(block)} {{ }}"


def _flat_item(item: Item) -> str | None:
    match item:
        case syntax.Field(name, value):
            return f"{name.text} = {format_expression(value)}"
        case syntax.Assert():
            return _assertion(item)
        case syntax.Block():
            return None if item.end_trivia.behind is not None else _flat(item)


def _is_commented(item: Item) -> bool:
    return bool(item.doc or any(item.trivia.before) or item.trivia.behind is not None)


def _assertion(item: syntax.Assert) -> str:
    why = "" if item.why is None else f" : {format_string(item.why.value)}"
    return f"assert {format_expression(item.condition)}{why}"


def _value_lines(head: str, value: Expression, indent: str) -> list[str]:
    """`head` and `value`, broken over lines only where they do not fit one."""
    text = head + format_expression(value)
    if len(indent) + len(text) <= _WIDTH:
        return [text]
    match value:
        case syntax.ListOf(items) if items:
            return _bracketed(f"{head}[", items, "]", indent)
        case syntax.Call(function, arguments) if arguments:
            return _bracketed(f"{head}{function.text}(", arguments, ")", indent)
        case _:
            return [text]


def _bracketed(opener: str, items: Sequence[Expression], closer: str, indent: str) -> list[str]:
    inner = indent + _INDENT
    lines = [opener]
    for item in items:
        first, *further = _value_lines("", item, inner)
        lines += [inner + first, *further]
        lines[-1] += ","
    return [*lines, indent + closer]


def _above(before: tuple[str, ...], doc: str, indent: str) -> tuple[str, ...]:
    wanted = (text for last, text in zip((None, *before), before, strict=False) if text or text != last)
    comments = (f"{indent}{_comment(text)}" if text else "" for text in wanted)
    docs = (f"{indent}/// {line}".rstrip() for line in doc.split("\n")) if doc else ()
    return (*comments, *docs)


def _comment(text: str) -> str:
    return ("#" if text[:1] in (" ", "#", "!") else "# ") + text.rstrip()


def _without_outer_blanks(lines: list[str]) -> list[str]:
    while lines[:1] == [""]:
        lines = lines[1:]
    while lines[-1:] == [""]:
        lines = lines[:-1]
    return lines
