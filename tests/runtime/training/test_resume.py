"""A run that was interrupted and resumed is, bit by bit, the run that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from moec.runtime.failure import RunError
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.recovery import recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import TrainState, lay_out, named_arrays

Records = Callable[[Path], list[dict[str, Any]]]
Trainer = Callable[..., int]


def saved_state(program: Program, folder: Path) -> TrainState:
    """The newest checkpoint of `folder` on the mesh of `program`."""
    layout = lay_out(program, make_mesh(program.mesh))
    found = recover(
        RunDirectory(folder), (program.identity,), layout.abstract, lambda step, reason: pytest.fail(reason)
    )
    assert found is not None
    return found.tree


def assert_same_bits(left: TrainState, right: TrainState) -> None:
    a, b = named_arrays(left), named_arrays(right)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name, strict=True)


@pytest.mark.parametrize("axes", [{}, {"data": 2, "fsdp": 2, "expert": 2}], ids=["1 device", "8 devices"])
def test_three_steps_and_three_more_are_six_steps(
    axes: dict[str, int],
    on_mesh: Callable[..., Program],
    train_in: Trainer,
    records: Records,
    without_times: Callable[..., Any],
    tmp_path: Path,
) -> None:
    program = on_mesh(**axes)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train_in(program, straight, 6) == 0
    assert train_in(program, broken, 3) == 0
    assert train_in(program, broken, 6) == 0
    assert_same_bits(saved_state(program, straight), saved_state(program, broken))
    metrics = [without_times(records(folder / "metrics.jsonl")) for folder in (straight, broken)]
    assert metrics[0] == metrics[1]
    seconds = [record["seconds"] for record in records(broken / "metrics.jsonl")]
    assert seconds == sorted(seconds)


def test_a_checkpoint_of_one_device_goes_on_on_eight(
    tiny: Program, on_mesh: Callable[..., Program], train_in: Trainer, records: Records, tmp_path: Path
) -> None:
    wide = on_mesh(data=2, fsdp=2, expert=2)
    train_in(tiny, tmp_path, 3)
    assert_same_bits(saved_state(tiny, tmp_path), saved_state(wide, tmp_path))
    weight = saved_state(wide, tmp_path).params["w_embed"]
    assert len(jax.tree.leaves(weight)[0].sharding.device_set) == 8
    assert train_in(wide, tmp_path, 4) == 0
    assert [record["step"] for record in records(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_records_after_the_resumed_step_are_dropped(
    tiny: Program, train_in: Trainer, records: Records, tmp_path: Path
) -> None:
    train_in(tiny, tmp_path, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4, "loss": 1.0, "seconds": 9.0}) + '\n{"step": 5, "lo')
    train_in(tiny, tmp_path, 5)
    found = records(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in found] == [1, 2, 3, 4, 5]
    assert "grad_norm" in found[3]


def test_a_finished_run_says_so_and_does_nothing(
    tiny: Program, trained: Path, train_in: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "metrics.jsonl").read_bytes()
    assert train_in(tiny, trained, 6) == 0
    assert "finished" in capsys.readouterr().out
    assert (trained / "metrics.jsonl").read_bytes() == before


def test_a_run_that_lacks_only_its_result_evaluates(tiny: Program, train_in: Trainer, tmp_path: Path) -> None:
    train_in(tiny, tmp_path, 2)
    first = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").unlink()
    train_in(tiny, tmp_path, 2)
    again = json.loads((tmp_path / "result.json").read_text())
    assert again == {**first, "compile_seconds": None}


def test_a_checkpoint_of_another_program_is_refused_with_a_way_out(
    tiny: Program, trained: Path, train_in: Trainer
) -> None:
    with pytest.raises(RunError, match=r"another program.*--resume never.*--out") as caught:
        train_in(replace(tiny, identity="sha256:other"), trained, 8)
    assert caught.value.exit_code == 2


def test_must_without_a_checkpoint_is_an_error(tiny: Program, train_in: Trainer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        train_in(tiny, tmp_path, 1, "must")


def test_never_puts_the_earlier_run_aside(tiny: Program, train_in: Trainer, records: Records, tmp_path: Path) -> None:
    train_in(tiny, tmp_path, 2)
    train_in(tiny, tmp_path, 1, "never")
    assert [record["step"] for record in records(tmp_path / "metrics.jsonl")] == [1]
    assert [record["step"] for record in records(tmp_path / "previous" / "1" / "metrics.jsonl")] == [1, 2]
    assert (tmp_path / "previous" / "1" / "checkpoints" / "2").exists()
