"""A run writes what it promises, stops when asked, and leaves the process as it found it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moec.runtime import session
from moec.runtime.batch import Batch
from moec.runtime.failure import RunError
from moec.runtime.program import Program

Records = Callable[[Path], list[dict[str, Any]]]
Trainer = Callable[..., int]

KEYS = {
    *("step", "loss", "tokens", "seconds", "step_seconds", "tokens_per_second", "learning_rate", "grad_norm"),
    "skipped",
}
TERMS = {"cross_entropy", "balance_loss", "router_z_loss"}


def test_every_step_has_one_record_with_all_its_keys(trained: Path, records: Records) -> None:
    found = records(trained / "metrics.jsonl")
    assert [record["step"] for record in found] == [1, 2, 3, 4, 5, 6]
    for record in found:
        assert record.keys() == KEYS | TERMS | {"expert_load", "dropped_fraction"}


def test_the_loss_is_the_sum_of_its_named_terms(trained: Path, records: Records) -> None:
    for record in records(trained / "metrics.jsonl"):
        assert record["loss"] == pytest.approx(sum(record[term] for term in TERMS), rel=1e-5)


def test_tokens_and_seconds_only_grow(trained: Path, records: Records) -> None:
    found = records(trained / "metrics.jsonl")
    assert [record["tokens"] for record in found] == [512 * step for step in range(1, 7)]
    seconds = [record["seconds"] for record in found]
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(sum(record["step_seconds"] for record in found))


def test_the_learning_rate_is_that_of_the_schedule(tiny: Program, trained: Path, records: Records) -> None:
    assert tiny.learning_rate is not None
    schedule = tiny.learning_rate()
    for record in records(trained / "metrics.jsonl"):
        assert record["learning_rate"] == pytest.approx(float(schedule(record["step"] - 1)))


def test_expert_load_has_a_row_per_moe_layer_and_sums_to_one(trained: Path, records: Records) -> None:
    for record in records(trained / "metrics.jsonl"):
        (load,) = record["expert_load"]
        assert len(load) == 8
        assert sum(load) == pytest.approx(1.0)
        assert 0 <= record["dropped_fraction"][0] < 1


def test_the_loss_falls(trained: Path, records: Records) -> None:
    found = records(trained / "metrics.jsonl")
    assert found[-1]["cross_entropy"] < found[0]["cross_entropy"]


def test_held_out_loss_is_measured_on_the_way_and_at_the_end(trained: Path, records: Records) -> None:
    found = records(trained / "eval.jsonl")
    assert [record["step"] for record in found] == [4, 6]
    result = json.loads((trained / "result.json").read_text())
    assert result["eval_loss"] == found[-1]["eval_loss"]


def test_the_result_sums_the_run_up(tiny: Program, trained: Path, records: Records) -> None:
    result = json.loads((trained / "result.json").read_text())
    last = records(trained / "metrics.jsonl")[-1]
    assert result["steps"] == 6
    assert result["tokens"] == 6 * 512
    assert result["train_seconds"] == last["seconds"]
    assert result["params"] == tiny.expectations.params
    assert result["unigram_loss"] > 0
    assert result["compile_seconds"] > 0


def test_tensorboard_events_are_written(trained: Path) -> None:
    assert next(path.name for path in (trained / "tensorboard").iterdir()).startswith("events.out")


def test_only_the_newest_checkpoints_are_kept(trained: Path) -> None:
    assert sorted(path.name for path in (trained / "checkpoints").iterdir() if path.is_dir()) == ["4", "6"]


@pytest.mark.parametrize(
    ("number", "times", "code"), [(signal.SIGINT, 1, 130), (signal.SIGTERM, 1, 143), (signal.SIGTERM, 3, 143)]
)
def test_a_signal_finishes_the_step_saves_and_stops(
    number: signal.Signals,
    times: int,
    code: int,
    tiny: Program,
    train_in: Trainer,
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = session.train_batches

    def signalling(*arguments: Any, **options: Any) -> Iterator[Batch]:
        for count, batch in enumerate(original(*arguments, **options), start=1):
            for _ in range(times if count == 3 else 0):
                os.kill(os.getpid(), number)
            yield batch

    monkeypatch.setattr(session, "train_batches", signalling)
    assert train_in(tiny, tmp_path, 6) == code
    assert [record["step"] for record in records(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert (tmp_path / "checkpoints" / "3").exists()
    assert not (tmp_path / "result.json").exists()
    assert "the same command goes on" in capsys.readouterr().out


def test_a_run_leaves_no_handler_and_no_thread(tiny: Program, train_in: Trainer, tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train_in(tiny, tmp_path, 1)
    before = {thread.name for thread in threading.enumerate()}
    train_in(tiny, tmp_path, 2)
    assert {thread.name for thread in threading.enumerate()} <= before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_changed_model_is_noted(
    tiny: Program, train_in: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_in(replace(tiny, expectations=replace(tiny.expectations, params=7)), tmp_path, 1)
    assert "its plan 7" in capsys.readouterr().out


def test_a_run_without_data_says_what_is_missing(tiny: Program, train_in: Trainer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="add a data block"):
        train_in(replace(tiny, data=None), tmp_path, 1)
