"""The log of one process, as it grows."""

from __future__ import annotations

import sys
from pathlib import Path


class Log:
    """The log at `path`, which another process writes, from where it ends now."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.path = path
        self._file = path.open("rb")
        self._beginning = self._file.seek(0, 2)

    def show_new(self) -> None:
        """Prints what has been written since the last time, byte by byte as it is."""
        text = self._file.read()
        if text:
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()

    def last_lines(self, count: int) -> list[str]:
        """The last lines, none of them from before the beginning."""
        self._file.seek(self._beginning)
        return self._file.read().decode("utf-8", errors="replace").splitlines()[-count:]

    def close(self) -> None:
        self._file.close()
