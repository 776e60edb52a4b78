"""One run as an engine gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.compile import PROGRAM

if TYPE_CHECKING:
    from moec.compiler.typed import MeshSpec


@dataclass(frozen=True, slots=True)
class Job:
    """`name` is the engine's, `run` the spec's; `folder` is the run's own; `resume` and `options` are the program's.

    After a failure it is started again `restarts` times at most. From the warning to the end it has `grace_seconds`.
    """

    name: str
    run: str
    mesh: MeshSpec
    folder: Path
    resume: str
    options: tuple[str, ...]
    restarts: int
    grace_seconds: int

    @property
    def program(self) -> Path:
        return self.folder / PROGRAM

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the program is started with, apart from where its processes meet."""
        return ("train", "--resume", self.resume, *self.options)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"
