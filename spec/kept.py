"""What is kept between processes, because to work it out costs a good part of a short `moec check`.

JSON files in the user's cache folder, each with the text that it was worked out from. Nothing in them is executed;
where anything about one is odd it is worked out again. Without a folder that one may write to, nothing is kept.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

FORM = 1


def read_kept(name: str, source: str) -> Any:
    """What was kept under `name` for just this text, None where there is none."""
    try:
        kept = json.loads((_folder() / name).read_text(encoding="utf-8"))
        return kept["content"] if kept["form"] == FORM and kept["source"] == source else None
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def keep(name: str, source: str, content: Any) -> None:
    """Writes it for later processes, as a whole or not at all."""
    with suppress(OSError, RuntimeError):
        _replace(_folder() / name, json.dumps({"form": FORM, "source": source, "content": content}))


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


def _folder() -> Path:
    """Raises RuntimeError where there is no home folder."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "moec"
