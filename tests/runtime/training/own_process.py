"""The tiny program in processes of its own, for tests that interrupt them from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM_FILE = Path(__file__).with_name("tiny_program.py")
ONE = "data=1, fsdp=1, expert=1"
EIGHT = "data=2, fsdp=2, expert=2"
TIMEOUT_SECONDS = 300.0
TIME_FIELDS = ("seconds", "step_seconds", "tokens_per_second")


def written_program(folder: Path, text_folder: Path, axes: str = ONE, **changes: str) -> Path:
    """The tiny program on a mesh, in a folder with its text; `every_steps=2` there may be changed, for instance."""
    folder.mkdir(exist_ok=True)
    (folder / "text").symlink_to(text_folder / "text")
    content = PROGRAM_FILE.read_text().replace(ONE, axes)
    for old, new in changes.items():
        assert old in content
        content = content.replace(old, new)
    path = folder / "program.py"
    path.write_text(content)
    return path


def start(program: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python program.py train …` in the program's folder, without the devices that this process asked for.

    What XLA compiles is kept beside the folder, for the next start; as in the tests of this folder that start no
    process, it is compiled in haste, unless the environment says otherwise.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(program.parent.parent / "xla")
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    return subprocess.Popen(
        [sys.executable, str(program), "train", *arguments],
        cwd=program.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What the process said; it must have ended with this exit code."""
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == code, said
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def start_together(count: int, program: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    """`count` processes that train as one."""
    meeting = ("--coordinator", f"localhost:{free_port()}", "--processes", str(count))
    return [start(program, *arguments, *meeting, "--process", str(index)) for index in range(count)]


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl, without what the clock wrote into them."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{key: value for key, value in record.items() if key not in TIME_FIELDS} for record in records]


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in recorded(folder)]


def wait_for_step(folder: Path, step: int) -> None:
    """Returns when `step` is in the metrics file."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if len(recorded(folder)) >= step:
            return
        time.sleep(0.02)
    raise TimeoutError(f"step {step} did not come")
