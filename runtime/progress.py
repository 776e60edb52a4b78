"""What a person sees of a run: a live line on a terminal, plain lines at intervals elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

PLAIN_INTERVAL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """The figures of one step; `mfu` is the part of the chips' peak that the model used, None where it is unknown."""

    step: int
    steps: int
    loss: float
    step_seconds: float
    tokens_per_second: float
    mfu: float | None

    def describe(self) -> str:
        """The figures in one line, without the step."""
        mfu = "" if self.mfu is None else f"  MFU {self.mfu:.1%}"
        speed = f"{self.tokens_per_second:,.0f} tokens/s  {self.step_seconds * 1000:,.0f} ms/step"
        return f"loss {self.loss:.4f}  {speed}{mfu}"

    @property
    def eta(self) -> str:
        """The time left at this step's pace, as h:mm:ss."""
        left = round((self.steps - self.step) * self.step_seconds)
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"


class Progress(Protocol):
    """Where a run reports to."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def show(self, standing: Standing) -> None:
        """The figures of the newest step."""


class SilentProgress:
    """Reports nothing: all processes but the first."""

    def say(self, text: str) -> None:
        pass

    def show(self, standing: Standing) -> None:
        pass


class PlainProgress:
    """Lines of text: the first step, the last, and one every ten seconds."""

    def __init__(self) -> None:
        self._printed_at: float | None = None

    def say(self, text: str) -> None:
        print(text, flush=True)

    def show(self, standing: Standing) -> None:
        now = time.monotonic()
        due = self._printed_at is None or now - self._printed_at >= PLAIN_INTERVAL_SECONDS
        if due or standing.step == standing.steps:
            self._printed_at = now
            self.say(f"step {standing.step:,}/{standing.steps:,}  {standing.describe()}  {standing.eta} left")


class TerminalProgress:
    """A live line with a bar below the lines that stay."""

    def __init__(self, live: RichProgress) -> None:
        self._live = live
        self._task = live.add_task("training", total=None, figures="compiling …")

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, standing: Standing) -> None:
        figures = f"{standing.step:,}/{standing.steps:,}  {standing.describe()}  {standing.eta} left"
        self._live.update(self._task, completed=standing.step, total=standing.steps, figures=figures)


@contextlib.contextmanager
def open_progress(first_process: bool) -> Iterator[Progress]:
    """The progress that suits this process and its standard output."""
    if not first_process:
        yield SilentProgress()
        return
    live = _rich_progress() if sys.stdout.isatty() else None
    if live is None:
        yield PlainProgress()
        return
    with live:
        yield TerminalProgress(live)


def _rich_progress() -> RichProgress | None:
    """The live line, None where rich is not installed."""
    try:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
    except ImportError:
        return None
    return RichProgress(BarColumn(bar_width=24), TextColumn("{task.fields[figures]}", markup=False))
