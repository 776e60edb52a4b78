"""RunSpec with `auto` -> the same run with literals, and the best five candidates with their reasons.

Exhaustive over `candidates`, ranked by predicted step time among those that fit into MEMORY_SHARE of a device's memory;
ties go to fewer axes. What it chooses is written into resolved.moe, so that recompiling that gives the same program.
Does not prove anything: `moec plan --prove-top` does.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from math import fsum, inf
from operator import itemgetter
from typing import Final

from moec.compiler.passes.places import place
from moec.compiler.plan import Choice, ChoicesPlan, StepTimePlan
from moec.compiler.planner.candidates import layouts, micro_batches, open_choices, policies
from moec.compiler.planner.fit import Whole, fitting, most_frugal, worth_timing
from moec.compiler.planner.price import Candidate, Pricing, Rank, Remembered, Weighed, rounded
from moec.compiler.typed import MESH_AXES, RunSpec
from moec.compiler.units import duration
from moec.spec.codes import memory as memory_codes
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic

SHOWN: Final = 5


def choose(run: RunSpec, pricing: Pricing) -> tuple[RunSpec, ChoicesPlan | None, tuple[Diagnostic, ...]]:
    """The run with nothing left open, and what it was chosen from; None where there was nothing to choose.

    Errors: MOE4106 where no layout is legal, MOE7105 where none fits.
    """
    asked, pricing = open_choices(run), Remembered(pricing)
    if not asked:
        return run, None, ()
    spread = tuple(layouts(run))
    legal = weigh(spread, pricing)
    if not legal:
        return _first(run, spread), None, _nothing_legal(run, asked, len(spread))
    bounded = bound(legal, pricing)
    ranked = rank(bounded, pricing, SHOWN)
    if not ranked:
        return _nothing_fits(run, asked, legal, pricing)
    best = tuple(_choice(candidate, ranked[0]) for candidate in ranked)
    return ranked[0].weighed.run, ChoicesPlan(asked, len(spread), len(legal), len(bounded), best), ()


def shortlist(run: RunSpec, pricing: Pricing, number: int) -> tuple[RunSpec, ...]:
    """The best `number` runs that `run` may become, best first: `moec plan --prove-top` proves them."""
    pricing = Remembered(pricing)
    bounded = bound(weigh(layouts(run), pricing), pricing)
    return tuple(candidate.weighed.run for candidate in rank(bounded, pricing, number))


def weigh(spread: Iterable[RunSpec], pricing: Pricing) -> tuple[Whole, ...]:
    """The legal ones of the layouts `spread`, each with its bytes for the whole batch at once with nothing made again.

    Smaller micro-batches and more re-computation break no rule that this keeps.
    """
    wholes = ((layout, next(micro_batches(policies(layout)[0]), None)) for layout in spread)
    weighed = ((layout, pricing.weigh(whole)) for layout, whole in wholes if whole is not None)
    return tuple((layout, whole) for layout, whole in weighed if whole is not None)


def bound(legal: Sequence[Whole], pricing: Pricing) -> list[tuple[float, RunSpec]]:
    """Seconds that no candidate of a layout can beat, fewest first, for the layouts whose weights leave any room."""
    holding = ((layout, whole) for layout, whole in legal if whole.can_ever_fit)
    bounds = ((one.step_time.seconds, layout) for layout, whole in holding for one in _timed((whole,), pricing))
    return sorted(bounds, key=itemgetter(0))


def rank(bounded: Sequence[tuple[float, RunSpec]], pricing: Pricing, number: int) -> tuple[Candidate, ...]:
    """The best `number` of all candidates that fit, best first.

    No candidate of a layout is better than that layout's best, so they belong to the best `number` of layouts; and a
    layout whose bound is behind all of these is not looked at.
    """
    known: list[tuple[Rank, RunSpec]] = []
    for seconds, layout in bounded:
        worst = known[number - 1][0][0] if len(known) >= number else inf
        if rounded(seconds) > worst:
            break
        ranks = [one.rank for one in _timed(worth_timing(layout, pricing, worst), pricing)]
        if ranks:
            insort(known, (min(ranks), layout), key=itemgetter(0))
    every = (one for _, layout in known[:number] for one in _timed(fitting(layout, pricing), pricing))
    return tuple(sorted(every, key=lambda candidate: candidate.rank)[:number])


def _timed(candidates: Iterable[Weighed], pricing: Pricing) -> tuple[Candidate, ...]:
    times = ((weighed, pricing.time(weighed)) for weighed in candidates)
    return tuple(Candidate(weighed, time) for weighed, time in times if time is not None)


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


def _nothing_fits(
    run: RunSpec, asked: tuple[str, ...], legal: tuple[Whole, ...], pricing: Pricing
) -> tuple[RunSpec, ChoicesPlan | None, tuple[Diagnostic, ...]]:
    """The candidate that needs the least. Where it is within the memory, or only the micro-batch was open, the checks
    that follow say how it stands."""
    closest = most_frugal(legal, pricing)
    if closest.memory.total <= closest.memory.hbm or asked == ("batch.micro",):
        return closest.run, None, ()
    memory, hardware = closest.memory, run.mesh.hardware.name
    parts = {
        "params": memory.params,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "activations": memory.activations,
    }
    told = memory_codes.no_choice_fits(
        place(run, asked[0]), asked, _setting(closest), memory.total, memory.hbm, parts, hardware
    )
    return closest.run, None, (told,)


def _setting(weighed: Weighed) -> str:
    """A candidate in a spec's words: `fsdp = 16, model = 4, micro = 65536, policy = full`."""
    sizes = (f"{axis} = {size}" for axis, size in weighed.mesh.axes.items() if size > 1)
    micro = weighed.batch.tokens // weighed.batch.micro_batches
    return ", ".join((*sizes, f"micro = {micro}", f"policy = {weighed.run.remat.policy}"))


def _choice(candidate: Candidate, first: Candidate) -> Choice:
    weighed = candidate.weighed
    return Choice(
        axes={axis: weighed.mesh.axes[axis] for axis in MESH_AXES},
        micro_tokens=weighed.batch.tokens // weighed.batch.micro_batches,
        remat=weighed.run.remat.policy,
        seconds=candidate.step_time.seconds,
        bytes_per_device=weighed.memory.total,
        reason=reason(candidate.step_time, first.step_time),
    )


def reason(time: StepTimePlan, best: StepTimePlan) -> str:
    """The cause in which a runner-up loses most against the best."""
    if time is best:
        return "the fastest that fits"
    lost = dict(_lost(time, best))
    worst = max(lost, key=lambda cause: lost[cause])
    slower = time.seconds / best.seconds - 1
    if lost[worst] <= 0 or slower <= 0:
        return "as fast by this estimate"
    return f"{100 * slower:.3g} % slower: {duration(lost[worst])} more of {worst}"


def _lost(time: StepTimePlan, best: StepTimePlan) -> Iterator[tuple[str, float]]:
    for cause in sorted({row.cause for row in (*time.breakdown, *best.breakdown)}):
        yield cause, _by_cause(time, cause) - _by_cause(best, cause)


def _by_cause(time: StepTimePlan, cause: str) -> float:
    # fsum: the built-in sum of floats differs between Python 3.11 and 3.12.
    return fsum(row.seconds for row in time.breakdown if row.cause == cause)
