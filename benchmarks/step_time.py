"""Predicted against measured seconds of a training step on this machine, dense and with experts.

    python benchmarks/step_time.py --calibrate my_cpu.yaml     fit the rates of this machine, then judge them
    python benchmarks/step_time.py --hardware my_cpu.yaml      judge rates that were fitted before

The runs of benchmarks/specs/step_time.moe are timed one after the other, each in a process of its own as a user's
would be (the buffers of twenty programs in one process slow each other down), and then all of them once more; the least
time of each is what it costs. Runs called fit_… set the rates, those called held_… judge them.
`--results FILE` also writes the table as Markdown. A spec uses the rates with `mesh { hardware = "my_cpu.yaml" }`.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import calibrate
import jax
import plans
from timed_runs import take_turns, timed_step

from moec.compiler.plan import Plan
from moec.runtime.huge_pages import start_with_huge_pages
from moec.spec.hardware import Calibration, Hardware
from moec.spec.hardware.catalogue import hardware, parse_hardware

SPEC = Path(__file__).parent / "specs" / "step_time.moe"
GOAL_MEAN = 0.10
TURNS = 2


@dataclass(frozen=True, slots=True)
class Judged:
    """One run: seconds by the plan and by the clock."""

    name: str
    plan: Plan
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def main() -> None:
    arguments = _arguments()
    start_with_huge_pages("cpu")  # as programs do: without them a step takes half as long again
    if arguments.alone:
        print(least_seconds(arguments.alone, arguments.seconds))
        return
    chip = hardware("cpu")
    if arguments.hardware:
        read = parse_hardware(Path(arguments.hardware).read_text(encoding="utf-8"))
        if not isinstance(read, Hardware):
            raise SystemExit(f"{arguments.hardware}: {read}")
        chip = read
    measured = measure(arguments.seconds, arguments.only)
    if arguments.calibrate:
        chip = calibrated(chip, measured, Path(arguments.calibrate))
    table = report(chip, measured)
    print(table)
    if arguments.results:
        Path(arguments.results).write_text(heading() + table + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--alone", metavar="RUN", help="print the least seconds of a step of this run, and nothing else")
    which.add_argument("--calibrate", metavar="FILE", help="fit the rates and write them to FILE")
    which.add_argument("--hardware", metavar="FILE", help="judge the rates in FILE")
    parser.add_argument("--seconds", type=float, default=90.0, help="of timing, all runs together (default: 90)")
    parser.add_argument("--only", default="", metavar="PREFIX", help="runs whose names begin so (default: all)")
    parser.add_argument("--results", metavar="FILE", help="write the table as Markdown, too")
    return parser.parse_args()


def measure(seconds: float, only: str) -> dict[str, float]:
    """Seconds of a step of each run, by its name; `seconds` are those of timing, all together."""
    names = [name for name in plans.plans_of(SPEC) if name.startswith(only)]
    found: dict[str, float] = {name: float("inf") for name in names}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
        for turn in range(TURNS):
            for name in names:
                share = seconds / TURNS / len(names)
                command = (sys.executable, __file__, "--alone", name, "--seconds", str(share))
                ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
                found[name] = min(found[name], float(ended.stdout))
                print(f"turn {turn + 1}: {name} {1e3 * found[name]:.1f} ms", file=sys.stderr, flush=True)
    return found


def least_seconds(name: str, seconds: float) -> float:
    """Of a step of one run, in this process."""
    plan = plans.plans_of(SPEC)[name]
    with tempfile.TemporaryDirectory() as folder:
        timed = timed_step(plans.program_of(plan, Path(folder)), plan.run.model.vocab_size)
        timed.run()
        take_turns({name: timed}, seconds)
    return timed.least


def calibrated(chip: Hardware, measured: dict[str, float], file: Path) -> Hardware:
    """The machine with the rates that the fit_… runs give, which are also written to `file`."""
    plain = calibrate.measure_plain_rates()
    unit = plans.plans_of(SPEC, replace(chip, calibration=calibrate.UNIT))
    steps = {name: (unit[name], seconds) for name, seconds in measured.items() if name.startswith("fit_")}
    made_by = f"python benchmarks/step_time.py --calibrate, jax {jax.__version__}, {os.cpu_count()} cores"
    try:
        rates: Calibration = calibrate.fit(steps, plain, made_by)
    except ValueError as error:
        raise SystemExit(f"not calibrated: {error}") from error
    held = [row for row in judge(replace(chip, calibration=rates), measured) if row.name.startswith("held_")]
    if held:
        error = f"{100 * mean_error(held):.1f} % mean error of a step over {len(held)} runs that were held out"
        rates = replace(rates, error=error)
    named = replace(chip, name=file.stem, title=f"The CPU of a machine, {platform.machine()}")
    text = calibrate.as_yaml(named, rates, plain)
    file.write_text(text, encoding="utf-8")
    read = parse_hardware(text)
    if not isinstance(read, Hardware):
        raise SystemExit(f"{file}: {read}")
    return read


def judge(chip: Hardware, measured: dict[str, float]) -> list[Judged]:
    """Each measured run with what the plan says of it on `chip`."""
    planned = plans.plans_of(SPEC, chip)
    return [Judged(name, planned[name], planned[name].step_time.seconds, seconds) for name, seconds in measured.items()]


def mean_error(rows: list[Judged]) -> float:
    return sum(abs(row.error) for row in rows) / len(rows)


def report(chip: Hardware, measured: dict[str, float]) -> str:
    """The table, the mean and worst errors of both halves, and the rates."""
    rows = judge(chip, measured)
    lines = ["| run | parameters | tokens | predicted | measured | error |", "|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        plan = row.plan
        lines.append(
            f"| {row.name} | {plan.parameters.total:,} | {plan.batch.tokens:,} | {1e3 * row.predicted:.1f} ms | "
            f"{1e3 * row.measured:.1f} ms | {100 * row.error:+.1f} % |"
        )
    lines.append("")
    for kind, what in (("fit_", "fitted"), ("held_", "held out")):
        half = [row for row in rows if row.name.startswith(kind)]
        if half:
            worst = max(half, key=lambda row: abs(row.error))
            lines.append(
                f"- {what}: mean error {100 * mean_error(half):.1f} % over {len(half)} runs, worst "
                f"{100 * worst.error:+.1f} % ({worst.name})"
            )
    held = [row for row in rows if row.name.startswith("held_")]
    if held:
        reached = "reached" if mean_error(held) <= GOAL_MEAN else "NOT reached"
        lines.append(f"- goal: at most {100 * GOAL_MEAN:.0f} % mean error held out: {reached}")
    return "\n".join([*lines, "", *rates_of(chip)])


def rates_of(chip: Hardware) -> list[str]:
    """The calibration as a table."""
    rates = chip.calibration
    if rates is None:
        return ["Not calibrated."]
    return [
        "| part of a step | rate |",
        "|---|---:|",
        *(f"| {name} | {rate / 1e9:.1f} GFLOP/s |" for name, rate in rates.operations.items()),
        f"| between products | {rates.traffic_bytes_per_second / 1e9:.2f} GB/s |",
        f"| dispatch and combine | {rates.dispatch_bytes_per_second / 1e9:.2f} GB/s |",
        f"| optimizer | {rates.update_bytes_per_second / 1e9:.2f} GB/s |",
        f"| starting operations, per step | {1e3 * rates.step_seconds:.2f} ms |",
        f"| the same, per layer and micro-batch | {1e3 * rates.layer_seconds:.2f} ms |",
    ]


def heading() -> str:
    """What the table is and how it was made."""
    command = " ".join(("python", "benchmarks/step_time.py", "--calibrate", "my_cpu.yaml"))
    return (
        "# Step time on a CPU: predicted against measured\n\n"
        f"Made by `{command}`: jax {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores "
        f"({platform.machine()}). Each run in a process of its own, twice, the least of its steps; runs "
        "called `held_…` played no part in the fit.\n\n"
    )


if __name__ == "__main__":
    main()
