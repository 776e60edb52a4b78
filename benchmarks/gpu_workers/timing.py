"""Seconds of what runs on a device, and how far arrays are from those of a reference.

On a GPU they are those of its kernels, by its own clock: a host that is late with the next call does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from answers import Answers
from device_trace import kernels_of, seconds_of_calls
from jax import numpy as jnp

SAMPLE_SECONDS = 0.02
"""A sample is as many calls as take this long: so the host's part in each is small."""

LEAST_SAMPLES = 5

TRACED_CALLS = 20
"""Of each way, on a GPU."""

LIMITS = {"bfloat16": 1e-2, "float32": 1e-3}
"""The largest error that is rounding. bfloat16 rounds by up to 2^-9 of a number; a GPU multiplies float32 in tf32, by
2^-11. Assumption: five times that, for what is rounded more than once."""

MESSAGE = 500
"""Characters of a message that are kept."""

UNTUNED = {"xla_gpu_autotune_level": 0}
"""How references are compiled: XLA would try many kernels for their float32 matmuls."""

Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel's call, what tells its error, and what its row says besides."""

    call: Callable[[], object]
    error: Callable[[], float]
    facts: dict[str, Any]


def tell_each(told: Answers, cases: dict[str, Case], dtype: str, seconds: float) -> None:
    """Tells a row for each case, by its name; those that are wrong are not timed."""
    right = {}
    for name, case in cases.items():
        verdict = judge(case.error, dtype)
        if "failed" in verdict:
            told.tell(name, **verdict, **case.facts)
        else:
            right[name] = verdict
    taken = samples({name: cases[name].call for name in right}, seconds)
    for name, verdict in right.items():
        told.tell(name, seconds=taken[name], **verdict, **cases[name].facts)


def samples(ways: Ways, seconds: float) -> dict[str, list[float]]:
    """Seconds of a call of each way, sample by sample; without a GPU the ways take turns for about `seconds`."""
    if jax.default_backend() == "gpu":
        return {name: _by_trace(way) for name, way in ways.items()}
    calls = {name: _calls_of_a_sample(way) for name, way in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    began = time.perf_counter()
    while ways and (time.perf_counter() - began < seconds or min(map(len, taken.values())) < LEAST_SAMPLES):
        for name, way in ways.items():
            taken[name].append(_seconds_of(way, calls[name]) / calls[name])
    return taken


def without_pause(way: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of a call where calls follow each other for `seconds`, by the host's clock, in the second half of them:
    a GPU that draws more power than it may slows down within the first."""
    calls = _calls_of_a_sample(way)
    taken: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(taken) < 2 * LEAST_SAMPLES:
        taken.append(_seconds_of(way, calls) / calls)
    return taken[len(taken) // 2 :]


def _by_trace(way: Callable[[], object]) -> list[float]:
    """The first call, which compiles, does not count."""
    _seconds_of(way, 2)
    return seconds_of_calls(kernels_of(lambda: [way() for _ in range(TRACED_CALLS)][-1]), TRACED_CALLS)


def _calls_of_a_sample(way: Callable[[], object]) -> int:
    """The first call, which compiles, does not count."""
    _seconds_of(way, 1)
    return max(1, round(SAMPLE_SECONDS / _seconds_of(way, 2) * 2))


def _seconds_of(way: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        out = way()
    jax.block_until_ready(out)
    return time.perf_counter() - start


def worst_error(ours_BN: jax.Array, reference_BN: jax.Array) -> float:
    """The largest relative error |ours - reference| / |reference| (Euclidean) of a block; a block that is zero in the
    reference must be zero. Not a number where one is in `ours`.

    Shapes: both [B, N], B blocks that must be right each by itself.
    """
    reference = reference_BN.astype(jnp.float32)
    off = jnp.linalg.norm(ours_BN.astype(jnp.float32) - reference, axis=1)
    size = jnp.linalg.norm(reference, axis=1)
    return float(jnp.max(jnp.where(size > 0, off / jnp.where(size > 0, size, 1), off)))


def judge(error: Callable[[], float], dtype: str) -> dict[str, object]:
    """The `error` of a kernel, and `failed` where it is too large or could not be told, with the reason."""
    try:
        found = error()
    except Exception as problem:  # what a kernel raises, whatever it is, is what this row has to say
        return {"failed": f"{type(problem).__name__}: {problem}"[:MESSAGE]}
    if found <= LIMITS[dtype]:
        return {"error": found}
    return {"error": found, "failed": f"wrong: an error of {found:.2e}, more than {LIMITS[dtype]:.0e}"}
