"""What a command is to the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

OK = 0
DIAGNOSED = 1
MISUSED = 2
FAULT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143


class Command(NamedTuple):
    """One command: `summary` is its line in `moec --help`; `run` gives the exit status.

    `examples` are command lines, each with what it does behind two spaces and `#`.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


class Failure(Exception):
    """A stop that is no fault of moec: a `message` for the user, "" where all was told, and the exit status."""

    def __init__(self, message: str, status: int = MISUSED) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
