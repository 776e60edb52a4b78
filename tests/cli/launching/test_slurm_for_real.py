"""The script, handed to a real Slurm of two machines: it trains, saves when its time is up, and goes on by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from one_machine_slurm import CannotStart, Slurm, is_installed, slurm

TIMEOUT_SECONDS = 300.0
MESH = ("devices = 1 }", "devices = 4, axes { data = 4 } }")
SETTINGS = ("--set", "small.steps=200", "--set", "run.checkpoint.every_steps=100", "--set", "run.eval.tokens=1Ki")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if not is_installed():
        pytest.skip("Slurm is not installed; on Debian: apt-get install slurm-wlm")
    try:
        with slurm(tmp_path_factory.mktemp("slurm")) as running:
            yield running
    except CannotStart as error:
        pytest.skip(f"this Slurm does not run for one user on one machine: {error}")


def steps(folder: Path) -> list[int]:
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_job_whose_time_is_up_saves_and_goes_on_by_itself(moec, tiny: Path, cluster: Slurm) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace(*MESH), encoding="utf-8")
    assert moec("launch", "tiny.moe", "--on", "slurm", "--run", "baseline", "--nodes", "2", *SETTINGS).status == 0
    folder = Path("runs/tiny/baseline")
    job = cluster.call("sbatch", "--parsable", str(folder / "launch.sbatch"))
    wait_until(lambda: len(steps(folder)) >= 5)
    cluster.call("scancel", "--signal=TERM", job)  # what Slurm does itself when the time is nearly up
    wait_until(lambda: cluster.state(job)["Restarts"] == "1")
    saved = steps(folder)[-1]
    assert saved < 200
    assert (folder / "checkpoints" / str(saved)).is_dir()
    wait_until(lambda: cluster.state(job)["JobState"] == "PENDING")
    # Slurm itself waits two minutes. A start in the very second of the end would be taken for the old one, and refused.
    cluster.call("scontrol", "update", f"JobId={job}", "StartTime=now+5")
    wait_until(lambda: cluster.state(job)["JobState"] in ("COMPLETED", "FAILED", "CANCELLED"))
    said = (folder / "logs" / f"slurm-{job}.out").read_text()
    assert cluster.state(job)["JobState"] == "COMPLETED", said
    assert f"launch: saved at step {saved}; the job is handed in again" in said
    assert said.count(f"resumed from step {saved}") == 1
    assert steps(folder) == list(range(1, 201))
