"""A peer of benchmarks/peers.py in a process of its own, and the turns that its steps take."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from protocol import STEP

IDLE_SECONDS, MOST_SECONDS, TURN_SECONDS = 0.1, 3.0, 1.0


@dataclass
class Running:
    """A peer's process, and what its steps took."""

    name: str
    process: subprocess.Popen[str]
    began: float
    seconds: list[float] = field(default_factory=list)
    first_step: float = 0.0
    compiling: float = 0.0
    peak_bytes: int = 0

    def start(self) -> None:
        """The first two steps, which count as the start alone."""
        told = self._ask(STEP)
        self.first_step, self.compiling = time.perf_counter() - self.began, told["compiling"]
        self._ask(STEP)

    def turn(self) -> None:
        """A step that does not count, then as many as take TURN_SECONDS, of which the median does.

        Memory that was given back while others worked has to be fetched first, which on a virtual machine can take as
        long as the step, and now and then happens to a later one.
        """
        self._ask(STEP)
        taken: list[float] = []
        while sum(taken) < TURN_SECONDS:
            taken.append(self._ask(STEP)["seconds"])
        self.seconds.append(statistics.median(taken))
        wait_until_idle(self.process.pid)

    def stop(self) -> None:
        self.peak_bytes = int(self._ask("stop\n")["peak_bytes"])
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _ask(self, order: str) -> dict[str, float]:
        self.process.stdin.write(order)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(answer)


def wait_until_idle(pid: int) -> None:
    """Returns once the process has used no CPU for IDLE_SECONDS, or after MOST_SECONDS.

    Threads of torch spin for a while after their work, MaxText prepares its next batch: whoever comes next would pay.
    """
    began = quiet_since = time.perf_counter()
    used = cpu_ticks(pid)
    while (now := time.perf_counter()) - quiet_since < IDLE_SECONDS and now - began < MOST_SECONDS:
        time.sleep(IDLE_SECONDS / 5)
        if (more := cpu_ticks(pid)) != used:
            used, quiet_since = more, time.perf_counter()


def cpu_ticks(pid: int) -> int:
    """CPU time of a process and its threads, in the kernel's ticks; 0 where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
