"""What the runs of a study measured, read from their folders, and losses at equal tokens, time or FLOPs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from moec.cli.command import DIAGNOSED, Failure

Scale = Literal["tokens", "seconds", "train_flops"]
PREDICTION = "cross_entropy"


@dataclass(frozen=True, slots=True)
class Point:
    """A loss in nats per token, and what had been spent when it was measured."""

    step: int
    tokens: float
    seconds: float
    train_flops: float
    loss: float

    def spent(self, scale: Scale) -> float:
        """How much of `scale` had been spent."""
        match scale:
            case "tokens":
                return self.tokens
            case "seconds":
                return self.seconds
            case "train_flops":
                return self.train_flops


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished training. `train` has a point per step, `held_out` one per evaluation; both are cross-entropies,
    so that terms which only some objectives have do not enter a comparison."""

    title: str
    folder: Path
    result: dict[str, Any]
    train: tuple[Point, ...]
    held_out: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A held-out loss at some expense; `measured` at just that place, else between two evaluations."""

    loss: float
    measured: bool


def read_outcome(title: str, folder: Path) -> Outcome:
    """The training in `folder`. Failure: it has not finished."""
    result_path = folder / "result.json"
    if not result_path.exists():
        raise Failure(f"{folder} has no result.json: the run `{title}` has not finished", DIAGNOSED)
    result = json.loads(result_path.read_text(encoding="utf-8"))
    flops_per_token = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["flops_per_token"]["train"]
    train = tuple(
        _point(record, record.get(PREDICTION, record["loss"]), flops_per_token)
        for record in _records(folder / "metrics.jsonl")
        if record["loss"] is not None  # a step that was skipped because it was not finite
    )
    by_step = {point.step: point for point in train}
    losses = {record["step"]: record["eval_loss"] for record in _records(folder / "eval.jsonl")}
    losses[result["steps"]] = result["eval_loss"]
    held_out = tuple(
        Point(step, at.tokens, at.seconds, at.train_flops, losses[step])
        for step, at in sorted(by_step.items())
        if step in losses
    )
    return Outcome(title, folder, result, train, held_out)


def _point(record: dict[str, Any], loss: float, flops_per_token: float) -> Point:
    tokens = record["tokens"]
    return Point(record["step"], tokens, record["seconds"], tokens * flops_per_token, loss)


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def equal_expense(outcomes: Iterable[Outcome], scale: Scale) -> float:
    """The most of `scale` that every run has spent."""
    return min(outcome.train[-1].spent(scale) for outcome in outcomes)


def held_out_at(outcome: Outcome, scale: Scale, expense: float) -> Reading | None:
    """The held-out loss when `expense` had been spent: linear between the evaluations around it.

    None where no evaluation was made before: nothing is extrapolated.
    """
    points = outcome.held_out
    for before, after in pairwise(points):
        low, high = before.spent(scale), after.spent(scale)
        if low < expense < high:
            share = (expense - low) / (high - low)
            return Reading(before.loss + share * (after.loss - before.loss), measured=False)
    exact = [point.loss for point in points if point.spent(scale) == expense]
    return Reading(exact[-1], measured=True) if exact else None


def smoothed(points: tuple[Point, ...], width: int) -> tuple[float, ...]:
    """For each point the mean loss of the `width` points that end there."""
    losses = [point.loss for point in points]
    windows = (losses[max(0, end - width) : end] for end in range(1, len(losses) + 1))
    return tuple(sum(window) / len(window) for window in windows)
