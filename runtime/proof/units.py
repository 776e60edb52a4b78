"""Numbers of bytes for people."""

from __future__ import annotations


def gigabytes(count: float) -> str:
    """A number of bytes in the decimal unit that leaves it above 1."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:.0f} B"
