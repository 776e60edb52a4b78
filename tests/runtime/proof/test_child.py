"""The compiling process is watched, ended in time, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moec.runtime.failure import RunError
from moec.runtime.proof.child import run_child

WAIT = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
PARENT = """
import sys
from moec.runtime.proof.child import run_child
run_child((sys.executable, "-c", sys.argv[1], sys.argv[2]), "compiling", 60)
"""
ENDED_AT_ONCE = """
import os, pathlib, signal, subprocess, sys, time
from moec.runtime.proof.child import run_child
start = subprocess.Popen
def start_and_end(*command, **options):
    child = start(*command, **options)
    file = pathlib.Path(sys.argv[2])
    while not (file.exists() and file.stat().st_size):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    return child
subprocess.Popen = start_and_end
run_child((sys.executable, "-c", sys.argv[1], sys.argv[2]), "compiling", 60)
"""
OBEDIENT = "from moec.runtime.proof.child import end_when_parent_ends; end_when_parent_ends(); " + WAIT


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def wait_for(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_code_and_output_come_back_and_no_chip_is_looked_for(capfd: pytest.CaptureFixture[str]) -> None:
    script = "import os, sys; print(os.environ['JAX_PLATFORMS']); print('noise', file=sys.stderr); sys.exit(3)"
    ended = run_child((sys.executable, "-c", script), "compiling", 30)
    assert ended.code == 3
    assert sorted(ended.output.split()) == ["cpu", "noise"]
    assert capfd.readouterr() == ("", "")


def test_the_time_limit_ends_the_process_and_says_what_helps(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with pytest.raises(RunError, match="not done after 2 s") as stopped:
        run_child((sys.executable, "-c", WAIT, str(file)), "compiling", 2)
    assert stopped.value.exit_code == 1
    assert not is_running(int(file.read_text()))


@pytest.mark.parametrize("script", [WAIT, OBEDIENT], ids=["interrupted", "killed"])
def test_the_process_ends_with_its_parent(tmp_path: Path, script: str) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen((sys.executable, "-c", PARENT, script, str(file)), stderr=subprocess.DEVNULL)
    assert wait_for(lambda: file.exists() and file.read_text() != "")
    child = int(file.read_text())
    if script == WAIT:
        parent.terminate()
    else:
        parent.kill()
    parent.wait(20)
    assert wait_for(lambda: not is_running(child))


def test_a_parent_that_is_ended_while_the_process_starts_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.run((sys.executable, "-c", ENDED_AT_ONCE, WAIT, str(file)), check=False, timeout=50)
    assert parent.returncode == 128 + signal.SIGTERM
    assert not is_running(int(file.read_text()))
