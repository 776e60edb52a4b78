"""Taking steps twice changes nothing where a machine is sound, and ends the run where it is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from moec.runtime import background, clock
from moec.runtime.batch import Batch
from moec.runtime.failure import RunError
from moec.runtime.loop import TrainOptions, train
from moec.runtime.program import Program
from moec.runtime.state import Layout, TrainState
from moec.runtime.train_step import StepReport, TrainStep


def test_steps_that_are_taken_twice_are_the_same_steps(
    tiny: Program,
    trained: Path,
    records: Callable[[Path], list[dict[str, Any]]],
    without_times: Callable[..., Any],
    tmp_path: Path,
) -> None:
    assert train(tiny, TrainOptions(tmp_path, steps=6, verify_every=2)) == 0
    found, expected = (without_times(records(folder / "metrics.jsonl")) for folder in (tmp_path, trained))
    assert found == expected


def test_the_second_time_is_all_that_counts_as_training(
    tiny: Program,
    records: Callable[[Path], list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, calls, reads = background.compile_train_step, [], itertools.count()

    def lasting_a_second(program: Program, layout: Layout) -> TrainStep:
        take_step = original(program, layout)

        def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepReport]:
            calls.append(None)
            return take_step(state, batch)

        return step

    monkeypatch.setattr(background, "compile_train_step", lasting_a_second)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: len(calls) + 1e-6 * next(reads)))
    assert train(tiny, TrainOptions(tmp_path, steps=6, verify_every=3)) == 0
    found = records(tmp_path / "metrics.jsonl")
    assert len(calls) == 8
    assert [found[step - 1]["step_seconds"] for step in (3, 6)] == pytest.approx([1, 1], abs=1e-3)
    assert found[-1]["seconds"] == pytest.approx(6, abs=1e-3)


def test_one_wrong_bit_is_found_and_named(tiny: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = background.compile_train_step

    def faulty(program: Program, layout: Layout) -> TrainStep:
        take_step, calls = original(program, layout), []

        def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepReport]:
            after, report = take_step(state, batch)
            calls.append(None)
            if len(calls) != 5:  # steps 1, 2, 3 once, then step 4 twice
                return after, report
            head = after.params["w_head"]
            wrong = jax.tree.map(lambda leaf: leaf, after.params)
            wrong["w_head"] = head.replace(head.get_value().at[3, 5].multiply(1 + 2.0**-22))
            return replace(after, params=wrong), report

        return step

    monkeypatch.setattr(background, "compile_train_step", faulty)
    with pytest.raises(RunError, match=r"step 4 was taken twice .* in 1 of \d+ arrays, among them params\.w_head"):
        train(tiny, TrainOptions(tmp_path, steps=6, verify_every=4))
