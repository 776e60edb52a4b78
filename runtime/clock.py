"""The training time of a run: what passes in steps, without compiling, saving and evaluating."""

from __future__ import annotations

import time


class TrainingClock:
    """Counts seconds while it is running; `seconds` goes on from where an earlier process of the run stopped."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._mark = time.perf_counter()

    def restart(self) -> None:
        """Leaves out what passed since the last lap."""
        self._mark = time.perf_counter()

    def lap(self) -> float:
        """The seconds since the last lap or restart, which now count."""
        now = time.perf_counter()
        passed, self._mark = now - self._mark, now
        self.seconds += passed
        return passed
