"""RunSpec with `auto` -> the same run with literals, and the best five candidates with their reasons.

Exhaustive over `candidates`, ranked by predicted step time among those that fit into MEMORY_SHARE of a device's memory;
ties go to fewer axes. What it chooses is written into resolved.moe, so that recompiling that gives the same program.
Does not prove anything: `moec plan --prove-top` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from moec.compiler.passes.places import place
from moec.compiler.plan import Choice, ChoicesPlan, MemoryPlan, StepTimePlan
from moec.compiler.planner.candidates import layouts, micro_batches, open_choices, policies
from moec.compiler.typed import MESH_AXES, RunSpec
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic

MEMORY_SHARE: Final = 0.9
"""Assumption: the share of a device's memory that a plan may fill; XLA, collectives and fragmentation want the rest
(estimate_memory warns from there on)."""

SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Price:
    """What one candidate costs, on axes that are all numbers."""

    axes: Mapping[str, int]
    memory: MemoryPlan
    step_time: StepTimePlan


@dataclass(frozen=True, slots=True)
class Candidate:
    run: RunSpec
    price: Price

    @property
    def fits(self) -> bool:
        """Whether it leaves the memory that it should; true where the memory is not known."""
        memory = self.price.memory
        return not memory.hbm or memory.total <= MEMORY_SHARE * memory.hbm

    @property
    def rank(self) -> tuple[float, int, tuple[int, ...]]:
        """Predicted seconds to three digits, then fewer axes, then the outer axes first."""
        sizes = tuple(self.price.axes[axis] for axis in MESH_AXES)
        seconds = float(f"{self.price.step_time.seconds:.3g}")
        return seconds, sum(size != 1 for size in sizes), tuple(-size for size in sizes)


PriceOf = Callable[[RunSpec], Price | None]
"""The price of a run without `auto`, None where it is not legal."""


def choose(run: RunSpec, price_of: PriceOf) -> tuple[RunSpec, ChoicesPlan | None, tuple[Diagnostic, ...]]:
    """The run with nothing left open, and what it was chosen from: None where there was nothing to choose, or only the
    micro-batch, and the whole batch fits.

    Where nothing fits it is the candidate that needs the least memory, which the checks that follow refuse with its
    numbers. Errors: MOE4106 where no candidate is legal.
    """
    asked = open_choices(run)
    if not asked:
        return run, None, ()
    spread = tuple(layouts(run))
    candidates = [best for layout in spread for best in _best_of_layout(layout, price_of)]
    if not candidates:
        return _first(run, spread), None, _nothing_legal(run, asked, len(spread))
    ranked = sorted((candidate for candidate in candidates if candidate.fits), key=lambda candidate: candidate.rank)
    if not ranked:
        least = min(candidates, key=lambda candidate: (candidate.price.memory.total, candidate.rank))
        return least.run, None, ()
    if asked == ("batch.micro",) and ranked[0].run.batch.micro == run.batch.tokens:
        return run, None, ()
    best = tuple(_choice(candidate, ranked[0]) for candidate in ranked[:SHOWN])
    return ranked[0].run, ChoicesPlan(asked, len(spread), len(candidates), len(ranked), best), ()


def _first(run: RunSpec, spread: tuple[RunSpec, ...]) -> RunSpec:
    """A candidate for the checks to refuse, with as little left open as there can be."""
    layout = policies(spread[0] if spread else run)[0]
    return next(micro_batches(layout), layout)


def _nothing_legal(run: RunSpec, asked: tuple[str, ...], tried: int) -> tuple[Diagnostic, ...]:
    """With one layout the checks that follow say what is wrong with it; with several, no single rule is at fault."""
    if tried <= 1:
        return ()
    devices_at = place(run, "mesh.devices" if run.mesh.topology is None else "mesh.topology")
    return (codes.no_legal_layout(place(run, asked[0]), run.mesh.devices, tried, devices_at),)


def _best_of_layout(layout: RunSpec, price_of: PriceOf) -> list[Candidate]:
    """For each policy the largest micro-batch that fits, else the smallest: more micro-batches are never faster."""
    found = []
    for run in policies(layout):
        last = None
        for candidate in micro_batches(run):
            price = price_of(candidate)
            if price is None:
                break
            last = Candidate(candidate, price)
            if last.fits or _weights_alone_do_not_fit(price.memory):
                break
        if last is not None:
            found.append(last)
    return found


def _weights_alone_do_not_fit(memory: MemoryPlan) -> bool:
    return bool(memory.hbm) and memory.params + memory.optimizer > MEMORY_SHARE * memory.hbm


def _choice(candidate: Candidate, first: Candidate) -> Choice:
    run, price = candidate.run, candidate.price
    assert run.batch.micro != "auto" or not price.memory.hbm
    return Choice(
        axes=dict(price.axes),
        micro_tokens=run.batch.tokens if run.batch.micro == "auto" else run.batch.micro,
        remat=run.remat.policy,
        seconds=price.step_time.seconds,
        bytes_per_device=price.memory.total,
        reason=_reason(price.step_time, first.price.step_time),
    )


def _reason(time: StepTimePlan, best: StepTimePlan) -> str:
    """The cause in which a runner-up loses most against the best."""
    if time is best:
        return "the fastest that fits"
    causes = sorted({row.cause for row in (*time.breakdown, *best.breakdown)})
    lost = {cause: _by_cause(time, cause) - _by_cause(best, cause) for cause in causes}
    worst = max(causes, key=lambda cause: lost[cause])
    slower = time.seconds / best.seconds - 1
    if lost[worst] <= 0:
        return "as fast, with more axes"
    return f"{100 * slower:.3g} % slower: {1000 * lost[worst]:.3g} ms more of {worst}"


def _by_cause(time: StepTimePlan, cause: str) -> float:
    return sum(row.seconds for row in time.breakdown if row.cause == cause)
