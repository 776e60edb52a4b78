"""Plan -> Report: the sections in the order in which they are read."""

from __future__ import annotations

from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.report.choices import choices_section
from moec.compiler.report.depth_routing import depth_routing_section
from moec.compiler.report.document import Facts, Report, Section
from moec.compiler.report.experts import experts_section
from moec.compiler.report.facts import fact
from moec.compiler.report.mesh import collectives_section, mesh_section
from moec.compiler.report.model import flops_section, model_section
from moec.compiler.report.resources import memory_section, step_time_section
from moec.compiler.report.schedule import batch_section, budget_section
from moec.compiler.units import count, duration, plural, size


def report_of(plan: Plan, places: Places) -> Report:
    """Everything that the plan says, with formulas and sources."""
    sections = (
        model_section(plan, places),
        flops_section(plan, places),
        experts_section(plan, places),
        depth_routing_section(plan, places),
        batch_section(plan, places),
        budget_section(plan, places),
        mesh_section(plan, places),
        memory_section(plan, places),
        step_time_section(plan, places),
        collectives_section(plan, places),
        choices_section(plan),
    )
    present = tuple(section for section in sections if section is not None)
    return Report(_title(plan), _summary(plan), (*present, *_rest(plan, places, present)))


def _title(plan: Plan) -> str:
    run = plan.run
    return f"{run.name}: model {run.model.name} on mesh {run.mesh.name}, budget {run.budget.name}"


def _summary(plan: Plan) -> tuple[str, ...]:
    counts, budget = plan.parameters, plan.budget
    active = f", {count(counts.active)} active" if counts.active != counts.total else ""
    devices = f"{plural(plan.mesh.devices, 'device')} ({plan.run.mesh.hardware.name})"
    step = duration(plan.step_time.seconds)
    return (
        *plan.run.doc.splitlines(),
        f"{count(counts.total)} parameters{active}; {count(budget.tokens)} tokens in {plural(budget.steps, 'step')}",
        f"{devices}; {size(plan.memory.total)} each; about {step} per step",
    )


def _rest(plan: Plan, places: Places, sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """The derivations that no section has shown, as a fact or in a table."""
    shown = {
        fact.name for section in sections for part in section.parts if isinstance(part, Facts) for fact in part.facts
    }
    left = tuple(fact(row, places) for row in plan.derivations if row.name not in shown and not _in_table(row.name))
    return (Section("More", (Facts(left),)),) if left else ()


def _in_table(name: str) -> bool:
    return name.startswith(("params.by_role.", "flops_per_token.conventions.", "mesh.")) or name == "hbm_per_device"
