"""Executing an emitted program in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALLED = 128


def execute(program: Path, arguments: tuple[str, ...]) -> int:
    """The exit status of `python program …`, which has this terminal.

    Ctrl-C reaches the program from the terminal, once, and this process waits for what the program makes of it.
    A SIGTERM is handed on. A program that a signal ended gives 128 + its number, as in a shell.
    """
    with _patient() as children:
        child = subprocess.Popen((sys.executable, str(program), *arguments))
        children.append(child)
        status = child.wait()
    return status if status >= 0 else SIGNALLED - status


@contextmanager
def _patient() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Inside, Ctrl-C is left to the child processes in the list, and SIGTERM handed on to them.

    The handlers are functions and not SIG_IGN, which a child would inherit.
    """
    children: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    def leave_to_child(number: int, frame: FrameType | None) -> None:
        return

    earlier = {
        signal.SIGINT: signal.signal(signal.SIGINT, leave_to_child),
        signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on),
    }
    try:
        yield children
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
