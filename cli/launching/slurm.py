"""A job -> the script that `sbatch` takes: one process per GPU, or one per machine where the mesh is of CPUs.

The processes find each other by the variables that Slurm sets, which JAX reads. Before the time is up Slurm sends
SIGTERM, the run saves, and the script hands the job in again.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import Failure
from moec.cli.launching.division import Division, divide

if TYPE_CHECKING:
    from argparse import Namespace

    from moec.cli.launching.job import Job

SCRIPT = "launch.sbatch"
WAIT_SECONDS = 120  # for the other processes, after the first one has ended


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What a user says of the cluster; None and () where nothing was said. `workdir` is where the job runs."""

    python: str
    workdir: Path
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    nodes: int | None = None
    per_node: int | None = None
    cpus: int | None = None
    setup: tuple[str, ...] = ()
    sbatch: tuple[str, ...] = ()


def options_of(arguments: Namespace, workdir: Path) -> SlurmOptions:
    """What the command line says. Failure: a value of several lines, which would end the comment it stands in."""
    setup, sbatch = tuple(arguments.setup or ()), tuple(arguments.sbatch or ())
    for value in (arguments.partition, arguments.account, arguments.qos, arguments.time, *setup, *sbatch):
        if value is not None and not value.isprintable():
            raise Failure(f"{value!r} is not one line of text")
    return SlurmOptions(
        python=arguments.python or sys.executable,
        workdir=workdir,
        partition=arguments.partition,
        account=arguments.account,
        qos=arguments.qos,
        time=arguments.time,
        nodes=arguments.nodes,
        per_node=arguments.per_node,
        cpus=arguments.cpus,
        setup=setup,
        sbatch=sbatch,
    )


def script(job: Job, options: SlurmOptions) -> str:
    """The text of the script. Failure: a mesh that Slurm does not hand out."""
    if job.mesh.hardware.platform == "tpu":
        raise Failure(
            f"the mesh `{job.mesh.name}` is of {job.mesh.hardware.name}: Google Cloud hands out TPU slices, Slurm does "
            "not; take --on kubernetes"
        )
    division = divide(job.mesh, options.nodes, options.per_node)
    directives = "\n".join(f"#SBATCH {line}" for line in _directives(job, division, options))
    setup = "".join(f"{line}\n" for line in options.setup)
    return TEMPLATE.format(
        title=_title(job, division),
        path=shlex.quote(str(job.folder / SCRIPT)),
        directives=directives,
        setup=f"\n{setup}" if setup else "",
        checkpoints=shlex.quote(str(job.folder / "checkpoints")),
        restarts=job.restarts,
        train=_train(job, options),
    )


def _title(job: Job, division: Division) -> str:
    machines = "1 machine" if division.nodes == 1 else f"{division.nodes} machines"
    return (
        f"The run `{job.run}` on {job.mesh.devices} x {job.mesh.hardware.name}: {machines} with "
        f"{division.devices_per_node} each."
    )


def _directives(job: Job, division: Division, options: SlurmOptions) -> list[str]:
    gpu = job.mesh.hardware.platform == "gpu"
    tasks = division.devices_per_node if gpu else 1
    written = {
        "job-name": job.name,
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "time": options.time,
        "nodes": division.nodes,
        "ntasks-per-node": tasks,
        "gpus-per-node": division.devices_per_node if gpu else None,
        "cpus-per-task": options.cpus,
        "chdir": options.workdir,
        "output": job.logs / "slurm-%j.out",
        "open-mode": "append",
        "signal": f"TERM@{job.grace_seconds}",
    }
    lines = [f"--{name}={shlex.quote(str(value))}" for name, value in written.items() if value is not None]
    return [*lines, "--requeue", *options.sbatch]


def _train(job: Job, options: SlurmOptions) -> str:
    cpus = "" if options.cpus is None else f" --cpus-per-task={options.cpus}"  # srun does not take it over from sbatch
    command = shlex.join((options.python, "-P", str(job.program), *job.arguments))
    return f"srun{cpus} --kill-on-bad-exit=0 --wait={WAIT_SECONDS} {command}"


TEMPLATE = """\
#!/usr/bin/env bash
# {title}
# Written by `moec launch`. Hand it in with
#   sbatch {path}
{directives}
{setup}
# The step of the newest checkpoint, empty while there is none.
newest() {{ ls {checkpoints} 2>/dev/null | grep -E '^[0-9]+$' | sort -n | tail -n 1 || true; }}

restarts_left={restarts}
before=$(newest)
while true; do
  status=0
  {train} || status=$?
  case $status in
    0 | 2 | 130) exit $status ;;  # done, cannot be started, stopped by hand
    143)  # the run has saved: its time is nearly up, or another job takes its place
      if [ "$(newest)" = "$before" ]; then
        echo "launch: stopped without a newer checkpoint; this job is not handed in again" >&2
        exit $status
      fi
      echo "launch: saved at step $(newest); the job is handed in again" >&2
      scontrol requeue "$SLURM_JOB_ID"
      exit $? ;;
  esac
  if [ "$restarts_left" -eq 0 ]; then exit $status; fi
  restarts_left=$((restarts_left - 1))
  echo "launch: the run ended with exit code $status; it is started again ($restarts_left more times at most)" >&2
done
"""
