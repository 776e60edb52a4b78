"""Whether a program still is what moec wrote: its header has the hash of all its lines but that one."""

from __future__ import annotations

import hashlib
from pathlib import Path

HASH_LINE = "Hash of its other lines: sha256:"
"""The same as in moec.compiler.emit.program_hash, which writes it; neither side may import the other."""


def is_as_written(program: str) -> bool | None:
    """Whether the text of a program matches the hash in it; None where it has none."""
    rows = program.splitlines(keepends=True)
    found = next((row for row in rows if row.startswith(HASH_LINE)), None)
    if found is None:
        return None
    rows.remove(found)
    return found.rstrip() == f"{HASH_LINE}{hashlib.sha256(''.join(rows).encode()).hexdigest()}"


def change_in_words(path: Path) -> str | None:
    """What to say of a program file that is not as moec wrote it; None where it is, or has no hash."""
    try:
        program = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if is_as_written(program) is not False:
        return None
    return (
        f"warning: {path.name} was changed after moec wrote it: it does not match the hash in its header. "
        "It runs as it is; `moec run FOLDER` names what differs"
    )
