"""What benchmarks/gpu.py measures, a task for each process, and how a task is run. Needs the standard library alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TURN = "GPU_BENCHMARK_TURN"
"""As in gpu_workers/answers.py, which is told by it whose turn it is."""

WORK = "work.json"
"""Beside the programs: what is known of them where the compiler is not."""

FOLDER = Path(__file__).parent
GROUPS = ("kernels", "dense", "coarse", "fine", "torch")
OPERATIONS = {
    "matmuls": ("product", "gradient to rows", "gradient to weights"),
    "attention": ("forward", "forward and gradients"),
    "norms": ("norm", "sum and norm", "gradients"),
}
ROOFLINE = {"gpu": {"side": 8192, "copied": 2**30}, "cpu": {"side": 256, "copied": 2**16}}
"""The size of a product of square matrices, and how many numbers are copied."""

SECONDS = {"gpu": {"kernels": 1.5, "steps": 8.0}, "cpu": {"kernels": 0.05, "steps": 0.2}}
"""Of timing: of one load or kind of documents, and of a program's steps."""

ERROR = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt)\b")
MESSAGE = 300
"""Characters of a message that are kept."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one process measures: `wanted` is its worker's argument, `rows` the names of the rows that it shall tell.

    `table` is that of the results in which the rows stand, below `subject`; `facts` go into each of them.
    """

    group: str
    table: str
    subject: str
    worker: str
    wanted: dict[str, Any]
    rows: tuple[str, ...]
    facts: dict[str, Any]


def group_of(run: str) -> str:
    """dense, coarse or fine: a run's name begins with it."""
    return run.partition("_")[0]


def read_work(folder: Path) -> dict[str, Any]:
    """Errors: SystemExit where `folder` has none."""
    path = folder / WORK
    if not path.is_file():
        raise SystemExit(f"{folder} has no {WORK}: write the programs with --emit {folder}")
    work: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return work


def tasks_of(work: dict[str, Any], folder: Path) -> list[Task]:
    """All tasks, in the order in which they are run."""
    seconds = SECONDS[work["chip"]["platform"]]
    wanted = ROOFLINE[work["chip"]["platform"]] | {"seconds": seconds["kernels"]}
    tasks = [
        Task(
            "kernels",
            "roofline",
            "the device",
            "roofline_worker",
            wanted,
            ("product", "product without a pause", "copy"),
            {},
        )
    ]
    for entry in work["matmuls"]:
        rows = tuple(f"{loads}, {operation}" for loads in entry["loads"] for operation in OPERATIONS["matmuls"])
        wanted = entry | {"seconds": seconds["kernels"]}
        subject = f"{entry['name']} {entry['kernel']}"
        tasks.append(Task("kernels", "matmuls", subject, "matmul_worker", wanted, rows, {}))
    for entry in work["norms"]:
        wanted = entry | {"seconds": seconds["kernels"]}
        subject = f"{entry['rows']:,} rows of {entry['width']:,}"
        tasks.append(Task("kernels", "norms", subject, "norm_worker", wanted, OPERATIONS["norms"], {}))
    for entry in work["attention"]:
        rows = tuple(f"{kind}, {operation}" for kind in entry["documents"] for operation in OPERATIONS["attention"])
        wanted = entry | {"seconds": seconds["kernels"]}
        tasks.append(Task("kernels", "attention", entry["kernel"], "attention_worker", wanted, rows, {}))
    for entry in work["programs"]:
        wanted = entry | {"program": str(folder / entry["program"]), "seconds": seconds["steps"]}
        rows, name = tuple(entry["routings"]), entry["name"]
        tasks.append(Task(group_of(name), "steps", name, "step_worker", wanted, rows, entry))
    for entry in work["torch"]:
        subject = f"{entry['name']} {entry['implementation']}" if entry["work"]["n_experts"] else entry["name"]
        wanted = entry | {"seconds": seconds["steps"]}
        tasks.append(Task("torch", "torch", subject, "torch_worker", wanted, ("random",), entry))
    return tasks


class Running:
    """The process of a task. It prepares what needs no device, waits for its turn at the device, and measures."""

    def __init__(self, task: Task, environment: dict[str, str]) -> None:
        self.task = task
        command = (sys.executable, str(FOLDER / "gpu_workers" / f"{task.worker}.py"), json.dumps(task.wanted))
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115, `end` closes it
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)

    def rows(self, limit: float) -> Iterator[dict[str, Any]]:
        """The rows as the process tells them; those that it did not tell when it ended, or was killed after `limit`
        seconds, failed."""
        untold, late = list(self.task.rows), threading.Event()

        def stop() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(limit, stop)
        timer.start()
        try:
            for line in self.process.stdout:
                row = json.loads(line)
                untold.remove(row["row"])
                yield row
            status = self.process.wait()
            self.log.seek(0)
            reason = f"killed after {limit:.0f} s" if late.is_set() else reason_of(status, self.log.read())
        finally:
            timer.cancel()
            self.end()
        for name in untold:
            yield {"row": name, "failed": reason}

    def end(self) -> None:
        """Ends the process, if it is still there."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def reason_of(status: int, said: str) -> str:
    """Why a process ended: its last exception, with the line that raised it if it says nothing, else its last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if ERROR.match(line)]
    if errors:
        first = errors[-1] if ":" in lines[errors[-1]] else max(0, errors[-1] - 1)
        lines = [" ".join(lines[first:])]
    return f"status {status}: {' '.join((lines or [''])[-1].split())}"[:MESSAGE]


def environment_of(platform: str, links: Path, cache: Path) -> dict[str, str]:
    """The environment of the workers: moec.runtime of this checkout and nothing else of moec, which `links` gets a
    link to, and the file by which they take turns; JAX on this platform alone, with compiled programs kept in `cache`
    and no memory taken before it is needed."""
    (links / "moec").mkdir()
    (links / "moec" / "runtime").symlink_to(FOLDER.parent / "runtime", target_is_directory=True)
    paths = [str(links), *filter(None, (os.environ.get("PYTHONPATH"),))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu" if platform == "cpu" else "cuda",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "JAX_TRACEBACK_FILTERING": "off",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        TURN: str(links / "turn"),
    }
