"""Ending a run that hangs: the stacks of all threads on standard error, then an exit code of its own."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

HANG_EXIT_CODE = 75  # Source: sysexits.h, EX_TEMPFAIL: "try again later"
LOOKS_PER_LIMIT = 20


class Watchdog:
    """Waits for signs of life; more than `limit_seconds` without one end the process. A limit of 0 never ends it.

    It runs in a thread of its own. Where the main thread hangs without letting go of Python, no Python thread can run;
    a thread of faulthandler, which needs none, then prints the stacks and ends the process with 1 after twice the time.
    """

    def __init__(self, limit_seconds: float, end: Callable[[int], None] = os._exit) -> None:
        self._limit_seconds = limit_seconds
        self._end = end
        self._alive_at: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="moec-watchdog", daemon=True)

    def alive(self) -> None:
        """A sign of life; the first one sets the watchdog to work."""
        self._alive_at = time.monotonic()

    def start(self) -> None:
        if self._limit_seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._limit_seconds / LOOKS_PER_LIMIT):
            if self._alive_at is None:
                continue
            faulthandler.dump_traceback_later(2 * self._limit_seconds, exit=True)
            if time.monotonic() - self._alive_at > self._limit_seconds:
                self._tell()
                self._end(HANG_EXIT_CODE)
                break
        faulthandler.cancel_dump_traceback_later()

    def _tell(self) -> None:
        faulthandler.dump_traceback(all_threads=True)
        print(
            f"error: no step was done for {self._limit_seconds:,.0f} s: the run hangs. Above is where its threads "
            f"stand. It ends with exit code {HANG_EXIT_CODE}; the same command goes on from the newest checkpoint, and "
            "--hang-after says how long to wait",
            file=sys.stderr,
            flush=True,
        )


@contextlib.contextmanager
def watch(limit_seconds: float) -> Iterator[Watchdog]:
    """A watchdog for the time of the context."""
    watchdog = Watchdog(limit_seconds)
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
