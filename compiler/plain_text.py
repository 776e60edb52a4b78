"""Text of a user as it may stand in a comment, a docstring or a report: one line, printable, with no way out."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """`text` on one line with what could end a comment or a docstring taken out.

    Control characters, line ends, bidirectional marks and surrogates become spaces; `"` becomes `'`, a backslash `/`.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.replace('"', "'").replace("\\", "/").split())


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken between words; a word that is too long is cut."""
    rows, row = [], ""
    for word in text.split():
        for piece in _pieces(word, width):
            candidate = f"{row} {piece}" if row else piece
            if row and columns(candidate) > width:
                rows.append(row)
                candidate = piece
            row = candidate
    return [*rows, row]


def _pieces(word: str, width: int) -> list[str]:
    """`word` whole where it fits, else in pieces short enough even if all its letters are wide."""
    if columns(word) <= width:
        return [word]
    step = width // 2
    return [word[start : start + step] for start in range(0, len(word), step)]
