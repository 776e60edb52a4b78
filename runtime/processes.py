"""One run in several processes: joining them, and what only the first of them does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from moec.runtime.failure import RunError


@dataclass(frozen=True, slots=True)
class Membership:
    """This process is `index` of `count`, which meet at `coordinator` (host:port)."""

    coordinator: str
    count: int
    index: int


def join_processes(membership: Membership | None) -> None:
    """Joins the run's other processes: those named, else those of a cluster that JAX recognises.

    Without either the process stays alone. To be called before any device is used.
    """
    if membership is not None:
        jax.distributed.initialize(membership.coordinator, membership.count, membership.index)
    elif launched_by_cluster():
        jax.distributed.initialize()


def is_first_process() -> bool:
    """Whether this process prints and writes metrics."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when every process of the run has come to the point called `name`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_agree(yes: bool) -> bool:
    """Whether every process of the run says yes; all of them must ask."""
    if jax.process_count() == 1:
        return yes
    return bool(multihost_utils.process_allgather(np.array(yes)).all())


def membership_of(coordinator: str | None, count: int | None, index: int | None) -> Membership | None:
    """The membership that the three command-line options say, None where none is given.

    Errors: RunError where some are missing.
    """
    given = (coordinator, count, index)
    if all(value is None for value in given):
        return None
    if coordinator is None or count is None or index is None:
        raise RunError("--coordinator, --processes and --process go together: give all three or none", 2)
    return Membership(coordinator, count, index)


def process_count(membership: Membership | None, environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the run has, known before they are joined: as named, or as Slurm and Open MPI say; else 1."""
    if membership is not None:
        return membership.count
    if not launched_by_cluster(environment):
        return 1
    return max((int(count) for count in _tasks(environment) if count.isdecimal()), default=1)


def launched_by_cluster(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher that JAX recognises started several processes; a job of one task stays alone.

    Source: the environment variables that jax.distributed reads (jax 0.12: jax/_src/clusters).
    """
    in_step = "SLURM_PROCID" in environment or "OMPI_COMM_WORLD_RANK" in environment
    if in_step and any(count.isdecimal() and int(count) > 1 for count in _tasks(environment)):
        return True
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return True
    return "," in environment.get("TPU_WORKER_HOSTNAMES", "") or "MEGASCALE_COORDINATOR_ADDRESS" in environment


def _tasks(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What the launchers say how many processes they started, 1 where one says nothing."""
    return tuple(environment.get(name, "1") for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))
