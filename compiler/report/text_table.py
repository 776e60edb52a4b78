"""Table -> aligned columns of a terminal, at most 100 wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from moec.compiler.plain_text import columns, plain, wrapped
from moec.compiler.report.document import Column, Table

WIDTH = 100
MARGIN = "  "
_GAP = "  "
_LEAST = 12
"""A column is not made narrower than this."""


def table_text(table: Table) -> Iterator[str]:
    """The header, the rows and the total. Where it is too wide, the last text column is wrapped; numbers never are."""
    header = tuple(column.title for column in table.columns)
    rows = tuple(_cells(row, table) for row in table.rows)
    widths = _widths(table, (header, *rows, table.total))
    for row in (header, *rows):
        yield from _row(row, table.columns, widths)
    if table.total:
        yield MARGIN + "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
        yield from _row(table.total, table.columns, widths)


def _cells(row: tuple[str, ...], table: Table) -> tuple[str, ...]:
    """The cells of a row, which is indented where the table has headings."""
    cells = tuple(plain(cell) for cell in row)
    under_heading = len(row) > 1 and any(len(other) == 1 for other in table.rows)
    return (f"{MARGIN}{cells[0]}", *cells[1:]) if under_heading else cells


def _widths(table: Table, rows: tuple[tuple[str, ...], ...]) -> list[int]:
    """As wide as the widest cell; the last text column gives way."""
    whole = [row for row in rows if len(row) == len(table.columns)]
    widths = [max(columns(cell) for cell in column) for column in zip(*whole, strict=True)]
    excess = len(MARGIN) + sum(widths) + len(_GAP) * (len(widths) - 1) - WIDTH
    texts = [index for index, column in enumerate(table.columns) if column.align == "left"]
    if excess > 0 and texts:
        widths[texts[-1]] = max(_LEAST, widths[texts[-1]] - excess)
    return widths


def _row(cells: Sequence[str], shape: tuple[Column, ...], widths: list[int]) -> Iterator[str]:
    """The lines of one row: more than one where a cell is wrapped."""
    if len(cells) == 1:
        yield from (MARGIN + line for line in wrapped(cells[0], WIDTH - len(MARGIN)))
        return
    pieces = [_pieces(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for line in range(max(len(piece) for piece in pieces)):
        shown = (piece[line] if line < len(piece) else "" for piece in pieces)
        placed = (_placed(text, width, column) for text, width, column in zip(shown, widths, shape, strict=True))
        yield (MARGIN + _GAP.join(placed)).rstrip()


def _pieces(cell: str, width: int) -> list[str]:
    return [cell] if columns(cell) <= width else wrapped(cell, width)


def _placed(text: str, width: int, column: Column) -> str:
    space = " " * (width - columns(text))
    return space + text if column.align == "right" else text + space
