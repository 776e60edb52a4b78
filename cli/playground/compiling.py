"""The other end of `worker.py`: starts it, asks it, and ends it when it takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock, Timer
from types import TracebackType
from typing import Any, Final, Self

MAX_SECONDS: Final = 20.0
"""Assumption: the slowest of the examples takes a tenth of it on a busy machine."""

TOO_LONG: Final = {"fault": "the compiler did not answer; it was ended and is started again with the next change"}


class Compiling:
    """A process that compiles, in an empty folder of its own; one question at a time.

    A context: the process and its folder are gone behind it.
    """

    def __init__(self, max_seconds: float = MAX_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="moec-playground-")
        (Path(self._folder.name) / "moec.root").touch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._end()
        self._folder.cleanup()

    def ask(self, name: str, text: str, run: str | None) -> dict[str, Any]:
        """What `answer` gives, or `{"fault": …}`."""
        question = json.dumps({"name": name, "text": text, "run": run})
        with self._lock:
            process = self._process or self._start()
            timer = Timer(self._max_seconds, process.kill)
            timer.start()
            try:
                line = _exchange(process, question)
            finally:
                timer.cancel()
            if not line:
                self._end()
                return dict(TOO_LONG)
        found: dict[str, Any] = json.loads(line)
        return found

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", "moec.cli.playground.worker"),
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the server, which ends this
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _exchange(process: subprocess.Popen[str], question: str) -> str:
    """The line that answers; "" where the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(question + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return ""
