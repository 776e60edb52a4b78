"""The script for Slurm: its text, and what it does, with commands in Slurm's place that do as they are told."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from moec.cli.command import Failure
from moec.cli.launching.slurm import SlurmOptions, script

OPTIONS = SlurmOptions(python="python3", workdir=Path("/shared/project"))
ALL_OPTIONS = replace(
    OPTIONS,
    partition="gpu",
    account="lab 7",
    qos="long",
    time="1-00:00:00",
    cpus=8,
    setup=("module load cuda", "export NCCL_DEBUG=WARN"),
    sbatch=("--mail-type=END",),
)


def test_a_job_on_gpus_starts_one_process_for_each(make_job, golden) -> None:
    golden("launch/gpus.sbatch", script(make_job("hardware = h100, devices = 16"), ALL_OPTIONS))


def test_a_job_on_cpus_starts_one_process_in_each_machine(make_job, golden) -> None:
    golden("launch/cpus.sbatch", script(make_job("hardware = cpu, devices = 4"), replace(OPTIONS, nodes=2)))


@pytest.mark.parametrize("options", [OPTIONS, ALL_OPTIONS])
def test_the_script_is_shell(make_job, options: SlurmOptions) -> None:
    text = script(make_job("hardware = h100, devices = 16"), options)
    done = subprocess.run(("bash", "-n"), input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_slurm_has_no_tpus(make_job) -> None:
    with pytest.raises(Failure, match="take --on kubernetes"):
        script(make_job("hardware = tpu_v5p, topology = 4x4x4"), OPTIONS)


@dataclass(frozen=True, slots=True)
class Handed:
    """How the script ended, how often it started the run, and which job it handed in again."""

    status: int
    starts: int
    requeued: str
    said: str


@pytest.fixture
def hand_in(make_job, tmp_path: Path):
    """`hand_in(3, 0)`: the script where the run ends with 3 first and then with 0; a step is saved with each `143`."""

    def do(*statuses: int, saves: bool = True) -> Handed:
        job = replace(make_job("hardware = cpu, devices = 4"), folder=tmp_path / "a run")
        (job.folder / "checkpoints" / "9").mkdir(parents=True)
        save = f"mkdir '{job.folder}/checkpoints/10'" if saves else "true"
        _command(
            tmp_path / "srun",
            f'echo start >> {tmp_path}/starts\nstatus=$(sed -n "$(wc -l < {tmp_path}/starts)p" {tmp_path}/statuses)\n'
            f'[ "$status" = 143 ] && {save}\nexit $status',
        )
        _command(tmp_path / "scontrol", f'echo "$@" > {tmp_path}/requeued')
        (tmp_path / "statuses").write_text("".join(f"{status}\n" for status in statuses))
        done = subprocess.run(
            ("bash", "-c", script(job, OPTIONS)),
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        requeued = tmp_path / "requeued"
        starts = len((tmp_path / "starts").read_text().splitlines())
        return Handed(done.returncode, starts, requeued.read_text().strip() if requeued.exists() else "", done.stderr)

    return do


def _command(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("status", [0, 2, 130])
def test_a_run_that_is_done_or_was_stopped_or_cannot_start_is_left_alone(hand_in, status: int) -> None:
    handed = hand_in(status)
    assert (handed.status, handed.starts, handed.requeued) == (status, 1, "")


def test_a_run_whose_time_is_up_is_handed_in_again(hand_in) -> None:
    handed = hand_in(143)
    assert (handed.status, handed.starts, handed.requeued) == (0, 1, "requeue 77")
    assert "saved at step 10" in handed.said


def test_a_run_that_was_stopped_before_it_saved_anything_does_not_go_round_for_ever(hand_in) -> None:
    handed = hand_in(143, saves=False)
    assert (handed.status, handed.requeued) == (143, "")
    assert "without a newer checkpoint" in handed.said


def test_a_failure_starts_the_run_again_in_the_same_machines(hand_in) -> None:
    handed = hand_in(1, 75, 0)
    assert (handed.status, handed.starts, handed.requeued) == (0, 3, "")


def test_failures_are_counted(hand_in) -> None:
    handed = hand_in(1, 1, 1, 9, 0)
    assert (handed.status, handed.starts) == (9, 4)
