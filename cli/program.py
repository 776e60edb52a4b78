"""Executing an emitted program in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

SIGNALLED = 128
POLL_SECONDS = 0.1
PYTHON = (sys.executable, "-P")  # -P: no module is taken from the program's folder, whatever lies there


def execute(program: Path, arguments: tuple[str, ...]) -> int:
    """The exit status of `python program …`, which has this terminal.

    Ctrl-C reaches the program from the terminal, once, and this process waits for what the program makes of it.
    A SIGTERM is handed on. A program that a signal ended gives 128 + its number, as in a shell.
    """
    with _patient() as add:
        child = subprocess.Popen((*PYTHON, str(program), *arguments), env=environment_of_programs())
        add(child)
        status = child.wait()
    return status if status >= 0 else SIGNALLED - status


def execute_all(
    programs: tuple[tuple[Path, tuple[str, ...]], ...], jobs: int, tell: Callable[[int, str, str], None]
) -> tuple[int, ...]:
    """The exit statuses of several programs, each with its arguments, at most `jobs` of them at once.

    `tell(index, out, err)` gets what a program printed when it has ended. Signals as in `execute`; after one no further
    program is started.
    """
    waiting, running, statuses = list(enumerate(programs)), list[_Running](), dict[int, int]()
    with _patient() as add:
        while (waiting or running) and not any(status >= SIGNALLED for status in statuses.values()):
            while waiting and len(running) < jobs:
                index, (program, arguments) = waiting.pop(0)
                running.append(_Running.start(index, program, arguments))
                add(running[-1].child)
            ended = [one for one in running if one.child.poll() is not None]
            for one in ended:
                running.remove(one)
                statuses[one.index] = one.status()
                tell(one.index, *one.printed())
            time.sleep(0 if ended else POLL_SECONDS)
        for one in running:
            one.child.wait()
            statuses[one.index] = one.status()
    return tuple(statuses[index] for index in sorted(statuses))


@dataclass(frozen=True, slots=True)
class _Running:
    """A program that runs with its output going to files."""

    index: int
    child: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]

    @classmethod
    def start(cls, index: int, program: Path, arguments: tuple[str, ...]) -> _Running:
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  (`printed` closes them)
        child = subprocess.Popen(
            (*PYTHON, str(program), *arguments), stdout=out, stderr=err, env=environment_of_programs()
        )
        return cls(index, child, out, err)

    def status(self) -> int:
        code = self.child.returncode
        return code if code >= 0 else SIGNALLED - code

    def printed(self) -> tuple[str, str]:
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
            file.close()
        return texts[0], texts[1]


def environment_of_programs() -> dict[str, str]:
    """This one, with what a program would start itself anew for (moec.runtime.huge_pages): glibc reads it at its start.

    Where it has no use, on a chip or another system, it does no harm.
    """
    return {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **os.environ}


@contextmanager
def _patient() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Inside, Ctrl-C is left to the child processes that are added, and SIGTERM handed on to them, also one that came
    while they started.

    The handlers are functions and not SIG_IGN, which a child would inherit.
    """
    children: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def add(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in asked:
            child.send_signal(number)

    def hand_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for child in children:
            child.send_signal(number)

    def leave_to_child(number: int, frame: FrameType | None) -> None:
        return

    earlier = {
        signal.SIGINT: signal.signal(signal.SIGINT, leave_to_child),
        signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on),
    }
    try:
        yield add
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
