"""What this terminal can show."""

from __future__ import annotations

import os
import shutil
from typing import TextIO


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colour and whose user did not say NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width(stream: TextIO) -> int:
    """Columns to fill: those of the terminal, 100 into a pipe or file."""
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else 100
