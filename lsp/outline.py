"""The shape of a file: its symbols, what folds, and what a selection grows to."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from moec.lsp.view import View
from moec.lsp.walking import spot_at
from moec.spec.format_value import format_expression
from moec.spec.source import Span
from moec.spec.syntax import Assert, Block, Expression, Field, Item, Let, Statement, Use

_Kind = types.SymbolKind
_KINDS = {"model": _Kind.Class, "mesh": _Kind.Struct, "data": _Kind.File, "budget": _Kind.Constant}


def symbols(view: View) -> list[types.DocumentSymbol]:
    """The statements of the file, with what is inside the blocks."""
    return [symbol for one in view.text.file.statements if (symbol := _symbol(view, one))]


def _symbol(view: View, item: Statement | Item) -> types.DocumentSymbol | None:
    match item:
        case Let():
            return _leaf(view, item.name.text, f"= {_short(item.value)}", _Kind.Constant, item.span, item.name.span)
        case Use():
            return _leaf(view, item.alias.text, f'"{item.path.value}"', _Kind.Module, item.span, item.alias.span)
        case Field():
            return _leaf(view, item.name.text, f"= {_short(item.value)}", _Kind.Field, item.span, item.name.span)
        case Assert():
            return _leaf(view, "assert", _short(item.condition), _Kind.Event, item.span, item.span)
        case Block():
            return _block_symbol(view, item)


def _block_symbol(view: View, block: Block) -> types.DocumentSymbol:
    name = block.label or block.kind
    base = f" extends {block.extends.dotted}" if block.extends else ""
    kind = _KINDS.get(block.kind.text, _Kind.Object if block.label is None else _Kind.Event)
    kind = _Kind.Function if block.kind.text in ("run", "study") else kind
    symbol = _leaf(view, name.text, (block.kind.text if block.label else "") + base, kind, block.span, name.span)
    symbol.children = [child for item in block.items if (child := _symbol(view, item))]
    return symbol


def _leaf(
    view: View, name: str, detail: str, kind: types.SymbolKind, span: Span, name_span: Span
) -> types.DocumentSymbol:
    return types.DocumentSymbol(name, kind, view.extent(span.to(name_span)), view.range(name_span), detail=detail)


def _short(value: Expression) -> str:
    try:
        text = format_expression(value)
    except ValueError:
        return "…"
    return text if len(text) <= 60 else f"{text[:59]}…"


def workspace_symbols(view: View, query: str) -> list[types.WorkspaceSymbol]:
    """The blocks and `let`s of the file whose names have the letters of `query`, in that order."""
    found = []
    for one in symbols(view):
        if _has_letters(one.name, query) and one.kind != _Kind.Field:
            location = types.Location(view.uri(view.name), one.selection_range)
            found.append(types.WorkspaceSymbol(location, one.name, one.kind, container_name=one.detail))
    return found


def _has_letters(name: str, query: str) -> bool:
    letters = iter(name.lower())
    return all(letter in letters for letter in query.lower())


def folds(view: View) -> list[types.FoldingRange]:
    """Blocks of several lines, runs of comments, and the `use`s at the top."""
    found = [fold for one in view.text.file.statements if isinstance(one, Block) for fold in _block_folds(view, one)]
    return sorted([*found, *_comment_folds(view), *_use_folds(view)], key=lambda fold: (fold.start_line, fold.end_line))


def _block_folds(view: View, block: Block) -> Iterator[types.FoldingRange]:
    lines = view.extent(block.span)
    end = lines.end.line if view.is_yaml else lines.end.line - 1
    if end > lines.start.line:
        yield types.FoldingRange(lines.start.line, end)
    for item in block.items:
        if isinstance(item, Block):
            yield from _block_folds(view, item)


def _comment_folds(view: View) -> Iterator[types.FoldingRange]:
    first: int | None = None
    count = len(view.text.source.line_starts)
    for line in range(count + 1):
        text = view.text.source.line(line + 1).lstrip() if line < count else ""
        if text.startswith(("#", "///")):
            first = line if first is None else first
        elif first is not None:
            if line - 1 > first:
                yield types.FoldingRange(first, line - 1, kind=types.FoldingRangeKind.Comment)
            first = None


def _use_folds(view: View) -> Iterator[types.FoldingRange]:
    uses = [view.range(one.span) for one in view.text.file.statements if isinstance(one, Use)]
    if len(uses) > 1 and uses[-1].end.line > uses[0].start.line:
        yield types.FoldingRange(uses[0].start.line, uses[-1].end.line, kind=types.FoldingRangeKind.Imports)


def selections(view: View, positions: list[types.Position]) -> list[types.SelectionRange]:
    """For each position what a selection grows to: expression by expression, statement, block by block, file."""
    return [_selection(view, position) for position in positions]


def _selection(view: View, position: types.Position) -> types.SelectionRange:
    spot = spot_at(view.text.file, view.address(position))
    spans = [block.span for block in spot.blocks]
    spans += [spot.statement.span] if spot.statement else []
    spans += [part.span for part in spot.expressions]
    spans += [spot.name.span] if spot.name else []
    chosen = types.SelectionRange(view.lines.whole)
    for span in spans:
        wider, narrower = chosen.range, view.range(span)
        inside = wider.start <= narrower.start and narrower.end <= wider.end
        if inside and narrower != wider:
            chosen = types.SelectionRange(narrower, chosen)
    return chosen
