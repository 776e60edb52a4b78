"""Two plans -> the changes of the second that shorten its predicted step most, each as the line of spec to write.

What a change does to the mathematics is said of each: none is proposed silently. The first run stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from moec.compiler.difference import differences
from moec.compiler.increase.causes import tokens_ratio
from moec.compiler.increase.changes import as_planned, changed_runs
from moec.compiler.increase.spec_line import spec_line
from moec.compiler.pipeline import Costs, Layout, close_choices, cost, lay_out, plan_sized
from moec.compiler.plan import Plan
from moec.compiler.planner.price import MEMORY_SHARE, rounded
from moec.compiler.typed import RunSpec
from moec.spec.diagnostics import has_errors

Effect = Literal["same", "drops", "model"]
EFFECTS: Final[tuple[Effect, ...]] = ("same", "drops", "model")
"""From what changes least: the same mathematics, other tokens dropped, another model."""

OF_DROPS: Final = frozenset({"model.experts.capacity_factor", "model.experts.group_size"})
OF_MICRO_BATCH: Final = "run.batch.micro"

SHOWN: Final = 3
LEAST_GAIN: Final = 0.005
"""Assumption: a change that gains less of the step than this is not worth writing."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`line` is what to write; `seconds` the step that it gives, `ratio` that over the first run's, for as many tokens;
    `note` says what else it changes, "" where nothing."""

    line: str
    effect: Effect
    note: str
    seconds: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Priced:
    """One way that the run could be, with nothing left open."""

    run: RunSpec
    effect: Effect
    seconds: float
    n_fields: int


def propose(first: Plan, other: Plan) -> tuple[int, tuple[Proposal, ...]]:
    """How many changes were priced, and the best three: the best of each effect, then the best that are left."""
    priced = tuple(_priced(first, other))
    ranked = sorted(_shorter(priced, other), key=lambda one: (rounded(one.seconds), one.n_fields))
    chosen: list[Priced] = []
    for one in _best_of_each(ranked):
        if len(chosen) < SHOWN and all(one.run != taken.run for taken in chosen) and _can_be_written(one):
            chosen.append(one)
    shown = sorted(chosen, key=lambda one: (EFFECTS.index(one.effect), one.seconds))
    return len(priced), tuple(_proposal(one, first, other) for one in shown)


def _priced(first: Plan, other: Plan) -> Iterator[Priced]:
    """Every change that is legal and fits."""
    before, room = as_planned(other), max(MEMORY_SHARE * other.memory.hbm, other.memory.total)
    for wanted in changed_runs(first, other):
        found = price(wanted)
        if found is None or (other.memory.hbm and found[1].memory.total > room):
            continue
        run, costs = found
        paths = {change.path for change in differences(before, run)}
        if paths:
            yield Priced(run, effect_of(before, run), costs.step_time.seconds, len(paths))


def price(run: RunSpec) -> tuple[RunSpec, Costs] | None:
    """The run with nothing left open and what its step takes, None where something refuses it."""
    run, _, told = close_choices(run)
    layout, more = lay_out(run)
    if layout is None or has_errors((*told, *more)):
        return None
    costs, of_costs = cost(run, layout)
    if costs is None or has_errors(of_costs):
        return None
    return _written_out(run, layout), costs


def _written_out(run: RunSpec, layout: Layout) -> RunSpec:
    return replace(run, mesh=replace(run.mesh, axes=dict(layout.mesh.axes)))


def effect_of(before: RunSpec, after: RunSpec) -> Effect:
    """What the change does to the mathematics."""
    changes = differences(before, after)
    numeric = {change.path for change in changes if change.category in ("numerics", "checkpoint")} - {OF_MICRO_BATCH}
    if not numeric:
        return "same"
    return "drops" if numeric <= OF_DROPS else "model"


def _shorter(priced: Sequence[Priced], other: Plan) -> Iterator[Priced]:
    longest = (1 - LEAST_GAIN) * other.step_time.seconds
    yield from (one for one in priced if one.seconds < longest)


def _best_of_each(ranked: Sequence[Priced]) -> Iterator[Priced]:
    """The best of each effect, then all in their order."""
    for effect in EFFECTS:
        yield from [one for one in ranked if one.effect == effect][:1]
    yield from ranked


def _can_be_written(one: Priced) -> bool:
    """Whether the spec with the change has a plan. Asserts that count the old model do not speak of the new one."""
    run = replace(one.run, asserts=()) if one.effect == "model" else one.run
    return plan_sized(run)[0] is not None


def _proposal(one: Priced, first: Plan, other: Plan) -> Proposal:
    before = as_planned(other)
    ratio = one.seconds * float(tokens_ratio(first, other)) / first.step_time.seconds
    return Proposal(spec_line(before, one.run), one.effect, "; ".join(_notes(before, one.run)), one.seconds, ratio)


def _notes(before: RunSpec, after: RunSpec) -> Iterable[str]:
    experts = after.model.experts
    if experts is not None and experts.balance_loss and after.batch.micro != before.batch.micro:
        yield "the balance loss is a mean over other micro-batches"
