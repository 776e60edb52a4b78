"""What a run records of itself: one JSON object per step and per evaluation, and the same as TensorBoard events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

Record = Mapping[str, object]


class EventWriter(Protocol):
    """The part of tensorboardX.SummaryWriter that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def close(self) -> None: ...


def plain(value: object) -> object:
    """`value` as JSON has it: arrays as lists, numbers of numpy and jax as Python's.

    Errors: ValueError for a number that is not finite: JSON has none, and nothing bad may look like a measurement.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return value
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else plain(np.asarray(value).tolist())


def records_in(path: Path) -> Iterator[dict[str, object]]:
    """The objects of a JSON-lines file in order, up to the first line that was not written to its end."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


def keep_through(path: Path, step: int) -> None:
    """Drops the records after `step`, so that a resumed run writes no step twice; replaces the file whole."""
    kept = [json.dumps(record) + "\n" for record in records_in(path) if int(str(record["step"])) <= step]
    if not path.exists():
        return
    temporary = path.with_suffix(".partial")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


class Journal:
    """Appends records to a JSON-lines file and their numbers to TensorBoard, without holding any back."""

    def __init__(self, path: Path, events: EventWriter | None) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._events = events

    def write(self, record: Record) -> None:
        """One object, one line. Errors: ValueError for a number that is not finite."""
        self._file.write(json.dumps(plain(record)) + "\n")
        self._file.flush()
        if self._events is None:
            return
        step = int(str(record["step"]))
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                self._events.add_scalar(name, float(value), step)

    def close(self) -> None:
        """Closes the file; the event writer belongs to whoever opened it."""
        self._file.close()


def resumed_journal(path: Path, step: int, events: EventWriter | None) -> Journal:
    """The journal of a run that goes on after `step`."""
    keep_through(path, step)
    return Journal(path, events)


def open_events(folder: Path, resumed_step: int) -> EventWriter | None:
    """A TensorBoard writer below `folder`, None where tensorboardX is not installed (extra `moec[tensorboard]`)."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    writer: EventWriter = SummaryWriter(str(folder), purge_step=resumed_step + 1)
    return writer


def write_json(path: Path, record: Record) -> None:
    """Writes one object, indented; the file is whole or not there."""
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(plain(record), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
