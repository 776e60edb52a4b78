"""What huge pages change in a training step on CPU: the quickstart's two programs, with and without, by turns.

    python benchmarks/huge_pages.py [--rounds 3] [--steps 30]

Prints Markdown: median step time, and page faults and CPU seconds of the kernel for the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SPEC = Path(__file__).parents[1] / "examples" / "quickstart.moe"
WAYS = {"4 KiB pages": "glibc.malloc.hugetlb=0", "huge pages": "glibc.malloc.hugetlb=1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=30, help="of a round; the first five do not count")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run((sys.executable, "-m", "moec.cli.main", "compile", str(SPEC), "-o", folder), check=True)
        programs = sorted(Path(folder).rglob("program.py"))
        print("| program | pages | step, median ms | page faults | kernel's CPU s |\n|---|---|---:|---:|---:|")
        for program in programs:
            measured = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way, tunable in WAYS.items():
                    measured[way].append(measure(program, options.steps, tunable))
            for way, rounds in measured.items():
                step, faults, system = (statistics.median(column) for column in zip(*rounds, strict=True))
                print(
                    f"| {program.parent.name} | {way} | {1000 * step:.0f} | {faults:,.0f} | {system:.1f} |", flush=True
                )


def measure(program: Path, steps: int, tunable: str) -> tuple[float, int, float]:
    """Median seconds of a step, page faults, and seconds of CPU time in the kernel."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            (sys.executable, str(program), "train", "--steps", str(steps), "--out", out),
            env={**os.environ, "GLIBC_TUNABLES": tunable},
            check=True,
            capture_output=True,
        )
        lines = (Path(out) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = [row["step_seconds"] for row in map(json.loads, lines) if row.get("step_seconds")]
    return statistics.median(seconds[5:]), after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
