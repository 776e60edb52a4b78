"""How long the planner takes for 4,096 chips with five `auto` axes and an `auto` re-computation policy.

    python benchmarks/planner.py [--repeats N]

Prints CPU seconds of the whole plan (without reading and resolving the spec), the number of layouts, and the choice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec
from moec.spec.loader import load_text
from moec.spec.reader import read

BASE = Path(__file__).parents[1] / "examples" / "switch_base.moe"
OPEN = """
mesh whole_pod {
  hardware = tpu_v5p
  topology = 16x16x16
  axes { data = auto, fsdp = auto, expert = auto, seq = auto, model = auto }
}
run chosen extends pretrain {
  mesh = whole_pod
  remat { policy = auto }
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="default: 5")
    repeats = parser.parse_args().repeats
    run = _open_run()
    timed = [_timed(run) for _ in range(repeats)]
    plan = timed[0][1]
    assert plan.choices is not None
    choices, best = plan.choices, plan.choices.best[0]
    print(f"{plan.mesh.devices:,} devices: {choices.layouts:,} layouts, {choices.legal:,} candidates legal")
    print(f"{statistics.median(seconds for seconds, _ in timed):.2f} s of CPU, median of {repeats}")
    print("chosen: " + " ".join(f"{axis}={size}" for axis, size in best.axes.items()) + f" remat={best.remat}")


def _open_run() -> RunSpec:
    loaded, _ = load_text("open.moe", BASE.read_text(encoding="utf-8") + OPEN)
    assert loaded is not None
    typed, told = resolve(read(loaded)[0])
    assert not told, told
    return next(run for run in typed.runs if run.name == "chosen")


def _timed(run: RunSpec) -> tuple[float, Plan]:
    began = time.process_time()
    plan, told = plan_run(run)
    assert plan is not None, told
    return time.process_time() - began, plan


if __name__ == "__main__":
    main()
