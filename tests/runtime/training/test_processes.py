"""A program in processes of its own: several that train as one, and one that is interrupted from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM_FILE = Path(__file__).with_name("tiny_program.py")
EIGHT = "data=2, fsdp=2, expert=2"
TIMEOUT_SECONDS = 300.0


def written_program(folder: Path, text_folder: Path, axes: str = "data=1, fsdp=1, expert=1") -> Path:
    """The tiny program on a mesh, in a folder with its text."""
    (folder / "text").symlink_to(text_folder / "text")
    path = folder / "program.py"
    path.write_text(PROGRAM_FILE.read_text().replace("data=1, fsdp=1, expert=1", axes))
    return path


def start(program: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python program.py train …` in the program's folder, without the devices that this process asked for."""
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    return subprocess.Popen(
        [sys.executable, str(program), "train", *arguments],
        cwd=program.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the process said; it must have ended well."""
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, said
    return said


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def start_two(program: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    meeting = ("--coordinator", f"localhost:{free_port()}", "--processes", "2")
    return [start(program, *arguments, *meeting, "--process", str(index)) for index in range(2)]


def wait_for_step(folder: Path, step: int) -> None:
    """Returns when `step` is in the metrics file."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        path = folder / "metrics.jsonl"
        if path.exists() and len(path.read_text().splitlines()) >= step:
            return
        time.sleep(0.05)
    raise TimeoutError(f"step {step} did not come")


@pytest.mark.slow
def test_two_processes_of_four_devices_train_as_one_of_eight(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    first, second = (finish(process) for process in start_two(program, "--steps", "3", "--out", str(tmp_path / "two")))
    finish(start(program, "--steps", "3", "--out", str(tmp_path / "one")))
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert "held-out loss" in first
    assert "held-out loss" not in second


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder, EIGHT)
    processes = start_two(program, "--steps", "100000", "--out", str(tmp_path))
    wait_for_step(tmp_path, 2)
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 143, said
    last = len(losses(tmp_path))
    assert (tmp_path / "checkpoints" / str(last)).is_dir()


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_gives_130(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path, text_folder)
    process = start(program, "--steps", "100000")
    wait_for_step(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 130, said
    assert "stopping after this step" in said
    last = len(losses(tmp_path))
    assert f"stopped and saved at step {last}; the same command goes on from there" in said
    finish(start(program, "--steps", str(last + 2)))
    assert len(losses(tmp_path)) == last + 2
