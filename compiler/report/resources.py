"""The sections on what a step costs: bytes per device against the chip's memory, and seconds."""

from __future__ import annotations

from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.report.document import Bar, Bars, Paragraph, Section
from moec.compiler.report.facts import facts
from moec.compiler.units import duration, share, size


def memory_section(plan: Plan, places: Places) -> Section:
    """Bars against the memory of a device, or against the total where that is unknown."""
    memory = plan.memory
    whole = memory.hbm or memory.total
    parts = (
        ("parameters", memory.params),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("activations", memory.activations),
        ("total", memory.total),
    )
    bars = tuple(
        Bar(name, size(number), number / whole if whole else 0.0, share(number, whole)) for name, number in parts
    )
    against = f"{size(memory.hbm)} of a device" if memory.hbm else "the total; the memory of this hardware is not known"
    note = Paragraph(f"Bars are against {against}. remat: {plan.run.remat.policy}.")
    return Section("Memory per device", (Bars(bars), note, *facts(plan, places, "memory.")))


def step_time_section(plan: Plan, places: Places) -> Section:
    """Bars against the whole step, longest first."""
    step = plan.step_time
    rows = sorted(step.breakdown, key=lambda row: -row.seconds)
    bars = tuple(
        Bar(
            row.what,
            duration(row.seconds),
            row.seconds / step.seconds,
            f"{share(row.seconds, step.seconds)} {row.cause}",
        )
        for row in rows
    )
    whole = Bar("step", duration(step.seconds), 1.0, f"{plan.budget.steps:,} steps take {_whole(plan)}")
    trust = (
        "measured efficiencies stand behind it" if step.calibrated else "a roofline, not calibrated on this hardware"
    )
    mfu = f"model FLOPs are {share(step.mfu, 1)} of the peak" if step.mfu else "the peak of this hardware is not known"
    note = Paragraph(f"An estimate: {trust}; {mfu}.")
    return Section(
        "Step time", (Bars((*bars, whole)), note, *facts(plan, places, "step_time.seconds", "train_seconds", "mfu"))
    )


def _whole(plan: Plan) -> str:
    return duration(plan.step_time.seconds * plan.budget.steps)
