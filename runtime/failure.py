"""The one exception by which a run ends with a sentence for people instead of a traceback."""

from __future__ import annotations


class RunError(Exception):
    """A run cannot go on; the message says why and what to do.

    `exit_code`: 1 where the run itself failed, 2 where it could not be started as asked.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
