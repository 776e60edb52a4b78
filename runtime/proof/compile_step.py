"""Compiles the real training step for a target from shapes alone, and reads what the compiler made of it.

Runs in a process of its own: a compiler may print, take minutes, or take the process down.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from moec.runtime.mesh import AXES, make_mesh
from moec.runtime.program import Program
from moec.runtime.proof.collectives import Collective, find_collectives
from moec.runtime.proof.expectation import Expectation
from moec.runtime.proof.flops import count_flops
from moec.runtime.proof.groups import PART
from moec.runtime.proof.hlo import read_module
from moec.runtime.proof.loops import count_executions
from moec.runtime.proof.measured import CollectiveRow, Measured, Memory
from moec.runtime.proof.signs import signs_of
from moec.runtime.proof.slices import slice_mesh
from moec.runtime.proof.targets import Target
from moec.runtime.proof.topology import answering_for, devices_of
from moec.runtime.state import lay_out
from moec.runtime.train_step import compile_train_step

MOST_ORIGINS = 8
"""How many places of origin are kept of a kind of collective."""


def measure(
    program: Program, target: Target, hlo: Path | None = None, expectation: Expectation | None = None
) -> Measured:
    """The facts of the step compiled for `target`; the compiler's text goes to `hlo` where one is given.

    Errors: what the compiler raises where it refuses the program.
    """
    devices = devices_of(target)
    began = time.perf_counter()
    with answering_for(target):
        compiled = compile_train_step(program, lay_out(program, make_mesh(program.mesh, devices)))
    seconds = time.perf_counter() - began
    text = compiled.as_text()
    if hlo is not None:
        hlo.write_text(text, encoding="utf-8")
    facts = _facts(program, compiled, text, expectation, target.slices)
    return replace(facts, device_kind=devices[0].device_kind, compile_seconds=seconds)


def _facts(
    program: Program, compiled: jax.stages.Compiled, text: str, expectation: Expectation | None, slices: int
) -> Measured:
    module = read_module(text)
    executions = count_executions(module)
    axes = dict(zip(AXES, program.mesh.sizes, strict=True))
    collectives = find_collectives(module, executions, slice_mesh(axes, slices))
    stats = compiled.memory_analysis()
    cost = compiled.cost_analysis() or {}
    return Measured(
        device_kind="",
        devices=program.mesh.devices,
        compile_seconds=0.0,
        jax_version=jax.__version__,
        memory=Memory(
            arguments=stats.argument_size_in_bytes,
            outputs=stats.output_size_in_bytes,
            aliased=stats.alias_size_in_bytes,
            temporary=temporary_bytes(stats),
            code=stats.generated_code_size_in_bytes,
        ),
        flops=count_flops(module, executions, expectation.n_experts if expectation else 0),
        estimated_seconds=max(0.0, float(cost.get("optimal_seconds", 0.0))),
        collectives=rows_of(collectives),
        unknown_loops=executions.unknown,
        warnings=signs_of(module, executions, collectives, expectation),
    )


def temporary_bytes(stats: Any) -> int:
    """Scratch memory: what the compiler reserves less what goes in and comes out. libtpu's `temp_size_in_bytes` is up
    to 1.4 of that, since it counts places that arrays share more than once; older JAX has nothing else.

    Source: the account of buffers of libtpu (`XLA_FLAGS=--xla_dump_to`), docs/log.md of 2026-11-27.
    """
    reserved = getattr(stats, "total_allocation_bytes", None)
    if reserved is None:
        return int(stats.temp_size_in_bytes)
    kept = stats.argument_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
    return int(reserved) - int(kept)


def rows_of(collectives: tuple[Collective, ...]) -> tuple[CollectiveRow, ...]:
    """One row per operation and axis, those that send most first."""
    groups: dict[tuple[str, str], list[Collective]] = defaultdict(list)
    for row in collectives:
        groups[row.op, row.axis if row.whole else f"{PART}{row.axis}"].append(row)
    rows = (_row(op, axis, members) for (op, axis), members in groups.items())
    return tuple(sorted(rows, key=lambda row: (-row.bytes, row.op, row.axis)))


def _row(op: str, axis: str, members: list[Collective]) -> CollectiveRow:
    origins: dict[str, int] = defaultdict(int)
    for row in members:
        origins[row.op_name] += row.step_bytes
    ranked = sorted(origins.items(), key=lambda item: (-item[1], item[0]))
    return CollectiveRow(
        op=op,
        axis=axis,
        count=sum(row.times for row in members),
        bytes=sum(row.step_bytes for row in members),
        in_loop_count=sum(row.times for row in members if row.in_loop),
        payload_bytes=max(row.payload_bytes for row in members),
        origins=tuple(ranked[:MOST_ORIGINS]),
    )
