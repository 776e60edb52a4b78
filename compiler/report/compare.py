"""Several plans side by side, each against the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moec.compiler.increase.answer import Increase, increase
from moec.compiler.plan import Plan
from moec.compiler.report.document import Column, Section, Table
from moec.compiler.report.increase import increase_section
from moec.compiler.report.markdown import section_markdown
from moec.compiler.report.text import section_text
from moec.compiler.report.text_table import table_text
from moec.compiler.units import count, duration, flops, ratio, size

_Row = tuple[str, Callable[[Plan], float], Callable[[float], str]]


def compare(plans: Sequence[Plan]) -> str:
    """The comparison as text, then what makes each step longer than the first run's; ends with a line end."""
    rows = [*table_text(comparison(plans))]
    for answer in answers(plans):
        rows += ["", *section_text(increase_section(answer))]
    return "\n".join(row.rstrip() for row in rows) + "\n"


def compare_markdown(plans: Sequence[Plan]) -> str:
    """The same as Markdown; ends with a line end."""
    sections = (Section("Side by side", (comparison(plans),)), *map(increase_section, answers(plans)))
    return "\n".join("\n".join((*section_markdown(section), "")) for section in sections)


def answers(plans: Sequence[Plan]) -> tuple[Increase, ...]:
    """Each run after the first against the first."""
    return tuple(increase(plans[0], plan) for plan in plans[1:])


def comparison(plans: Sequence[Plan]) -> Table:
    """One row per quantity, one column per run, and its ratio to the first run."""
    first = plans[0]
    columns = [Column("side by side"), Column(first.run.name, "right")]
    for plan in plans[1:]:
        columns += [Column(plan.run.name, "right"), Column("ratio", "right")]
    return Table(tuple(columns), tuple(_row(row, plans) for row in _ROWS))


def _row(row: _Row, plans: Sequence[Plan]) -> tuple[str, ...]:
    name, value_of, shown = row
    base = value_of(plans[0])
    cells = [name, shown(base)]
    for plan in plans[1:]:
        value = value_of(plan)
        cells += [shown(value), ratio(value / base) if base else "-"]
    return tuple(cells)


_ROWS: tuple[_Row, ...] = (
    ("parameters", lambda plan: plan.parameters.total, count),
    ("active parameters", lambda plan: plan.parameters.active, count),
    ("training FLOPs per token", lambda plan: float(plan.flops.train_per_token), flops),
    ("tokens", lambda plan: plan.budget.tokens, count),
    ("steps", lambda plan: plan.budget.steps, count),
    ("training FLOPs", lambda plan: float(plan.budget.train_flops), flops),
    ("memory per device", lambda plan: plan.memory.total, size),
    ("step time (estimate)", lambda plan: plan.step_time.seconds, duration),
    ("training time (estimate)", lambda plan: plan.step_time.seconds * plan.budget.steps, duration),
)
