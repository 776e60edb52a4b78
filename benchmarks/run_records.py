"""What a run leaves in its folder, read from outside while it lives and after."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
TIMES = frozenset({"seconds", "step_seconds", "tokens_per_second"})
UNDER_WAY = "orbax-checkpoint-tmp"
"""In the name of a step whose saving is not complete. Source: orbax.checkpoint, its temporary paths."""


def records(folder: Path) -> list[str]:
    """The whole lines of metrics.jsonl."""
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n")]


def without_times(lines: list[str]) -> list[dict[str, Any]]:
    """The records without what the clock wrote into them."""
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


def resumed_step(said: str) -> int:
    """The step from which a run said that it goes on; 0 where it began."""
    found = re.search(r"resumed from step ([\d,]+)", said)
    return int(found[1].replace(",", "")) if found else 0


def saves_under_way(folder: Path) -> bool:
    """Whether a checkpoint is being written at this moment."""
    checkpoints = folder / "checkpoints"
    return checkpoints.is_dir() and any(UNDER_WAY in path.name for path in checkpoints.iterdir())
