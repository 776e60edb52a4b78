"""The outcomes of a study -> a table and a sentence. Every number was measured, or says how it was worked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moec.cli.curves import Outcome, Reading, Scale, equal_expense, held_out_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from moec.compiler.typed import StudySpec

MATCHED: dict[str, Scale] = {"step_time": "seconds", "tokens": "tokens", "flops": "train_flops"}
IN_WORDS: dict[str, str] = {"step_time": "training time", "tokens": "tokens", "flops": "training FLOPs"}
BETWEEN = "~"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of all runs. `headline` marks the comparison that the study asks for."""

    measure: str
    cells: tuple[str, ...]
    headline: bool = False


def rows(study: StudySpec, outcomes: tuple[Outcome, ...]) -> tuple[Row, ...]:
    """The table, a cell per run."""
    headline = MATCHED[study.match]
    scales: tuple[Scale, ...] = ("tokens", "seconds", *(("train_flops",) if headline == "train_flops" else ()))
    return (
        _row("parameters", outcomes, lambda result: f"{result['params']:,}"),
        _row("active per token", outcomes, lambda result: f"{result['active_params']:,}"),
        _row("steps", outcomes, lambda result: f"{result['steps']:,}"),
        _row("tokens", outcomes, lambda result: f"{result['tokens']:,}"),
        _row("step time, median", outcomes, lambda result: f"{1000 * result['step_seconds_median']:.1f} ms"),
        _row("tokens per second", outcomes, lambda result: f"{result['tokens_per_second']:,.0f}"),
        _row("training time", outcomes, lambda result: f"{result['train_seconds']:.1f} s"),
        *(_equal_row(outcomes, scale, scale == headline) for scale in scales),
        _row("held-out loss at the end", outcomes, lambda result: f"{result['eval_loss']:.4f}"),
        _row("unigram model's loss", outcomes, lambda result: f"{result['unigram_loss']:.4f}"),
    )


def _row(measure: str, outcomes: tuple[Outcome, ...], cell: Callable[[dict[str, float]], str]) -> Row:
    return Row(measure, tuple(cell(outcome.result) for outcome in outcomes))


def _equal_row(outcomes: tuple[Outcome, ...], scale: Scale, headline: bool) -> Row:
    expense = equal_expense(outcomes, scale)
    cells = tuple(_cell(held_out_at(outcome, scale, expense)) for outcome in outcomes)
    return Row(f"held-out loss at {amount(scale, expense)}", cells, headline)


def _cell(reading: Reading | None) -> str:
    if reading is None:
        return NOT_MEASURED
    return f"{reading.loss:.4f}" if reading.measured else f"{BETWEEN} {reading.loss:.4f}"


def amount(scale: Scale, expense: float) -> str:
    """`62.3 s of training`."""
    match scale:
        case "tokens":
            return f"{expense:,.0f} tokens"
        case "seconds":
            return f"{expense:.1f} s of training"
        case "train_flops":
            return f"{expense:.3g} FLOPs"


def headline(study: StudySpec, outcomes: tuple[Outcome, ...]) -> str:
    """The comparison that `match` asks for, in a sentence: each run against the first."""
    scale = MATCHED[study.match]
    expense = equal_expense(outcomes, scale)
    readings = [held_out_at(outcome, scale, expense) for outcome in outcomes]
    first = readings[0]
    if first is None or None in readings:
        missing = ", ".join(o.title for o, reading in zip(outcomes, readings, strict=True) if reading is None)
        return (
            f"At {amount(scale, expense)} there is no held-out loss of {missing}: "
            "let the runs evaluate on the way, `eval { every_steps = … }`."
        )
    parts = [f"{o.title} {reading.loss:.4f}" for o, reading in zip(outcomes, readings, strict=True) if reading]
    gaps = [
        f"{o.title} is {_gap(reading.loss - first.loss)} {outcomes[0].title}"
        for o, reading in zip(outcomes[1:], readings[1:], strict=True)
        if reading
    ]
    return f"At {amount(scale, expense)}, held-out loss in nats per token: {', '.join(parts)}. " + "; ".join(gaps) + "."


def _gap(difference: float) -> str:
    return f"{abs(difference):.4f} {'below' if difference < 0 else 'above'}"


def notes(table: tuple[Row, ...]) -> tuple[str, ...]:
    """What the marks in `table` mean, of those that occur."""
    cells = [cell for row in table for cell in row.cells]
    found = [
        "Losses are in nats per token; held-out text is never trained on. Times leave out compiling and evaluating."
    ]
    if any(cell.startswith(BETWEEN) for cell in cells):
        found.append(f"{BETWEEN} lies between two evaluations: linear between them.")
    if NOT_MEASURED in cells:
        found.append("not measured: no evaluation was made before that point; `eval { every_steps = … }` makes them.")
    return tuple(found)
