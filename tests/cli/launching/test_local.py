"""Processes on this machine: who is told what, how they end, and that none of them outlives the others.

The processes here are small scripts in the place of a program.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moec.cli.command import Failure
from moec.cli.launching import local
from moec.cli.launching.local import Command, commands, train_together

TIMEOUT_SECONDS = 30.0
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
"""`moec launch` never loads JAX, which warns of forks; a test before may have, in the same process."""

WAITS = "import os, time; open(f'{os.environ[\"HERE\"]}.pid', 'w').write(str(os.getpid())); time.sleep(600)"
SAVES = """
import os, signal, sys, time
def save(number, frame):
    open(os.environ["HERE"] + ".saved", "a").write(signal.Signals(number).name + "\\n")
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, save)
signal.signal(signal.SIGINT, save)
open(os.environ["HERE"] + ".pid", "w").write(str(os.getpid()))
while True:
    time.sleep(0.05)  # a signal just before one long sleep would go unnoticed
"""
LAUNCHER = """
import sys
from pathlib import Path
from moec.cli.launching.local import Command, train_together
folder, *codes = sys.argv[1:]
parts = tuple(
    Command((sys.executable, "-c", code), {"HERE": f"{folder}/{index}"}, Path(folder, f"{index}.log"))
    for index, code in enumerate(codes)
)
sys.exit(train_together(parts))
"""


def parts(folder: Path, *codes: str) -> tuple[Command, ...]:
    return tuple(
        Command((sys.executable, "-c", code), {"HERE": str(folder / str(index))}, folder / f"{index}.log")
        for index, code in enumerate(codes)
    )


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CRASH_GRACE_SECONDS", 0.3)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher of its own, with two processes that save when they are told to stop."""
    process = subprocess.Popen((sys.executable, "-c", LAUNCHER, str(tmp_path), SAVES, SAVES))
    children(tmp_path, 2)
    yield process
    process.kill()
    process.wait()


def children(folder: Path, count: int) -> list[int]:
    """The numbers of the processes, once all have started."""
    wait_until(lambda: len([path for path in folder.glob("*.pid") if path.read_text()]) == count)
    return [int(path.read_text()) for path in folder.glob("*.pid")]


def wait_until(condition) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs(process: int) -> bool:
    """Whether it is there and no zombie, whose parent has not yet asked how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_all_that_end_well_end_well(tmp_path: Path, capfd) -> None:
    assert train_together(parts(tmp_path, "print('step 1')", "print('silence')")) == 0
    assert capfd.readouterr().out == "step 1\n"
    assert (tmp_path / "0.log").read_text() == "step 1\n"
    assert (tmp_path / "1.log").read_text() == "silence\n"


def test_the_first_to_fail_gives_the_status_and_takes_the_others_with_it(tmp_path: Path, capfd) -> None:
    slow_failure = "import time, sys; time.sleep(0.5); print('no space left'); sys.exit(7)"
    assert train_together(parts(tmp_path, WAITS, slow_failure, WAITS)) == 7
    assert not any(runs(process) for process in children(tmp_path, 2))
    said = capfd.readouterr()
    assert "process 1 ended with exit code 7" in said.err
    assert "[1] no space left" in said.err
    assert said.out == ""


def test_a_process_that_is_killed_counts_as_in_a_shell(tmp_path: Path) -> None:
    assert train_together(parts(tmp_path, WAITS, "import os; os.kill(os.getpid(), 9)")) == 128 + 9


def test_what_a_process_started_goes_with_it(tmp_path: Path) -> None:
    starts_another = (
        "import subprocess, sys, os\n"
        f"subprocess.Popen((sys.executable, '-c', {WAITS!r}), env={{**os.environ, 'HERE': os.environ['HERE'] + '0'}})\n"
        f"{WAITS}"
    )
    fails_later = (
        "import os, time, sys\n"
        f"while not os.path.exists({str(tmp_path / '00.pid')!r}): time.sleep(0.02)\n"
        "time.sleep(0.1); sys.exit(1)"
    )
    assert train_together(parts(tmp_path, starts_another, fails_later)) == 1
    wait_until(lambda: not any(runs(process) for process in children(tmp_path, 2)))


def test_a_second_launch_shows_only_what_is_new(tmp_path: Path, capfd) -> None:
    train_together(parts(tmp_path, "print('old')"))
    capfd.readouterr()
    train_together(parts(tmp_path, "print('new')"))
    assert capfd.readouterr().out == "new\n"
    assert (tmp_path / "0.log").read_text() == "old\nnew\n"


@pytest.mark.parametrize(
    ("sent", "received"),
    [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGTERM")],
)
def test_a_request_to_stop_reaches_all_of_them_once(launcher, tmp_path: Path, sent, received: str) -> None:
    launcher.send_signal(sent)
    assert launcher.wait(TIMEOUT_SECONDS) == 128 + signal.Signals[received]
    assert [(tmp_path / f"{index}.saved").read_text() for index in (0, 1)] == [f"{received}\n"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the end of their parent")
def test_a_launcher_that_is_killed_leaves_nothing_behind(launcher, tmp_path: Path) -> None:
    left = children(tmp_path, 2)
    launcher.kill()
    wait_until(lambda: not any(runs(process) for process in left))


def test_a_stop_while_processes_are_being_started_starts_no_more(tmp_path: Path, monkeypatch) -> None:
    start = local._start

    def start_and_stop(index: int, command: Command) -> local.Member:
        member = start(index, command)
        os.kill(os.getpid(), signal.SIGTERM)
        return member

    monkeypatch.setattr(local, "_start", start_and_stop)
    assert train_together(parts(tmp_path, WAITS, WAITS)) == 143
    assert not (tmp_path / "1.log").exists()


def test_devices_are_divided_evenly(make_job) -> None:
    job = make_job("hardware = h100, devices = 8")
    assert [part.environment for part in commands(job, 4, 1234)] == [
        {"JAX_CUDA_VISIBLE_DEVICES": devices} for devices in ("0,1", "2,3", "4,5", "6,7")
    ]
    cpu = commands(make_job("hardware = cpu, devices = 8"), 2, 1234)
    assert [dict(part.environment) for part in cpu] == [{}, {}]
    meeting = ("--coordinator", "127.0.0.1:1234", "--processes", "2", "--process", "1")
    assert cpu[1].arguments[-6:] == meeting
    assert cpu[1].log == job.folder / "logs" / "process-1.log"


def test_devices_that_cannot_be_divided_are_refused_with_what_can(make_job) -> None:
    with pytest.raises(Failure, match=r"local:N can be 1, 2, 4, 8"):
        commands(make_job("hardware = cpu, devices = 8"), 3, 1234)


def test_a_machine_of_tpus_is_one_process(make_job) -> None:
    with pytest.raises(Failure, match="take `moec run` on one machine"):
        commands(make_job("hardware = tpu_v6e, topology = 2x4"), 2, 1234)


def test_how_a_run_is_resumed_is_the_jobs(make_job) -> None:
    job = replace(make_job("hardware = cpu, devices = 2"), resume="must")
    assert "train --resume must --steps 100" in local.described(commands(job, 2, 1234)[0])
