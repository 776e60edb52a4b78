"""A run that is killed again and again: whether it still is the run that was left alone, and its memory stays flat.

    python benchmarks/soak.py                 an hour of lives, then the same steps in one piece
    python benchmarks/soak.py --minutes 5 --results benchmarks/results/DATE-soak.md

Each life of the run of benchmarks/specs/soak.moe ends by SIGKILL at a random moment, by SIGKILL in the middle of a
save, by SIGTERM, or by SIGKILL and a flipped bit in the newest checkpoint. The last life goes to its end. Then the same
steps are trained in one piece, which takes about as long again. Exit code 0: the metrics of both are equal but for the
clock, and the memory of neither grew; 1: not, and the document says what.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import plans
from resident import resident
from run_records import METRICS, records, resumed_step, saves_under_way, without_times

FOLDER = Path(__file__).parent
SPEC = FOLDER / "specs" / "soak.moe"
WAYS = ("killed", "killed in a save", "asked to stop", "killed and damaged")
LONGEST_LIFE_SECONDS = 20.0
SAMPLE_SECONDS = 0.25
MOST_GROWTH = 1.05
"""Assumption: what is not collected at once stays below a twentieth."""

LEAK_BYTES_PER_SAVE = 80_000
"""What orbax and tensorstore keep of each save of this model, and no run can get back. Source: docs/log.md."""


@dataclass(slots=True)
class Life:
    """One process from its start to its end: its resident bytes while it took steps, the step that it resumed from, the
    steps done then."""

    way: str
    seconds: float = 0.0
    resumed: int = 0
    reached: int = 0
    status: int = 0
    said: str = ""
    resident_bytes: list[int] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=60.0, metavar="N", help="of lives that end early (default: 60)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: 0)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="also write the document there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moec-soak-") as folder:
        text, is_good = soak(Path(folder), 60 * options.minutes, random.Random(options.seed))
    print(text, end="")
    if options.results is not None:
        options.results.write_text(text, encoding="utf-8")
    return 0 if is_good else 1


def soak(folder: Path, seconds: float, draw: random.Random) -> tuple[str, bool]:
    """The document of a soak in `folder`, and whether everything held."""
    plan = plans.plans_of(SPEC)["soak"]
    killed, quiet = (plans.write_program(plan, folder / name) for name in ("killed", "quiet"))
    lives, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        lives.append(live(killed, draw.choice(WAYS), draw))
    steps = len(records(killed.parent)) + 20
    lives.append(live(killed, "to its end", draw, steps))
    whole = live(quiet, "in one piece", draw, steps)
    found, expected = (without_times(records(program.parent)) for program in (killed, quiet))
    saves = steps // plan.run.checkpoint.every_steps
    faults = (
        *faults_of(lives, whole, saves),
        *([] if found == expected else ["the metrics differ from those of the whole run"]),
    )
    return document(lives, whole, steps, saves, faults), not faults


def live(program: Path, way: str, draw: random.Random, steps: int = 10**6) -> Life:
    """Starts the program, lets it take steps, and ends it as `way` says."""
    life, folder = Life(way), program.parent
    before = len(records(folder))
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = start(program, steps, output)
        ends_at = None if steps < 10**6 else draw.uniform(1.0, LONGEST_LIFE_SECONDS)
        _watch(process, life, folder, before, ends_at)
        life.status = process.wait()
        output.seek(0)
        life.said = output.read()
    life.seconds, life.reached = time.monotonic() - began, len(records(folder))
    life.resumed = resumed_step(life.said)
    if way == "killed and damaged":
        flip_a_bit(folder, draw)
    return life


def start(program: Path, steps: int, output: object) -> subprocess.Popen[str]:
    """`python program.py train`, with a compile cache beside the folders, so that lives begin soon."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(program.parent.parent / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }
    command = (sys.executable, str(program), "train", "--steps", str(steps))
    return subprocess.Popen(command, env={**os.environ, **cache}, stdout=output, stderr=subprocess.STDOUT, text=True)


def _watch(process: subprocess.Popen[str], life: Life, folder: Path, before: int, ends_at: float | None) -> None:
    """Notes the memory from the first new step to the last, and ends the process so many seconds after the first.

    The evaluation at the end is left out: it compiles a program of its own, which says nothing about growth.
    """
    first_step_at, size, since_last_step = None, 0, []
    while process.poll() is None:
        time.sleep(SAMPLE_SECONDS)
        if first_step_at is None and len(records(folder)) in (0, before):
            continue
        first_step_at = first_step_at or time.monotonic()
        if held := resident(process.pid):
            since_last_step.append(held)
        size_before, size = size, (folder / METRICS).stat().st_size
        if size != size_before:
            life.resident_bytes += since_last_step
            since_last_step.clear()
        if ends_at is not None and time.monotonic() - first_step_at > ends_at:
            _end(process, life.way, folder)
            return


def _end(process: subprocess.Popen[str], way: str, folder: Path) -> None:
    if way == "asked to stop":
        process.send_signal(signal.SIGTERM)
        return
    deadline = time.monotonic() + 5.0
    while way == "killed in a save" and time.monotonic() < deadline and not saves_under_way(folder):
        pass  # a save takes some hundredths of a second
    process.kill()


def flip_a_bit(folder: Path, draw: random.Random) -> None:
    """One bit of the largest file of the newest checkpoint, if there is one."""
    steps = sorted(
        (path for path in (folder / "checkpoints").glob("*") if path.name.isdecimal()), key=lambda p: int(p.name)
    )
    files = [path for path in steps[-1].rglob("*") if path.is_file()] if len(steps) > 1 else []
    if files:
        largest = max(files, key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        largest.write_bytes(content)


def growth(samples: list[int], leaked_bytes: float = 0) -> float:
    """The mean of the last fifth over that of the second, without what was leaked in the three fifths from one to the
    other; `leaked_bytes` is that of all five."""
    fifth = len(samples) // 5
    if not fifth:
        return 1.0
    return (statistics.fmean(samples[-fifth:]) - 0.6 * leaked_bytes) / statistics.fmean(samples[fifth : 2 * fifth])


def faults_of(lives: list[Life], whole: Life, saves: int) -> tuple[str, ...]:
    """What did not hold, in words; `saves` is how often the run in one piece has saved."""
    grown = growth(whole.resident_bytes, saves * LEAK_BYTES_PER_SAVE)
    expected = {"asked to stop": (143,), "to its end": (0,), "in one piece": (0,)}
    return (
        *(
            f"a life that was {life.way} ended with {life.status}: {life.said[-300:]}"
            for life in (*lives, whole)
            if life.status not in expected.get(life.way, (-signal.SIGKILL,))
        ),
        *(
            f"a life began at step {life.resumed} although {before.reached} were done"
            for before, life in itertools.pairwise(lives)
            if life.resumed < before.reached - 100
        ),
        *([f"memory grew to {grown:.2f} of what it was"] * (grown > MOST_GROWTH)),
        *([f"from life to life memory grew to {_over_lives(lives):.2f}"] * (_over_lives(lives) > MOST_GROWTH)),
    )


def _over_lives(lives: list[Life]) -> float:
    """The memory at the end of the last third of the lives over that of the first third."""
    ends = [life.resident_bytes[-1] for life in lives if life.resident_bytes]
    third = len(ends) // 3
    return statistics.median(ends[-third:]) / statistics.median(ends[:third]) if third else 1.0


def document(lives: list[Life], whole: Life, steps: int, saves: int, faults: tuple[str, ...]) -> str:
    """What was seen, as Markdown."""
    damaged = sum("is damaged" in life.said for life in lives)
    grown, leak = growth(whole.resident_bytes), saves * LEAK_BYTES_PER_SAVE
    lines = [
        "# A run that is killed again and again",
        "",
        f"`python benchmarks/soak.py`, {datetime.date.today()}, {os.cpu_count()} cores ({platform.machine()}), not",
        f"alone on them. {len(lives)} lives of one run of {steps:,} steps; then the same steps in one piece.",
        "",
        *([f"**{fault}**" for fault in faults] or ["Everything held: equal metrics but for the clock, flat memory."]),
        "",
        "| life ended | lives | seconds in all | steps lost, most | MB at the last step, median | most |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(way, lives) for way in (*WAYS, "to its end") if any(life.way == way for life in lives)),
        _row("in one piece", [whole]),
        "",
        f"- Damaged checkpoints that were found and put aside: {damaged}.",
        f"- Memory from life to life, last third over first: {_over_lives(lives):.3f}.",
        f"- Memory in the run in one piece, last fifth over second, {len(whole.resident_bytes):,} samples: "
        f"{grown:.3f}, and {growth(whole.resident_bytes, leak):.3f} without the",
        f"  {LEAK_BYTES_PER_SAVE // 1000} kB that orbax and tensorstore keep of each of {saves:,} saves.",
    ]
    return "\n".join(lines) + "\n"


def _row(way: str, lives: list[Life]) -> str:
    chosen = [number for number, life in enumerate(lives) if life.way == way]
    lost = [lives[n].reached - lives[n + 1].resumed for n in chosen if n + 1 < len(lives)]
    ends = [lives[n].resident_bytes[-1] / 10**6 for n in chosen if lives[n].resident_bytes]
    memory = (f"{statistics.median(ends):,.0f}", f"{max(ends):,.0f}") if ends else ("–", "–")
    seconds = sum(lives[n].seconds for n in chosen)
    return f"| {way} | {len(chosen)} | {seconds:,.0f} | {max(lost) if lost else '–'} | {memory[0]} | {memory[1]} |"


if __name__ == "__main__":
    sys.exit(main())
