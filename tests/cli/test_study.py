"""The comparison of a study, on runs whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moec.cli.command import Failure
from moec.cli.comparison import BETWEEN, NOT_MEASURED, headline, notes, rows
from moec.cli.curves import Outcome, equal_expense, held_out_at, read_outcome, smoothed
from moec.cli.study import PICTURE, REPORT, write_study
from moec.compiler.typed import StudySpec
from moec.spec.source import Span

STEPS = 8
TOKENS = 100
FLOPS_PER_TOKEN = {"quick": 10.0, "slow": 20.0}
STEP_SECONDS = {"quick": 1.0, "slow": 2.0}
FINAL_LOSS = {"quick": 2.0, "slow": 1.0}
SAYS_HELLO = "import sys; print('hello \\x1b[31m' + ' '.join(sys.argv[1:]))"


def write_run(folder: Path, name: str, evaluated: tuple[int, ...] = (2, 4, 6, STEPS)) -> Path:
    """A finished run whose held-out loss falls in a straight line from 4 at the start to its final loss."""
    folder.mkdir(parents=True)
    fall = (4.0 - FINAL_LOSS[name]) / STEPS
    metrics = [
        {
            "step": step,
            "loss": 9.0,
            "cross_entropy": 4.0 - fall * step,
            "tokens": TOKENS * step,
            "seconds": STEP_SECONDS[name] * step,
        }
        for step in range(1, STEPS + 1)
    ]
    evaluations = [{"step": step, "eval_loss": 4.0 - fall * step} for step in evaluated]
    result = {
        "params": 1000,
        "active_params": 500,
        "steps": STEPS,
        "tokens": TOKENS * STEPS,
        "step_seconds_median": STEP_SECONDS[name],
        "tokens_per_second": TOKENS / STEP_SECONDS[name],
        "train_seconds": STEP_SECONDS[name] * STEPS,
        "eval_loss": FINAL_LOSS[name],
        "unigram_loss": 3.5,
    }
    plan = {"flops_per_token": {"train": FLOPS_PER_TOKEN[name]}}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in metrics), encoding="utf-8")
    (folder / "eval.jsonl").write_text("".join(json.dumps(record) + "\n" for record in evaluations), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    (folder / "program.py").write_text(SAYS_HELLO, encoding="utf-8")
    return folder


def study(match: str, report: tuple[str, ...] = ("table", "plot", "sample")) -> StudySpec:
    return StudySpec("tradeoff", "A question?", Span("x.moe", 0, 1), ("quick", "slow"), match, (), report)


@pytest.fixture
def outcomes(tmp_path: Path) -> tuple[Outcome, ...]:
    return tuple(read_outcome(name, write_run(tmp_path / name, name)) for name in ("quick", "slow"))


def test_a_run_is_read_with_what_it_had_spent_at_each_evaluation(outcomes: tuple[Outcome, ...]) -> None:
    slow = outcomes[1]
    assert [point.step for point in slow.held_out] == [2, 4, 6, 8]
    last = slow.held_out[-1]
    assert (last.tokens, last.seconds, last.train_flops, last.loss) == (800, 16.0, 16_000, 1.0)


def test_training_curves_leave_out_the_other_terms_of_the_objective(outcomes: tuple[Outcome, ...]) -> None:
    assert max(point.loss for point in outcomes[0].train) < 4


def test_what_every_run_has_spent_is_the_least_of_them(outcomes: tuple[Outcome, ...]) -> None:
    assert equal_expense(outcomes, "tokens") == 800
    assert equal_expense(outcomes, "seconds") == 8
    assert equal_expense(outcomes, "train_flops") == 8_000


def test_a_loss_at_an_evaluation_is_measured_and_one_between_is_marked(outcomes: tuple[Outcome, ...]) -> None:
    at, between = held_out_at(outcomes[1], "seconds", 8), held_out_at(outcomes[1], "seconds", 10)
    assert at is not None
    assert between is not None
    assert (at.loss, at.measured) == (2.5, True)
    assert between.loss == pytest.approx(4.0 - 3 / 8 * 5)
    assert not between.measured


@pytest.mark.parametrize("seconds", [3, 17])
def test_nothing_is_said_before_the_first_evaluation_or_past_the_end(
    outcomes: tuple[Outcome, ...], seconds: float
) -> None:
    assert held_out_at(outcomes[1], "seconds", seconds) is None


@pytest.mark.parametrize(
    ("match", "expense", "losses", "gap"),
    [
        ("tokens", "800 tokens", "quick 2.0000, slow 1.0000", "slow is 1.0000 below quick"),
        ("step_time", "8.0 s of training", "quick 2.0000, slow 2.5000", "slow is 0.5000 above quick"),
        ("flops", "8e+03 FLOPs", "quick 2.0000, slow 2.5000", "slow is 0.5000 above quick"),
    ],
)
def test_the_headline_is_the_comparison_that_the_study_asks_for(
    outcomes: tuple[Outcome, ...], match: str, expense: str, losses: str, gap: str
) -> None:
    assert headline(study(match), outcomes) == f"At {expense}, held-out loss in nats per token: {losses}. {gap}."


def test_the_headline_says_what_was_not_measured(tmp_path: Path) -> None:
    folders = {"quick": write_run(tmp_path / "quick", "quick"), "slow": write_run(tmp_path / "slow", "slow", (STEPS,))}
    found = tuple(read_outcome(name, folder) for name, folder in folders.items())
    assert "there is no held-out loss of slow" in headline(study("step_time"), found)
    table = rows(study("step_time"), found)
    (row,) = (row for row in table if row.headline)
    assert row.cells == ("2.0000", NOT_MEASURED)
    assert any("not measured" in note for note in notes(table))


def test_the_table_has_both_comparisons_and_marks_one(outcomes: tuple[Outcome, ...]) -> None:
    table = {row.measure: row for row in rows(study("tokens"), outcomes)}
    assert table["held-out loss at 800 tokens"].headline
    assert not table["held-out loss at 8.0 s of training"].headline
    assert table["step time, median"].cells == ("1000.0 ms", "2000.0 ms")
    assert table["active per token"].cells == ("500", "500")


def test_a_loss_between_evaluations_is_marked_in_the_table(tmp_path: Path) -> None:
    folders = {
        "quick": write_run(tmp_path / "quick", "quick"),
        "slow": write_run(tmp_path / "slow", "slow", (3, STEPS)),
    }
    found = tuple(read_outcome(name, folder) for name, folder in folders.items())
    (row,) = (row for row in rows(study("step_time"), found) if row.headline)
    assert row.cells[1] == f"{BETWEEN} 2.5000"


def test_the_report_is_printed_and_saved_with_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tuple((name, write_run(tmp_path / name, name)) for name in ("quick", "slow"))
    write_study(study("tokens"), runs, tmp_path)
    printed = capsys.readouterr().out
    report = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    for text in (printed, report):
        assert "slow is 1.0000 below quick" in " ".join(text.split())
        assert "generate --prompt def" in text
        assert "\x1b" not in text
    assert "| **held-out loss at 800 tokens** | **2.0000** | **1.0000** |" in report
    assert str(tmp_path / REPORT) in printed


def test_only_the_parts_that_are_asked_for_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tuple((name, write_run(tmp_path / name, name)) for name in ("quick", "slow"))
    write_study(study("tokens", ("table",)), runs, tmp_path)
    assert not (tmp_path / PICTURE).exists()
    assert "writes" not in capsys.readouterr().out


def test_a_program_that_writes_nothing_does_not_stop_the_report(tmp_path: Path) -> None:
    runs = tuple((name, write_run(tmp_path / name, name)) for name in ("quick", "slow"))
    (tmp_path / "slow" / "program.py").write_text("raise SystemExit('no checkpoint')", encoding="utf-8")
    write_study(study("tokens", ("sample",)), runs, tmp_path)
    assert "(no sample, status 1: no checkpoint)" in (tmp_path / REPORT).read_text(encoding="utf-8")


def test_a_run_that_has_not_finished_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="the run `quick` has not finished"):
        read_outcome("quick", tmp_path)


def test_smoothing_is_a_mean_over_what_came_before(outcomes: tuple[Outcome, ...]) -> None:
    points = outcomes[0].train
    assert smoothed(points, 1) == tuple(point.loss for point in points)
    assert smoothed(points, 2)[0] == points[0].loss
    assert smoothed(points, 2)[3] == pytest.approx((points[2].loss + points[3].loss) / 2)
