"""One layout -> the largest micro-batch that fits, for each re-computation policy.

More micro-batches are never faster and, from two on, never take more memory; a policy that makes more again is never
faster with equally many of them. So few candidates have to be weighed, and no better one is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from moec.compiler.planner.candidates import micro_batches, policies
from moec.compiler.planner.price import Pricing, Weighed, rounded
from moec.compiler.typed import RunSpec

Whole = tuple[RunSpec, Weighed]
"""A layout, with its bytes for the whole batch at once under its first policy."""


def fitting(layout: RunSpec, pricing: Pricing, seconds: float = inf) -> Iterator[Weighed]:
    """The candidates of a legal layout that fit, one for each policy at most, from the most memory to the least.

    A policy that takes more than `seconds` even for the whole batch at once is passed over.
    """
    for run in policies(layout):
        largest, *smaller = micro_batches(run)
        whole = pricing.weigh(largest)
        # Weights and their state are the same for every policy.
        if whole is None or not whole.can_ever_fit:
            return
        if not whole.fits and seconds < inf and is_slower(whole, pricing, seconds):
            continue
        best = whole if whole.fits else first_fitting(smaller, pricing)
        if best is not None:
            yield best


def is_slower(weighed: Weighed, pricing: Pricing, seconds: float) -> bool:
    """Whether the step takes more than `seconds`, or nobody knows how long."""
    time = pricing.time(weighed)
    return time is None or rounded(time.seconds) > seconds


def worth_timing(layout: RunSpec, pricing: Pricing, seconds: float) -> tuple[Weighed, ...]:
    """Of `fitting` those that have fewer micro-batches than all before them; () where nothing fits."""
    least: list[Weighed] = []
    for weighed in fitting(layout, pricing, seconds):
        if not least or weighed.batch.micro_batches < least[-1].batch.micro_batches:
            least.append(weighed)
        if least[-1].batch.micro_batches == 1:
            break
    return tuple(least)


def first_fitting(runs: Sequence[RunSpec], pricing: Pricing) -> Weighed | None:
    """Of `runs`, which take less and less memory, the first that is legal and fits; None where none does."""
    legal = [run for run in runs if pricing.is_legal(run)]
    best = pricing.weigh(legal[-1]) if legal else None
    if best is None or not best.fits:
        return None
    low, high = 0, len(legal) - 1
    while low < high:
        middle = (low + high) // 2
        weighed = pricing.weigh(legal[middle])
        if weighed is not None and weighed.fits:
            best, high = weighed, middle
        else:
            low = middle + 1
    return best


def most_frugal(legal: Sequence[Whole], pricing: Pricing) -> Weighed:
    """Of all candidates the one that takes the least memory."""
    best = min((whole for _, whole in legal), key=_bytes)
    for layout, whole in sorted(legal, key=lambda pair: pair[1].least_bytes):
        if whole.least_bytes > best.memory.total:
            break
        best = min((best, *(one for run in policies(layout) for one in _extremes(run, pricing))), key=_bytes)
    return best


def _bytes(weighed: Weighed) -> tuple[int, int]:
    return weighed.memory.total, weighed.batch.micro_batches


def _extremes(run: RunSpec, pricing: Pricing) -> Iterator[Weighed]:
    """The largest micro-batch, which needs no sum of gradients, and the smallest."""
    legal = [candidate for candidate in micro_batches(run) if pricing.is_legal(candidate)]
    for candidate in legal[:: max(1, len(legal) - 1)]:
        weighed = pricing.weigh(candidate)
        if weighed is not None:
            yield weighed
