"""The process that compiles, as its parent sees it: started clean, watched, ended in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from moec.runtime.failure import RunError
from moec.runtime.proof.topology_environment import ENVIRONMENT

TICK_SECONDS = 0.2
QUIET_TICK_SECONDS = 60.0
MOST_NOISE = 4000
KILLED = 128


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code and what it wrote on standard output and error together."""

    code: int
    output: str


def run_child(command: Sequence[str], title: str, timeout_seconds: float) -> Ended:
    """Runs `command` without a chip in sight, telling on standard error how long it has been running.

    It is killed with all that it started when this process is interrupted, ended, or `timeout_seconds` have passed.
    Errors: RunError (exit 1) after `timeout_seconds`; KeyboardInterrupt.
    """
    with tempfile.TemporaryFile() as noise:
        with _started(command, noise) as child:
            _watch(child, title, timeout_seconds)
        noise.seek(0)
        return Ended(child.returncode, noise.read().decode("utf-8", errors="replace"))


def end_when_parent_ends() -> None:
    """Called in the child: ends it as soon as its standard input closes, which the parent's death also brings about."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(KILLED + signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _started(command: Sequence[str], noise: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Inside, a SIGTERM ends this process like Ctrl-C does, one that comes while the child starts as soon as it is
    there; the child never outlives the block."""
    child: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        if child is not None:
            raise SystemExit(KILLED + number)

    in_main = threading.current_thread() is threading.main_thread()
    earlier = signal.signal(signal.SIGTERM, stop) if in_main else None
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=noise,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        if asked:
            raise SystemExit(KILLED + asked[0])
        yield child
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, earlier)
        if child is not None:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if child.stdin:
                child.stdin.close()


def _watch(child: subprocess.Popen[bytes], title: str, timeout_seconds: float) -> None:
    began = time.monotonic()
    line = _ElapsedLine(sys.stderr, title)
    try:
        while True:
            elapsed = time.monotonic() - began
            try:
                child.wait(min(TICK_SECONDS, max(0.0, timeout_seconds - elapsed)))
                return
            except subprocess.TimeoutExpired:
                line.show(time.monotonic() - began)
            if elapsed >= timeout_seconds:
                raise RunError(
                    f"{title}: not done after {timeout_seconds:,.0f} s. --timeout gives it more; a loop over the "
                    "layers (`layers { scan = true }`) compiles in a fraction of the time"
                )
    finally:
        line.clear()


class _ElapsedLine:
    """One line that says what is going on and for how long: rewritten on a terminal, once a minute elsewhere."""

    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream, self._title, self._live, self._told = stream, title, stream.isatty(), 0.0

    def show(self, seconds: float) -> None:
        clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
        if self._live:
            self._stream.write(f"\r{self._title} … {clock}")
            self._stream.flush()
        elif seconds - self._told >= QUIET_TICK_SECONDS:
            self._told = seconds
            print(f"{self._title} … {clock}", file=self._stream, flush=True)

    def clear(self) -> None:
        if self._live:
            self._stream.write("\r\033[K")
            self._stream.flush()


def python_program(program: Path, *arguments: str) -> tuple[str, ...]:
    """The command that runs an emitted program with this interpreter."""
    return (sys.executable, str(program), *arguments)
