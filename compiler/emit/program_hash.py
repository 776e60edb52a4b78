"""The hash by which a program says whether it still is what moec wrote: that of all its lines but that one.

The runtime has the same rule for itself (moec.runtime.program_hash); a test holds the two together.
"""

from __future__ import annotations

import hashlib

HASH_LINE = "Hash of its other lines: sha256:"


def hash_line(text: str) -> str:
    """The line of the header that vouches for `text`, in which it does not yet stand."""
    return f"{HASH_LINE}{hashlib.sha256(text.encode()).hexdigest()}"


def is_as_written(program: str) -> bool | None:
    """Whether the text of a program matches the hash in it; None where it has none."""
    rows = program.splitlines(keepends=True)
    found = next((row for row in rows if row.startswith(HASH_LINE)), None)
    if found is None:
        return None
    rows.remove(found)
    return found.rstrip() == hash_line("".join(rows))
