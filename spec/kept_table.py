"""The LALR table kept between processes, because to work it out costs a quarter of a short `moec check`.

One JSON file in the user's cache folder, which also holds the grammar that it belongs to. Nothing in it is executed;
where anything about it is odd the table is worked out again. Without a folder that one may write to, nothing is kept.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from moec.spec.table import Reduction, Table

FORM = 1


def read_table(grammar: str) -> Table | None:
    """The table that was kept for just this grammar, or none."""
    try:
        kept = json.loads(_path().read_text(encoding="utf-8"))
        if kept["form"] != FORM or kept["grammar"] != grammar:
            return None
        actions = {
            int(state): {symbol: _action(told) for symbol, told in row.items()} for state, row in kept["actions"]
        }
        return Table(actions, int(kept["start"]), int(kept["end"]))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def keep_table(grammar: str, table: Table) -> None:
    """Writes the table for later processes, as a whole or not at all."""
    kept = {
        "form": FORM,
        "grammar": grammar,
        "start": table.start,
        "end": table.end,
        "actions": list(table.actions.items()),
    }
    with suppress(OSError, RuntimeError):
        _replace(_path(), json.dumps(kept))


def _replace(path: Path, text: str) -> None:
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _action(told: object) -> int | Reduction:
    match told:
        case int():
            return told
        case [int(size), str(origin), str() | None as build]:
            return Reduction(size, origin, build)
    raise ValueError(told)


def _path() -> Path:
    """Raises RuntimeError where there is no home folder."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "moec" / "grammar.json"
