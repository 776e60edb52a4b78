"""Colours of a terminal. Source: ECMA-48, Select Graphic Rendition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

Style = Literal["error", "warning", "second", "gutter", "title", "help"]
Paint = Callable[[str, Style], str]

_SEQUENCES: Final[dict[Style, str]] = {
    "error": "1;31",
    "warning": "1;33",
    "second": "34",
    "gutter": "34",
    "title": "1",
    "help": "36",
}


def in_colour(text: str, style: Style) -> str:
    """`text` in the colour of `style`."""
    return f"\x1b[{_SEQUENCES[style]}m{text}\x1b[0m"


def plain(text: str, style: Style) -> str:
    """`text` as it is."""
    return text
