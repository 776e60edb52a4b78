"""Stopping on request: Ctrl-C or SIGTERM stops the loop after its step; a second Ctrl-C ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

EXIT_CODE_BASE = 128  # a shell's code for a process that a signal ended is 128 + the signal's number
STANDARD_ERROR = 2  # written without Python's buffers, which the signal may have interrupted
SHOW_CURSOR = "\x1b[?25h"  # a second signal leaves no time to undo what the live line hides


class Interrupt:
    """Which stop signal has arrived first, None while there is none."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._times_asked = 0

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 where nothing was asked for."""
        return 0 if self.signal_number is None else EXIT_CODE_BASE + self.signal_number

    def stops_here(self) -> bool:
        """Whether the run must stop now, after a step; the same answer in all processes of a run at the same step.

        JAX answers yes at one number only, the one after the highest that it was asked about when the signal came, and
        it counts from 0. A resumed run that asked about its steps would jump over a signal that comes before the first.
        """
        if jax.process_count() == 1:
            return self.signal_number is not None
        self._times_asked += 1
        if not multihost_utils.reached_preemption_sync_point(self._times_asked):
            return False
        self.signal_number = self.signal_number or signal.SIGTERM
        return True

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Notes the signal. Schedulers repeat a SIGTERM while they wait for the process: only the first one counts.

        Ctrl-C goes back to the system, so that a second one ends the process even inside XLA.
        """
        by_hand = number == signal.SIGINT
        if by_hand:
            signal.signal(number, signal.SIG_DFL)
        if self.signal_number is None:
            self._say("stopping after this step" + ("; once more to stop at once" if by_hand else ""))
        self.signal_number = self.signal_number or number
        if by_hand and jax.process_count() > 1:  # JAX's own SIGTERM handler tells the other processes
            os.kill(os.getpid(), signal.SIGTERM)

    def _say(self, text: str) -> None:
        show_cursor = SHOW_CURSOR if os.isatty(STANDARD_ERROR) else ""
        os.write(STANDARD_ERROR, f"{show_cursor}\n{text}\n".encode())


@contextlib.contextmanager
def listen_for_interrupts() -> Iterator[Interrupt]:
    """Catches SIGINT and SIGTERM inside the context and puts the former handlers back after it.

    Python takes signals in its main thread only: elsewhere nothing is caught. With several processes SIGTERM stays with
    JAX, whose coordination service agrees on the step at which all of them stop.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    caught = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else (signal.SIGINT,)
    former = {number: signal.signal(number, interrupt.receive) for number in caught}
    try:
        yield interrupt
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
