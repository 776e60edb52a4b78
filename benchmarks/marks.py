"""Predicted step times beside published ones of another trainer.

    python benchmarks/marks.py [--results FILE]

Nothing runs: the plan of each run of benchmarks/specs/marks.moe is held against what MaxText published for the same
shapes, batch and chips. Published are FLOP/s per chip; with PaLM's FLOPs per token, which MaxText counts, they give the
seconds of a step.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import plans

from moec.compiler.plan import Plan, StepTimePlan

SPEC: Final = Path(__file__).parent / "specs" / "marks.moe"
PUBLISHED: Final[Mapping[str, float]] = {
    "v5e_16b": 120e12,
    "v5e_32b": 132e12,
    "v5e_64b": 118e12,
    "v5p_32b": 328e12,
    "v5p_64b": 323e12,
    "v5p_128b": 315e12,
    "h100_7b": 492e12,
}
"""FLOP/s per chip. Source: AI-Hypercomputer/maxtext, README.md (v5p), MaxText/configs/v5e/README.md (1x v5e-256) and
MaxText/configs/a3/llama_2_7b/README.md (1x A3), as they were until 2025."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One run whose step was published."""

    name: str
    plan: Plan
    time: StepTimePlan

    @property
    def published(self) -> float:
        """Seconds of the published step."""
        flops = float(self.plan.flops.conventions["palm"]) * self.plan.run.batch.tokens
        return flops / (PUBLISHED[self.name] * self.plan.mesh.devices)

    @property
    def peak_share(self) -> float:
        """Published model FLOPs (PaLM) over the chip's peak."""
        return PUBLISHED[self.name] / self.plan.run.mesh.hardware.peak_flops_per_second["bfloat16"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the table as Markdown, too")
    options = parser.parse_args()
    text = report([mark_of(name, plan) for name, plan in plans.plans_of(SPEC).items()])
    print(text)
    if options.results:
        options.results.write_text(heading() + text + "\n", encoding="utf-8")


def mark_of(name: str, plan: Plan) -> Mark:
    """The run's mark. Errors: SystemExit where the plan has no seconds."""
    if plan.step_time is None:
        raise SystemExit(f"{name}: the plan has no step time")
    return Mark(name, plan, plan.step_time)


def report(marks: list[Mark]) -> str:
    """The table, then how often the published step lies between the plan's two ends."""
    lines = [
        "| run | chips | remat | predicted, s | all overlapped, s | published, s | ratio | published MFU |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    between = 0
    for mark in marks:
        run, published = mark.plan.run, mark.published
        alone, overlapped = mark.time.seconds, mark.time.overlapped_seconds
        between += overlapped <= published <= alone
        chips = f"{mark.plan.mesh.devices} {run.mesh.hardware.name}"
        seconds = f"{alone:.2f} | {overlapped:.2f} | {published:.2f}"
        ratios = f"{overlapped / published:.2f} to {alone / published:.2f}"
        share = f"{100 * mark.peak_share:.1f} %"
        lines.append(f"| {mark.name} | {chips} | {run.remat.policy} | {seconds} | {ratios} | {share} |")
    return "\n".join([*lines, "", f"Between the two predictions lie {between} of {len(marks)} published steps."])


def heading() -> str:
    """What the table is, and what it does not say."""
    made = f"{date.today()}, Python {platform.python_version()}"
    return (
        "# Predicted step times beside published ones\n\n"
        f"Made by `python benchmarks/marks.py`, {made}; nothing ran on a chip. Published are MaxText's own FLOP/s\n"
        "per chip for the same shapes, batch and chips (sources in the script).\n\n"
        "What is not claimed: that moec's programs reach these times, none of which was run; that the programs are\n"
        "equal: MaxText's `minimal` remat keeps about what `save_dots` keeps, its flags for libtpu are its own,\n"
        "its layouts over the torus are not known. The predictions are uncalibrated: matmuls at 0.8 of a TPU's peak,\n"
        "collectives on top or wholly hidden.\n\n"
    )


if __name__ == "__main__":
    main()
