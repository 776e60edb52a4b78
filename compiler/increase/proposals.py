"""Two plans -> the changes of the second that shorten its predicted step most, each as the line of spec to write.

What a change does to the mathematics is said of each: none is proposed silently. The first run stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from moec.compiler.difference import Change, differences
from moec.compiler.increase.causes import tokens_ratio
from moec.compiler.increase.changes import as_planned, changed_runs, with_axes
from moec.compiler.increase.spec_line import spec_line
from moec.compiler.pipeline import Costs, close_choices, cost, lay_out, plan_sized
from moec.compiler.plan import Plan
from moec.compiler.planner.price import MEMORY_SHARE, rounded
from moec.compiler.typed import RunSpec
from moec.spec.diagnostics import has_errors

Effect = Literal["same", "balance", "drops", "model"]
KINDS: Final[tuple[tuple[Effect, ...], ...]] = (("same", "balance"), ("drops",), ("model",))
"""From what changes least: the same mathematics, but perhaps for the balance loss, which is a mean over a micro-batch;
other tokens dropped; another model. The best of each kind is shown."""

OF_DROPS: Final = frozenset({"model.experts.capacity_factor", "model.experts.group_size"})
OF_MICRO_BATCH: Final = "run.batch.micro"

SHOWN: Final = 3
LEAST_GAIN: Final = 0.005
"""Assumption: a change that gains less of the step than this is not worth writing."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`line` is what to write; `seconds` the step that it gives, `ratio` that over the first run's, for as many tokens.
    `ratio_of_both` is the ratio where the first run takes the same mesh, micro-batch and remat, None where it cannot or
    the change has none of them."""

    line: str
    effect: Effect
    seconds: float
    ratio: float
    ratio_of_both: float | None


@dataclass(frozen=True, slots=True)
class Priced:
    """One way that the run could be, with nothing left open."""

    run: RunSpec
    effect: Effect
    seconds: float
    n_fields: int


def propose(first: Plan, other: Plan) -> tuple[int, tuple[Proposal, ...]]:
    """How many changes were priced, and the best three: the best of each kind, then the best that are left."""
    priced = tuple(_priced(first, other))
    ranked = sorted(_shorter(priced, other), key=lambda one: (rounded(one.seconds), one.n_fields))
    seen: list[RunSpec] = []
    found: list[Proposal] = []
    for one in _best_of_each(ranked):
        if len(found) == SHOWN:
            break
        if one.run not in seen:
            seen.append(one.run)
            found += _proposal(one, first, other)
    return len(priced), tuple(found)


def _priced(first: Plan, other: Plan) -> Iterator[Priced]:
    """Every change that is legal and fits."""
    before, room = as_planned(other), max(MEMORY_SHARE * other.memory.hbm, other.memory.total)
    for wanted in changed_runs(first, other):
        found = price(wanted)
        if found is None or (other.memory.hbm and found[1].memory.total > room):
            continue
        run, costs = found
        changes = differences(before, run)
        if changes:
            n_fields = len({change.path for change in changes})
            yield Priced(run, effect_of(changes, run), costs.step_time.seconds, n_fields)


def price(run: RunSpec) -> tuple[RunSpec, Costs] | None:
    """The run with nothing left open and what its step takes, None where something refuses it."""
    run, _, told = close_choices(run)
    layout, more = lay_out(run)
    if layout is None or has_errors((*told, *more)):
        return None
    costs, of_costs = cost(run, layout)
    if costs is None or has_errors(of_costs):
        return None
    return with_axes(run, layout.mesh), costs


def effect_of(changes: Sequence[Change], after: RunSpec) -> Effect:
    """What the changes that led to `after` do to the mathematics."""
    experts = after.model.experts
    numeric = {change.path for change in changes if change.category in ("numerics", "checkpoint")}
    if numeric <= {OF_MICRO_BATCH}:
        return "balance" if numeric and experts is not None and experts.balance_loss else "same"
    return "drops" if numeric <= {*OF_DROPS, OF_MICRO_BATCH} else "model"


def _shorter(priced: Sequence[Priced], other: Plan) -> Iterator[Priced]:
    yield from (one for one in priced if one.seconds < _longest(other))


def _longest(other: Plan) -> float:
    return (1 - LEAST_GAIN) * other.step_time.seconds


def _best_of_each(ranked: Sequence[Priced]) -> Iterator[Priced]:
    """The best of each kind, then all in their order."""
    for effects in KINDS:
        yield from [one for one in ranked if one.effect in effects][:1]
    yield from ranked


def _proposal(one: Priced, first: Plan, other: Plan) -> Iterator[Proposal]:
    """The change with the step that the spec has once it is written; nothing where it has no plan or is no shorter."""
    before, plan = as_planned(other), written(one, other)
    if plan is None or plan.step_time.seconds >= _longest(other):
        return
    seconds = plan.step_time.seconds * float(tokens_ratio(first, other))
    after = as_planned(plan)
    both = _first_seconds_with(one.run, before, first)
    yield Proposal(
        line=spec_line(before, one.run),
        effect=effect_of(differences(before, after), after),
        seconds=plan.step_time.seconds,
        ratio=seconds / first.step_time.seconds,
        ratio_of_both=None if both is None else seconds / both,
    )


def written(one: Priced, other: Plan) -> Plan | None:
    """The plan of the spec with the change, in which the planner chooses anew what the change leaves `auto`.

    Asserts that count the old model do not speak of the new one.
    """
    before, run = as_planned(other), one.run
    asked = other.choices.asked if other.choices is not None else ()
    axes = {
        axis: "auto" if f"mesh.axes.{axis}" in asked and size == before.mesh.axes[axis] else size
        for axis, size in run.mesh.axes.items()
    }
    run = replace(run, mesh=replace(run.mesh, axes=axes))
    if "batch.micro" in asked and run.batch == before.batch:
        run = replace(run, batch=replace(run.batch, micro="auto"))
    if "remat.policy" in asked and run.remat == before.remat:
        run = replace(run, remat=replace(run.remat, policy="auto"))
    return plan_sized(replace(run, asserts=()) if one.effect == "model" else run)[0]


def _first_seconds_with(after: RunSpec, before: RunSpec, first: Plan) -> float | None:
    """Seconds of the first run's step with the mesh, micro-batch and remat of `after`."""
    if (after.mesh, after.batch, after.remat) == (before.mesh, before.batch, before.remat):
        return None
    found = price(replace(as_planned(first), mesh=after.mesh, batch=after.batch, remat=after.remat))
    if found is None:
        return None
    return found[1].step_time.seconds * first.batch.tokens / after.batch.tokens
