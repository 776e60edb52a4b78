"""Training steps of one emitted program, with the router's own choices and with even ones.

`random` is what the freshly drawn router makes of random tokens; it is trained while it is timed, so its loads are
told as they are at the end. `balanced` overrules it: of the micro-batch's tokens, token t takes experts t K, t K + 1, …
t K + K - 1, modulo E, so that each expert gets as many tokens, in every group too. The weights of their outputs stay
those that the router gave to its own choices. Both are one compiled step and one state: a batch whose documents have
the number of `BALANCED` is balanced. They take turns, a burst of steps each: the host waits for the device after a
burst, not after each step, as training does.
"""

from __future__ import annotations

import dataclasses
import resource
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from answers import Answers, Row, about_jax, answers, asked, take_turn
from device_trace import kernels_of, longest, parts_of, waits
from jax import numpy as jnp

from moec.runtime import experts
from moec.runtime.batch import Batch
from moec.runtime.devices import check_devices, prepare_devices
from moec.runtime.mesh import make_mesh
from moec.runtime.placement import batch_sharding
from moec.runtime.program import Program
from moec.runtime.routing import Routing
from moec.runtime.state import initial_state, lay_out
from moec.runtime.train_step import StepReport, lower_train_step

sys.path.append(str(Path(__file__).parents[1]))
from timed_runs import random_batch

BALANCED = 2
"""The number of the documents whose tokens go to experts evenly; those of others are 1."""

BURST = 2
"""Steps between two waits of the host."""

WARM_UP, LEAST_BURSTS = 1, 3


def even_experts(tokens: int, n_experts: int, top_k: int) -> jax.Array:
    """Experts of which each gets as many of the choices, where their number allows it [T, K]; all of a token differ."""
    return (jnp.arange(tokens)[:, None] * top_k + jnp.arange(top_k)) % n_experts


def with_balance(route: Callable[..., Routing]) -> Callable[..., Routing]:
    """`route`, overruled in documents that are to be balanced."""

    def routed(x_BSD: jax.Array, w_router: Any, batch: Batch, **options: Any) -> Routing:
        routing = route(x_BSD, w_router, batch, **options)
        chosen_BSK = routing.experts_BSK
        sequences, length, top_k = chosen_BSK.shape
        even = even_experts(sequences * length, routing.logits_BSE.shape[-1], top_k).reshape(chosen_BSK.shape)
        is_even = (batch.segments_BS == BALANCED)[..., None]
        return dataclasses.replace(routing, experts_BSK=jnp.where(is_even, even.astype(chosen_BSK.dtype), chosen_BSK))

    return routed


def read_program(path: Path) -> Program:
    """The emitted program, with a router that can be overruled. It imports `route` from where it is replaced."""
    own = experts.route
    experts.route = with_balance(own)
    try:
        program: Program = runpy.run_path(str(path))["PROGRAM"]
    finally:
        experts.route = own
    return program


def loads(report: StepReport) -> Row:
    """The busiest expert's tokens over the mean, in the worst layer, and the fraction of choices that were dropped."""
    if report.routers is None:
        return {}
    n_experts = report.routers.load.shape[-1]
    return {
        "busiest": n_experts * float(jnp.max(report.routers.load)),
        "dropped": float(jnp.mean(report.routers.dropped)),
    }


def peak_bytes() -> int | None:
    """The most that the device held at a time in this process; None where the device does not tell."""
    told = jax.devices()[0].memory_stats()
    return int(told["peak_bytes_in_use"]) if told else None


def account(compiled: jax.stages.Compiled) -> int | None:
    """Bytes that the step needs by the compiler's own account: arguments, outputs that are no arguments again,
    temporaries."""
    memory = compiled.memory_analysis()
    if memory is None:
        return None
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return int(memory.argument_size_in_bytes + outputs + memory.temp_size_in_bytes)


def measure(wanted: Row, told: Answers) -> None:
    """Tells a row for each routing."""
    program = read_program(Path(wanted["program"]))
    prepare_devices(program.mesh)
    check_devices(program.mesh)
    layout = lay_out(program, make_mesh(program.mesh))
    lowered = lower_train_step(program, layout)
    take_turn()
    began = time.perf_counter()
    step = lowered.compile()
    compiling = time.perf_counter() - began
    batch = jax.device_put(random_batch(program, wanted["vocab_size"]), batch_sharding(layout.mesh))
    even = dataclasses.replace(batch, segments_BS=BALANCED * batch.segments_BS)
    batches = {name: even if name == "balanced" else batch for name in wanted["routings"]}
    state = initial_state(program, layout)
    taken: dict[str, list[float]] = {name: [] for name in batches}
    reports: dict[str, StepReport] = {}

    began, rounds = time.perf_counter(), 0
    while rounds < WARM_UP + LEAST_BURSTS or time.perf_counter() - began < wanted["seconds"]:
        for name, own in batches.items():
            start = time.perf_counter()
            for _ in range(BURST):
                state, reports[name] = step(state, own)
            jax.block_until_ready(reports[name].loss)
            taken[name].append((time.perf_counter() - start) / BURST)
        rounds += 1
    traced, own = next(iter(batches.items()))
    kernels = {traced: kernels_of(lambda: step(state, own)[1].loss)}
    for name, report in reports.items():
        told.tell(
            name,
            seconds=taken[name][WARM_UP:],
            loss=float(report.loss),
            compiling=compiling,
            peak_bytes=peak_bytes(),
            compiler_bytes=account(step),
            host_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            parts=parts_of(kernels.get(name, [])),
            longest=longest(kernels.get(name, [])),
            waits=waits(kernels.get(name, [])),
            **loads(report),
            **about_jax(),
        )


if __name__ == "__main__":
    measure(asked(), answers())
