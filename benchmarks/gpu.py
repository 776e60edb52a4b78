"""Kernels and training steps on one GPU: seconds, share of the chip's FLOP/s, memory, beside what the plans say.

    python benchmarks/gpu.py --emit DIR         write the programs; needs the compiler and no GPU
    python benchmarks/gpu.py --programs DIR     measure them; needs jax, flax, optax and orbax, and no compiler
    python benchmarks/gpu.py                    both, where the compiler is, too
    python benchmarks/gpu.py --hardware h200    planned for another chip of the catalogue than the H100
    python benchmarks/gpu.py --tiny             the same with tiny models on a CPU, which tries the command alone

Every program and kernel has a process of its own: one that crashes, runs out of memory or gives wrong numbers is a row
that says so. `--results FILE` is written again after every row, with the rows themselves as JSON lines beside it
(its name with .jsonl); so whatever ends the run, nothing that was measured is lost. torch is left out where it sees no
GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from gpu_report import document, spread
from gpu_tasks import GROUPS, Running, Task, environment_of, read_work, tasks_of

FOLDER = Path(__file__).parent
SPEC, TINY = FOLDER / "specs" / "gpu.moe", FOLDER / "specs" / "gpu_tiny.moe"
CACHE = FOLDER.parent / "runs" / "gpu-cache"
SECONDS = 900.0
TASK_SECONDS = 180.0
"""A process that takes longer is killed: a kernel that hangs must not take the others' time."""

LEAST_SECONDS = 2.0
"""With less time left no process is started."""

Row = dict[str, Any]


def main() -> None:
    options = arguments()
    spec = TINY if options.tiny else SPEC
    if options.emit:
        write_programs(spec, options.emit, options.hardware)
        print(f"wrote the programs of {spec.name} to {options.emit}")
        return
    with ExitStack() as stack:
        folder = options.programs
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_programs(spec, folder, options.hardware)
        links = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measure(folder.resolve(), links, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emit", type=Path, metavar="DIR", help="write the programs there and measure nothing")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="what --emit wrote (default: emitted now)")
    parser.add_argument("--hardware", metavar="NAME", help="the chip, in place of what the spec names")
    parser.add_argument("--tiny", action="store_true", help="tiny models for a CPU")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="PART", help=", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, default=2, help="times that programs are timed (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all (default: %(default).0f)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the Markdown there")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="for compiled programs")
    return parser.parse_args()


def write_programs(spec: Path, folder: Path, hardware: str | None = None) -> None:
    """Errors: SystemExit where the compiler is missing."""
    try:
        from gpu_emission import emit
    except ImportError as error:
        raise SystemExit(f"no compiler here ({error}): write the programs elsewhere with --emit DIR") from error
    folder.mkdir(parents=True, exist_ok=True)
    emit(spec, folder, hardware)


class Found:
    """The rows so far, told and written as they come."""

    def __init__(self, work: Row, results: Path | None) -> None:
        self.work, self.results = work, results
        if results:
            results.parent.mkdir(parents=True, exist_ok=True)
        self.rows: dict[tuple[str, str, str], Row] = {}

    def add(self, task: Task, row: Row) -> None:
        """A row that is there already gets the new repetitions; one that failed now but not before stays."""
        key = task.table, task.subject, row["row"]
        whole = {"table": task.table, "subject": task.subject, **task.facts, **row}
        before = self.rows.get(key)
        print(f"{' '.join(key)}: {in_short(whole)}", file=sys.stderr, flush=True)
        if before and "seconds" in before:
            if "seconds" not in whole:
                return
            whole["seconds"] = before["seconds"] + whole["seconds"]
        self.rows[key] = whole
        if self.results:
            self.results.write_text(self.page(), encoding="utf-8")
            lines = "".join(json.dumps(row) + "\n" for row in self.rows.values())
            self.results.with_suffix(".jsonl").write_text(lines, encoding="utf-8")

    def has(self, task: Task) -> bool:
        """Whether all of the task's rows were measured."""
        return all("seconds" in self.rows.get((task.table, task.subject, name), {}) for name in task.rows)

    def page(self) -> str:
        """The Markdown of all rows."""
        return document(self.work, list(self.rows.values()), heading(self.work, list(self.rows.values())))


def in_short(row: Row) -> str:
    """What a row says, in a line."""
    if "seconds" in row:
        return f"{1e3 * spread(row['seconds']).middle:.2f} ms"
    return f"failed: {row['failed']}" if "failed" in row else f"skipped: {row['skipped']}"


def heading(work: Row, rows: list[Row]) -> str:
    """When, how and on what: devices and versions are those that the rows tell."""
    devices = ", ".join(dict.fromkeys(row["device"] for row in rows if "device" in row)) or "nothing that answered"
    versions = ", ".join(dict.fromkeys(row["version"] for row in rows if "version" in row))
    chip = work["chip"]
    rates = [f"{chip[f'{kind}_flops_per_second'] / 1e12:,.0f} TFLOP/s {kind}" for kind in ("peak", "achievable")]
    known = f"{' and '.join(rates)} in bfloat16" if chip["peak_flops_per_second"] else "no known peak"
    command = " ".join(["python benchmarks/gpu.py", *sys.argv[1:]])
    return (
        f"# Kernels and training steps on {devices}\n\n"
        f"Measured {date.today()} with `{command}`, {versions or 'no version told'}, Python "
        f"{platform.python_version()}.\nPlanned for {chip['name']}, with {known}."
    )


def measure(folder: Path, links: Path, options: argparse.Namespace) -> None:
    """Runs the tasks one after the other; with time left, those programs again that all worked."""
    deadline = time.monotonic() + options.seconds
    work = read_work(folder)
    environment = environment_of(work["chip"]["platform"], links, options.cache.resolve())
    tasks = [task for task in tasks_of(work, folder) if task.group in options.only]
    found = Found(work, options.results)
    took = visit(tasks, environment, deadline, found)
    again = [(task, seconds) for task, seconds in took if task.table == "steps" and found.has(task)]
    for task, seconds in again * (options.rounds - 1):
        if deadline - time.monotonic() > seconds:
            visit([task], environment, deadline, found)
    print(found.page())


def visit(tasks: list[Task], environment: dict[str, str], deadline: float, found: Found) -> list[tuple[Task, float]]:
    """Runs the tasks as long as there is time; gives the seconds that each took. The next starts while one measures,
    and waits for its turn at the device."""
    took: list[tuple[Task, float]] = []
    waiting: Running | None = None
    try:
        for task, following in zip(tasks, [*tasks[1:], None], strict=True):
            began = time.monotonic()
            if deadline - began < LEAST_SECONDS:
                for name in task.rows:
                    found.add(task, {"row": name, "failed": "not measured, the time was up"})
                continue
            current = waiting or Running(task, environment)
            waiting = Running(following, environment) if following else None
            for row in current.rows(min(TASK_SECONDS, deadline - began)):
                found.add(task, row)
            took.append((task, time.monotonic() - began))
    finally:
        if waiting:
            waiting.end()
    return took


if __name__ == "__main__":
    main()
