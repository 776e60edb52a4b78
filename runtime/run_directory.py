"""The folder of a run: where its files lie, who may write there, and how an earlier run is put aside."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moec.runtime.failure import RunError


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of everything that training writes below `root`."""

    root: Path

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        return self.root / "eval.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def quarantined(self) -> Path:
        """Where damaged checkpoints are kept, each as it was found."""
        return self.root / "quarantined"

    @property
    def tokens(self) -> Path:
        """The tokens of a corpus that is too large to be held in memory."""
        return self.root / "tokens"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def products(self) -> tuple[Path, ...]:
        """What a run leaves behind, apart from the lock and the tokens of its corpus."""
        return (self.checkpoints, self.quarantined, self.metrics, self.evaluations, self.tensorboard, self.result)

    def has_products(self) -> bool:
        """Whether an earlier run left anything here."""
        return any(path.exists() for path in self.products)

    def set_aside(self) -> Path:
        """Moves what an earlier run left into `previous/N`, N the first number that is free, and gives that folder."""
        number = next(n for n in itertools.count(1) if not (self.root / "previous" / str(n)).exists())
        target = self.root / "previous" / str(number)
        target.mkdir(parents=True)
        for path in self.products:
            if path.exists():
                path.rename(target / path.name)
        return target

    def quarantine(self, step: int) -> Path:
        """Moves the checkpoint of `step` to where damaged ones are kept, and gives its new place."""
        self.quarantined.mkdir(exist_ok=True)
        names = itertools.chain([str(step)], (f"{step}-{number}" for number in itertools.count(2)))
        target = next(self.quarantined / name for name in names if not (self.quarantined / name).exists())
        (self.checkpoints / str(step)).rename(target)
        return target


@contextlib.contextmanager
def own(directory: RunDirectory) -> Iterator[None]:
    """Holds the folder for this process alone; the system lets go of it when the process ends, however it ends.

    Errors: RunError naming the owner where another process holds it.
    """
    directory.root.mkdir(parents=True, exist_ok=True)
    with directory.lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunError(
                f"{directory.root} is being written by {owner}; wait for it or give another --out", 2
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
