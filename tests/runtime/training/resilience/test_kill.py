"""A run that is killed at random moments, again and again, is bit by bit the run that was left alone."""

from __future__ import annotations

import random
import re
import subprocess
import time
from pathlib import Path

import pytest
from own_process import ended, recorded, start, wait_for_step, written_program

STEPS_PER_LIFE = 6
UNDER_WAY = "orbax-checkpoint-tmp"  # in the name of a step whose saving is not complete
EVERY_STEP = {"every_steps=2": "every_steps=1"}


def is_saving(folder: Path) -> bool:
    return any(UNDER_WAY in path.name for path in (folder / "checkpoints").iterdir())


def kill(folder: Path, process: subprocess.Popen[str], step: int, wait_seconds: float | None) -> str:
    """Kills the process so long after `step` is done, or in the middle of the next save; gives what it said."""
    wait_for_step(folder, step)
    deadline = time.monotonic() + 5.0
    if wait_seconds is not None:
        time.sleep(wait_seconds)
    while wait_seconds is None and time.monotonic() < deadline:
        if is_saving(folder):
            break
    process.kill()
    said, _ = process.communicate()
    return said


def checked_life(tmp_path: Path, text_folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    steps = str((kills + 1) * STEPS_PER_LIFE)
    quiet = written_program(tmp_path / "quiet", text_folder)
    ended(start(quiet, "--steps", steps))
    expected = recorded(quiet.parent)
    program = written_program(tmp_path / "killed", text_folder, **EVERY_STEP)
    folder, done, inside = program.parent, 0, 0
    for life in range(kills):
        process = start(program, "--steps", steps)
        said = kill(folder, process, done + draw.randint(2, STEPS_PER_LIFE), draw.uniform(0, 0.1) if life % 2 else None)
        assert process.returncode in (0, -9), said
        inside += is_saving(folder)
        found = recorded(folder)
        assert found == expected[: len(found)]
        assert len(found) > done
        done = len(found)
    assert inside > 0
    said = ended(start(program, "--steps", steps, "--resume", "must"))
    resumed = re.search(r"resumed from step (\d+)", said)
    assert resumed is not None
    assert done - 3 <= int(resumed.group(1)) <= done
    assert "damaged" not in said
    assert recorded(folder) == expected


def test_three_kills_change_not_one_bit(tmp_path: Path, text_folder: Path) -> None:
    checked_life(tmp_path, text_folder, kills=3, seed=1)


@pytest.mark.slow
def test_twenty_kills_change_not_one_bit(tmp_path: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")  # compiled as users' programs are
    checked_life(tmp_path, text_folder, kills=20, seed=2)
