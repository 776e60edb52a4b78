"""Executing a program: its exit status, and which signals it gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moec.cli.program import execute

COUNTS_SIGNALS = """\
import pathlib, signal, sys, time
got = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: got.append(number))
pathlib.Path(sys.argv[1]).write_text("ready")
end = time.monotonic() + 20
while not got and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(40 + len(got))
"""

ENDED_AT_ONCE = """\
import os, pathlib, signal, subprocess, sys, time
from moec.cli.program import execute
start, ready = subprocess.Popen, pathlib.Path(sys.argv[2])
def start_and_end(*command, **options):
    child = start(*command, **options)
    while not ready.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    return child
subprocess.Popen = start_and_end
sys.exit(execute(pathlib.Path(sys.argv[1]), (sys.argv[2],)))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


@pytest.mark.parametrize(("code", "status"), [("", 0), ("import sys; sys.exit(3)", 3), ("1 / 0", 1)])
def test_the_exit_status_is_the_program_s(script: Path, code: str, status: int) -> None:
    script.write_text(code, encoding="utf-8")
    assert execute(script, ()) == status


def test_a_program_that_a_signal_ends_gives_what_a_shell_would(script: Path) -> None:
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", encoding="utf-8")
    assert execute(script, ()) == 128 + signal.SIGKILL


def test_arguments_reach_the_program(script: Path) -> None:
    script.write_text("import sys; sys.exit(0 if sys.argv[1:] == ['train', '--steps', '3'] else 1)", encoding="utf-8")
    assert execute(script, ("train", "--steps", "3")) == 0


def test_the_handlers_are_put_back(script: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    script.write_text("", encoding="utf-8")
    execute(script, ())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_signal_reaches_the_program_once(script: Path, tmp_path: Path, number: int, whole_group: bool) -> None:
    script.write_text(COUNTS_SIGNALS, encoding="utf-8")
    ready = tmp_path / "ready"
    parent = subprocess.Popen(
        (
            sys.executable,
            "-c",
            "import pathlib, sys; from moec.cli.program import execute; "
            "sys.exit(execute(pathlib.Path(sys.argv[1]), (sys.argv[2],)))",
            str(script),
            str(ready),
        ),
        process_group=0,
    )
    while not ready.exists():
        assert parent.poll() is None
        time.sleep(0.01)
    if whole_group:
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    assert parent.wait(timeout=30) == 41


def test_a_signal_that_comes_while_the_program_starts_reaches_it(script: Path, tmp_path: Path) -> None:
    script.write_text(COUNTS_SIGNALS, encoding="utf-8")
    command = (sys.executable, "-c", ENDED_AT_ONCE, str(script), str(tmp_path / "ready"))
    assert subprocess.run(command, check=False, timeout=40).returncode == 41


def test_nothing_that_lies_beside_the_program_is_imported(script: Path) -> None:
    for name in ("jax", "json", "sitecustomize", "usercustomize"):
        script.with_name(f"{name}.py").write_text("raise SystemExit(66)", encoding="utf-8")
    script.write_text("import json, sys; sys.exit(0 if json.dumps(1) == '1' else 1)", encoding="utf-8")
    assert execute(script, ()) == 0
