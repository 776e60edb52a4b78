"""A job -> processes on this machine that train as one, and how they end: all of them, whatever happens.

Each writes to a log of its own; what the first one says is shown as it comes, for the others say nothing until they
fail. Ctrl-C and SIGTERM are handed on to all of them, which save at the same step and end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from moec.cli.command import INTERRUPTED, OK, TERMINATED, Failure
from moec.cli.launching.log import Log
from moec.cli.program import PYTHON, SIGNALLED, environment_of_programs

if TYPE_CHECKING:
    from moec.cli.launching.job import Job
    from moec.compiler.typed import MeshSpec

POLL_SECONDS = 0.05
STOP_GRACE_SECONDS = 60.0  # all stop at the same step, and end within moments of each other
CRASH_GRACE_SECONDS = 5.0  # a run cannot go on without one of its processes
LAST_LINES = 20
HANDED_ON = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}
PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h


@dataclass(frozen=True, slots=True)
class Command:
    """What one process is started with; `environment` comes on top of this one."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the run, in a session of its own: the terminal's Ctrl-C does not reach it by itself."""

    index: int
    child: subprocess.Popen[bytes]
    log: Log

    def status(self) -> int | None:
        """None while it runs; 128 + the signal's number where one ended it, as in a shell."""
        code = self.child.poll()
        return code if code is None or code >= 0 else SIGNALLED - code

    def kill(self) -> None:
        """Ends it and what it started, at once; returns when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def commands(job: Job, count: int, port: int) -> tuple[Command, ...]:
    """What to start: `count` processes that meet at `port`. Failure: the devices cannot be divided among them."""
    devices = _devices_per_process(job.mesh, count)
    meeting = ("--coordinator", f"127.0.0.1:{port}", "--processes", str(count))
    return tuple(
        Command(
            (*PYTHON, str(job.program), *job.arguments, *meeting, "--process", str(index)),
            _visible(job.mesh, range(index * devices, (index + 1) * devices)),
            job.logs / f"process-{index}.log",
        )
        for index in range(count)
    )


def described(command: Command) -> str:
    """The command line as a shell would take it, without the log."""
    variables = " ".join(f"{name}={value}" for name, value in command.environment.items())
    return f"{variables} {shlex.join(command.arguments)}".lstrip()


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train_together(parts: tuple[Command, ...]) -> int:
    """Starts the processes and gives the exit status of the first that failed, 0 where none did.

    Returns when all have ended: when one fails, the others get some time to end by themselves.
    """
    members: list[Member] = []
    with _handing_on(members) as stop:
        try:
            for index, part in enumerate(parts):
                members.append(_start(index, part))
                if stop.number is not None:
                    return SIGNALLED + stop.number
            return _watch(members)
        finally:
            for member in members:
                member.kill()
                member.log.close()


def _devices_per_process(mesh: MeshSpec, count: int) -> int:
    if mesh.hardware.platform == "tpu":
        raise Failure(
            f"the mesh `{mesh.name}` is of {mesh.hardware.name}: one process drives all chips of a TPU machine; "
            "take `moec run` on one machine, and --on kubernetes for several"
        )
    if mesh.devices % count:
        counts = ", ".join(str(number) for number in range(1, mesh.devices + 1) if mesh.devices % number == 0)
        raise Failure(
            f"{count} processes cannot share the {mesh.devices} x {mesh.hardware.name} of the mesh `{mesh.name}`; "
            f"local:N can be {counts}, or give the mesh a multiple of {count}"
        )
    return mesh.devices // count


def _visible(mesh: MeshSpec, devices: range) -> dict[str, str]:
    """The variables that give a process its own GPUs; CPU devices are virtual, and the program divides them itself."""
    if mesh.hardware.platform != "gpu":
        return {}
    name = "JAX_ROCM_VISIBLE_DEVICES" if mesh.hardware.name == "mi300x" else "JAX_CUDA_VISIBLE_DEVICES"
    return {name: ",".join(map(str, devices))}


def _start(index: int, command: Command) -> Member:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    log = Log(command.log)
    with command.log.open("ab") as file:
        child = subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**environment_of_programs(), **command.environment},
            start_new_session=True,
            preexec_fn=_dies_with_its_parent(),
        )
    return Member(index, child, log)


def _dies_with_its_parent() -> Callable[[], None] | None:
    """What a child does first, on Linux: it has the kernel kill it when this process ends, even by SIGKILL."""
    if sys.platform != "linux":
        return None
    parent, set_option = os.getpid(), ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        set_option(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(SIGNALLED + signal.SIGKILL)

    return ask_kernel


def _watch(members: list[Member]) -> int:
    """Shows the first log until all have ended, or until those that outlive a failure have had their time."""
    failed: tuple[Member, int] | None = None
    deadline = float("inf")
    while time.monotonic() < deadline:
        statuses = [(member, member.status()) for member in members]
        members[0].log.show_new()
        if failed is None:
            failed = next(((member, status) for member, status in statuses if status), None)
            deadline = deadline if failed is None else time.monotonic() + _grace_seconds(failed[1])
        if all(status is not None for _, status in statuses):
            break
        time.sleep(POLL_SECONDS)
    if failed is None:
        return OK
    _tell(*failed)
    return failed[1]


def _grace_seconds(status: int) -> float:
    return STOP_GRACE_SECONDS if status in (INTERRUPTED, TERMINATED) else CRASH_GRACE_SECONDS


def _tell(member: Member, status: int) -> None:
    """What the process that failed said last, where it has not been shown."""
    if status in (INTERRUPTED, TERMINATED):
        return
    print(f"process {member.index} ended with exit code {status}; its log is {member.log.path}", file=sys.stderr)
    if member.index > 0:
        for line in member.log.last_lines(LAST_LINES):
            print(f"[{member.index}] {line}", file=sys.stderr)


class Stop:
    """Which signal asked the run to stop, None while none did."""

    def __init__(self) -> None:
        self.number: int | None = None


@contextlib.contextmanager
def _handing_on(members: list[Member]) -> Iterator[Stop]:
    """Inside, every request to stop reaches all members; a terminal that goes away asks as SIGTERM does."""
    stop = Stop()

    def hand_on(number: int, frame: FrameType | None) -> None:
        stop.number = HANDED_ON[signal.Signals(number)]
        for member in members:
            member.child.send_signal(stop.number)

    earlier = {number: signal.signal(number, hand_on) for number in HANDED_ON}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
