"""A program in processes of its own: several that train as one, and one that is interrupted from outside."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from own_process import EIGHT, ended, losses, start, start_together, wait_for_step, written_program


@pytest.mark.slow
def test_two_processes_of_four_devices_train_as_one_of_eight(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    first, second = (
        ended(process) for process in start_together(2, program, "--steps", "3", "--out", str(tmp_path / "two"))
    )
    ended(start(program, "--steps", "3", "--out", str(tmp_path / "one")))
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert "held-out loss" in first
    assert "held-out loss" not in second


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    processes = start_together(2, program, "--steps", "100000", "--out", str(tmp_path))
    wait_for_step(tmp_path, 2)
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        ended(process, 143)
    last = len(losses(tmp_path))
    assert (tmp_path / "checkpoints" / str(last)).is_dir()


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_gives_130(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder)
    process = start(program, "--steps", "100000")
    wait_for_step(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    said = ended(process, 130)
    assert "stopping after this step" in said
    last = len(losses(tmp_path))
    assert f"stopped and saved at step {last}; the same command goes on from there" in said
    ended(start(program, "--steps", str(last + 2)))
    assert len(losses(tmp_path)) == last + 2
