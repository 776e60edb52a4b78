"""Plan -> what its step spends its seconds on, by cause; the seconds of all causes are those of the step.

The estimate is asked again, each time with less: how long the step takes when no slot is empty, when nothing is
multiplied again, and when weights cost nothing to read. What each answer is shorter by is a cause of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import fsum
from typing import Final

from moec.compiler.passes.estimate_step_time import Work, estimate_step_time
from moec.compiler.passes.set_capacity import slots_of
from moec.compiler.pipeline import Costs, Layout, cost
from moec.compiler.plan import Plan, RoutingPlan, StepTimePlan, TensorPlan

MATMULS: Final = "feed-forward matmuls"
EMPTY_SLOTS: Final = "empty expert slots"
REMADE: Final = "matmuls made again"
WEIGHT_READS: Final = "reading feed-forward weights"
ROUTER: Final = "router"
DISPATCH: Final = "dispatch and combine"
FEED_FORWARD_ARRAYS: Final = "arrays between feed-forward matmuls"
ATTENTION: Final = "attention"
OPTIMIZER: Final = "optimizer"

CAUSE_OF_ROW: Final[Mapping[str, str]] = {
    "ffn": MATMULS,
    "experts": MATMULS,
    "shared experts": MATMULS,
    "router": ROUTER,
    "dispatch, combine": DISPATCH,
    "dispatch and combine": DISPATCH,
    "between products: ffn": FEED_FORWARD_ARRAYS,
    "between products: experts": FEED_FORWARD_ARRAYS,
    "between products: shared experts": FEED_FORWARD_ARRAYS,
    "attention q": ATTENTION,
    "attention k, v": ATTENTION,
    "attention scores, values": ATTENTION,
    "attention o": ATTENTION,
    "between products: softmax": ATTENTION,
    "between products: stream, norms": "residual stream and norms",
    "head": "head and loss",
    "between products: loss": "head and loss",
}
"""The cause that a row of the step belongs to; a collective and what is not listed is a cause of its own."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Seconds of one cause in a step of the first run and of the other one, both for the first run's tokens."""

    name: str
    first_seconds: float
    other_seconds: float

    @property
    def more_seconds(self) -> float:
        return self.other_seconds - self.first_seconds


def compare_causes(first: Plan, other: Plan) -> tuple[Cause, ...]:
    """Every cause that either run has, the one that costs the other run most first."""
    mine, theirs = seconds_by_cause(first), seconds_by_cause(other)
    scale = float(tokens_ratio(first, other))
    names = dict.fromkeys((*theirs, *mine))
    causes = (Cause(name, mine.get(name, 0.0), scale * theirs.get(name, 0.0)) for name in names)
    return tuple(sorted(causes, key=lambda cause: (-cause.more_seconds, cause.name)))


def tokens_ratio(first: Plan, other: Plan) -> Fraction:
    """What the other run's seconds are multiplied with, so that both are for as many tokens."""
    return Fraction(first.batch.tokens, other.batch.tokens)


def seconds_by_cause(plan: Plan) -> Mapping[str, float]:
    """Seconds of a step by cause; they sum to the seconds of the step."""
    filled = without_empty_slots(plan)
    once = estimate(plan, once_multiplied(filled), plan.tensors)
    unread = estimate(plan, once_multiplied(filled), ())
    found: dict[str, list[float]] = {
        EMPTY_SLOTS: [plan.step_time.seconds - filled.step_time.seconds],
        REMADE: [filled.step_time.seconds - once.seconds],
    }
    for row, read_free in zip(once.breakdown, unread.breakdown, strict=True):
        cause = CAUSE_OF_ROW.get(row.what, row.what)
        seconds = read_free.seconds if cause == MATMULS else row.seconds
        found.setdefault(cause, []).append(seconds)
        found.setdefault(WEIGHT_READS, []).append(row.seconds - seconds)
    return {cause: total for cause, parts in found.items() if (total := fsum(parts))}


def without_empty_slots(plan: Plan) -> Costs | Plan:
    """What the step costs with the slots that an even load fills (a capacity factor of 1), and no more."""
    routing = even_routing(plan)
    if routing is None:
        return plan
    costs, _ = cost(plan.run, Layout(plan.stack, plan.mesh, plan.batch, routing))
    assert costs is not None, "what has a plan has a price with fewer slots"
    return costs


def even_routing(plan: Plan) -> RoutingPlan | None:
    """The routing without the slots that an even load leaves empty, None where there are none."""
    experts, routing = plan.run.model.experts, plan.routing
    if experts is None or routing is None or routing.capacity is None:
        return None
    capacity, slots = slots_of(replace(experts, capacity_factor=Fraction(1)))
    if capacity is None or capacity >= routing.capacity:
        return None
    return replace(routing, capacity=capacity, slots_per_token=slots)


def once_multiplied(costs: Costs | Plan) -> Costs | Plan:
    """The same with no FLOPs but those of one forward and one backward pass."""
    rows = tuple(replace(row, recomputed_flops_per_token=0) for row in costs.flops.rows)
    return replace(costs, flops=replace(costs.flops, rows=rows))


def estimate(plan: Plan, costs: Costs | Plan, tensors: tuple[TensorPlan, ...]) -> StepTimePlan:
    """The rows of a step with these costs, in which operations read the weights of `tensors` and no others."""
    work = Work(
        plan.stack,
        plan.mesh,
        plan.batch,
        tensors,
        costs.flops,
        costs.activations,
        costs.collectives,
        costs.memory,
        plan.routing,
    )
    time, _ = estimate_step_time(plan.run, work)
    assert time is not None, "what has a plan has a known rate"
    return time
