"""Two plans -> the changes of the second that shorten its predicted step most, each as the line of spec to write.

What a change does to the mathematics is said of each: none is proposed silently. The first run stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    chosen: list[Priced] = []
    for one in _best_of_each(ranked):
        if len(chosen) < SHOWN and all(one.run != taken.run for taken in chosen) and _can_be_written(one):
            chosen.append(one)
    return len(priced), tuple(_proposal(one, first, other) for one in chosen)


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
    changes, experts = differences(before, after), after.model.experts
    numeric = {change.path for change in changes if change.category in ("numerics", "checkpoint")}
    if numeric <= {OF_MICRO_BATCH}:
        return "balance" if numeric and experts is not None and experts.balance_loss else "same"
    return "drops" if numeric <= {*OF_DROPS, OF_MICRO_BATCH} else "model"


def _shorter(priced: Sequence[Priced], other: Plan) -> Iterator[Priced]:
    longest = (1 - LEAST_GAIN) * other.step_time.seconds
    yield from (one for one in priced if one.seconds < longest)


def _best_of_each(ranked: Sequence[Priced]) -> Iterator[Priced]:
    """The best of each kind, then all in their order."""
    for effects in KINDS:
        yield from [one for one in ranked if one.effect in effects][:1]
    yield from ranked


def _can_be_written(one: Priced) -> bool:
    """Whether the spec with the change has a plan. Asserts that count the old model do not speak of the new one."""
    run = replace(one.run, asserts=()) if one.effect == "model" else one.run
    return plan_sized(run)[0] is not None


def _proposal(one: Priced, first: Plan, other: Plan) -> Proposal:
    before, seconds = as_planned(other), one.seconds * float(tokens_ratio(first, other))
    both = _first_seconds_with(one.run, before, first)
    return Proposal(
        line=spec_line(before, one.run),
        effect=one.effect,
        seconds=one.seconds,
        ratio=seconds / first.step_time.seconds,
        ratio_of_both=None if both is None else seconds / both,
    )


def _first_seconds_with(after: RunSpec, before: RunSpec, first: Plan) -> float | None:
    """Seconds of the first run's step with the mesh, micro-batch and remat of `after`."""
    if (after.mesh, after.batch, after.remat) == (before.mesh, before.batch, before.remat):
        return None
    found = price(replace(as_planned(first), mesh=after.mesh, batch=after.batch, remat=after.remat))
    if found is None:
        return None
    return found[1].step_time.seconds * first.batch.tokens / after.batch.tokens
