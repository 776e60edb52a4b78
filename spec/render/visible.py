"""Text of a user -> text that a terminal shows as it is: no control sequences, no turned writing, known widths."""

from __future__ import annotations

import unicodedata
from typing import Final

from moec.spec.source import Position, Sources, Span

_TAB: Final = 4


def visible(text: str) -> str:
    """`text` with everything that cannot be seen escaped; line ends stay."""
    return "".join(char if char == "\n" else visible_char(char) for char in text)


def visible_char(char: str) -> str:
    """One character, or its escape where it has no looks of its own. Accents and joiners of other letters stay."""
    if char.isprintable() or char == "\u200d":
        return char
    return f"\\u{{{ord(char):X}}}"


def cells(line: str) -> list[str]:
    """What is shown for each code point of `line`; a tab becomes the spaces up to the next stop."""
    shown: list[str] = []
    column = 0
    for char in line:
        piece = " " * (_TAB - column % _TAB) if char == "\t" else visible_char(char)
        column += width(piece)
        shown.append(piece)
    return shown


def width(text: str) -> int:
    """How many columns of a terminal `text` takes. Source: Unicode Standard Annex 11, East Asian Width."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def positions(span: Span, sources: Sources) -> tuple[Position, Position]:
    """Where `span` begins and ends; the very beginning where its file could not be read."""
    source = sources.get(span.file)
    if source is None:
        return Position(1, 1), Position(1, 1)
    return source.position(span.start), source.position(span.end)
