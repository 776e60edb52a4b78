"""A run measured against its dense twin -> the same run with as many tokens as it sees in the twin's time.

`budget { law = …, count = step_time, equal_to = twin }`: the law sees the twin alone; every other run with this budget
trains for as many predicted seconds as the twin does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moec.compiler.passes.places import place
from moec.compiler.plan import Decision, Plan, StepTimePlan
from moec.compiler.typed import BudgetSpec, RunSpec
from moec.compiler.units import duration
from moec.spec.codes import budget as codes
from moec.spec.diagnostics import Diagnostic

PlanOf = Callable[[RunSpec], tuple[Plan | None, tuple[Diagnostic, ...]]]


def equal_wall_clock(
    run: RunSpec, step_time: StepTimePlan, plan_of: PlanOf
) -> tuple[RunSpec, Decision | None, tuple[Diagnostic, ...]]:
    """The run with `tokens` in its budget; as it is where nothing is measured. Errors: MOE6111.

    Rounding: to the nearest whole step, so the two times differ by half a step at most.
    """
    if run.budget.count != "step_time":
        return run, None, ()
    twin, at = run.reference or run, place(run, "budget.equal_to")
    if twin.model.experts is not None:
        return run, None, (codes.bad_reference(at, twin.name, "has experts"),)
    if run.reference is None:
        return run, None, ()
    plan, _ = plan_of(twin)
    if plan is None:
        return run, None, (codes.bad_reference(at, twin.name, "has no plan: see its own errors"),)
    seconds = plan.budget.steps * plan.step_time.seconds
    steps = max(1, round(seconds / step_time.seconds))
    tokens = steps * run.batch.tokens
    why = (
        f"{duration(seconds)} of `{twin.name}` ({plan.budget.steps:,} steps of {duration(plan.step_time.seconds)}) are "
        f"{steps:,} steps of {duration(step_time.seconds)}"
    )
    settled = replace(run, budget=in_tokens(run.budget, tokens), reference=None)
    return settled, Decision("budget.tokens", f"{tokens:,}", why), ()


def in_tokens(budget: BudgetSpec, tokens: int) -> BudgetSpec:
    """The budget with nothing in it but tokens."""
    return BudgetSpec(budget.name, budget.doc, tokens, None, None, None, None, None, None)
