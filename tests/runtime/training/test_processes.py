"""A program in processes of its own: several that train as one, and one that is interrupted from outside."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from own_process import EIGHT, ended, losses, recorded, start, start_together, wait_for_step, written_program

from moec.runtime.checkpoints import committed_steps, read_manifest
from moec.runtime.run_directory import RunDirectory


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
def test_a_signal_to_one_process_stops_both_at_the_same_step_and_they_go_on_bit_by_bit(
    tmp_path: Path, text_folder: Path
) -> None:
    """The scheduler repeats its SIGTERM, which changes nothing."""
    program = written_program(tmp_path, text_folder, EIGHT)
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    processes = start_together(2, program, "--steps", "100000", "--out", str(stopped))
    wait_for_step(stopped, 2)
    for _ in range(3):
        processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        ended(process, 143)
    last = len(losses(stopped))
    assert committed_steps(RunDirectory(stopped))[0] == last
    steps = ("--steps", str(last + 2))
    said = [ended(process) for process in start_together(2, program, *steps, "--out", str(stopped))]
    assert f"resumed from step {last}" in said[0]
    for process in start_together(2, program, *steps, "--out", str(straight)):
        ended(process)
    assert recorded(stopped) == recorded(straight)
    assert checksums_in(stopped) == checksums_in(straight)


def checksums_in(folder: Path) -> dict[str, str]:
    directory = RunDirectory(folder)
    manifest = read_manifest(directory, committed_steps(directory)[0])
    return {name: record.checksum for name, record in manifest.arrays.items()}


@pytest.mark.slow
def test_two_processes_go_on_as_one_and_again_as_two(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    folder, straight = ("--out", str(tmp_path / "mixed")), ("--out", str(tmp_path / "straight"))
    for process in start_together(2, program, "--steps", "3", *folder):
        ended(process)
    assert "resumed from step 3" in ended(start(program, "--steps", "5", *folder))
    first, _ = [ended(process) for process in start_together(2, program, "--steps", "7", *folder)]
    assert "resumed from step 5" in first
    ended(start(program, "--steps", "7", *straight))
    assert losses(tmp_path / "mixed") == pytest.approx(losses(tmp_path / "straight"), rel=1e-4)


@pytest.mark.slow
def test_damage_that_two_processes_find_is_put_aside_once(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    folder = ("--out", str(tmp_path / "two"))
    for process in start_together(2, program, "--steps", "4", *folder):
        ended(process)
    files = [path for path in (tmp_path / "two" / "checkpoints" / "4" / "arrays").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    first, second = [ended(process) for process in start_together(2, program, "--steps", "5", *folder)]
    assert "the checkpoint of step 4 is damaged" in first
    assert "damaged" not in second
    assert "resumed from step 2" in first
    assert [path.name for path in (tmp_path / "two" / "quarantined").iterdir()] == ["4"]


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
