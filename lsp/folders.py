"""The specs in the folders that the editor has open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

MAX_ENTRIES: Final = 5000
"""Files and folders that are looked at per root. Assumption: more are data sets or checkouts of something else."""

_ENDINGS: Final = (".moe", ".moe.yaml", ".moe.yml")
_SKIPPED: Final = frozenset(("node_modules", "__pycache__", "venv", "build", "dist"))


def specs_in(roots: Iterable[str]) -> Iterator[str]:
    """The paths of all specs below `roots`, hidden folders and those of tools left out."""
    for root in roots:
        looked_at = 0
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
            looked_at += len(folders) + len(files)
            if looked_at > MAX_ENTRIES:
                break
            yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(_ENDINGS))
