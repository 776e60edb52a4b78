"""A real Slurm of two machines on this one, for tests: a controller and two daemons, all of this user."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")
TIMEOUT_SECONDS = 30.0
NODES = ("127.0.0.1", "127.0.0.2")  # names that can be looked up: the first process listens there
CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True, slots=True)
class Slurm:
    """A cluster that runs; commands find it by `environment`."""

    environment: dict[str, str]

    def call(self, *command: str) -> str:
        """What the command prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def state(self, job: str) -> dict[str, str]:
        """What Slurm says of a job: JobState, Restarts, ExitCode and others."""
        words = self.call("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


class CannotStart(Exception):
    """This Slurm does not run for one user on one machine, with what it said."""


def is_installed() -> bool:
    return all(shutil.which(command, path=_path()) for command in COMMANDS)


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """A cluster that lives in `folder` as long as the context. Errors: CannotStart."""
    configuration = folder / "slurm.conf"
    ports = _free_ports(1 + len(NODES))
    text = CONFIGURATION.format(host=socket.gethostname(), port=ports[0], user=getpass.getuser(), folder=folder)
    for node, port in zip(NODES, ports[1:], strict=True):
        (folder / f"spool-{node}").mkdir()
        text += f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=1\n"
    (folder / "state").mkdir()
    configuration.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    cluster = Slurm({**environment, "PATH": _path(), "SLURM_CONF": str(configuration)})
    with ExitStack() as stack:
        for command in (("slurmctld", "-D"), *(("slurmd", "-D", "-N", node) for node in NODES)):
            stack.enter_context(_daemon(command, cluster.environment, folder / "started.log"))
        _wait_until_idle(cluster, folder)
        try:
            yield cluster
        finally:
            _end_all_jobs(cluster)


@contextmanager
def _daemon(command: tuple[str, ...], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def _wait_until_idle(cluster: Slurm, folder: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        done = subprocess.run(
            ("sinfo", "--noheader", "--format=%T %D"), env=cluster.environment, capture_output=True, check=False
        )
        if done.stdout.split() == [b"idle", b"2"]:
            return
        time.sleep(0.2)
    raise CannotStart((folder / "started.log").read_text(errors="replace")[-500:])


def _end_all_jobs(cluster: Slurm) -> None:
    """A daemon that ends leaves its jobs running."""
    cluster.call("scancel", "--user", getpass.getuser())
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while cluster.call("squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.2)


def _path() -> str:
    """Daemons live where only administrators look."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
