"""RunSpec -> all runs that it may become: every factorization over the `auto` axes, every re-computation policy, every
number of micro-batches.

Says nothing about which of them are legal or good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Final

from moec.compiler.passes.split_batch import BATCH_AXES
from moec.compiler.typed import MESH_AXES, RematPolicy, RunSpec

POLICIES: Final[tuple[RematPolicy, ...]] = ("none", "save_dots", "full")
"""From the most memory to the least. `names` needs names, so nobody chooses it for the user."""


def automatic_axes(run: RunSpec) -> tuple[str, ...]:
    """The mesh axes that are `auto`, in the order of MESH_AXES."""
    return tuple(axis for axis in MESH_AXES if run.mesh.axes[axis] == "auto")


def open_choices(run: RunSpec) -> tuple[str, ...]:
    """The dotted paths that the planner has to decide, () where there is nothing to choose.

    One `auto` axis alone is what the others leave over. Where the memory of the hardware is not known, `batch.micro`
    is the whole batch.
    """
    axes = automatic_axes(run)
    paths = [f"mesh.axes.{axis}" for axis in axes] if len(axes) > 1 else []
    if run.batch.micro == "auto" and run.mesh.hardware.hbm_bytes:
        paths.append("batch.micro")
    if run.remat.policy == "auto":
        paths.append("remat.policy")
    return tuple(paths)


def layouts(run: RunSpec) -> Iterator[RunSpec]:
    """The run with each way to spread its devices over several `auto` axes, the run itself where at most one is.

    None where the written axes do not divide the devices.
    """
    free = automatic_axes(run)
    if len(free) <= 1:
        yield run
        return
    written = prod(size for size in run.mesh.axes.values() if size != "auto")
    left, rest = divmod(run.mesh.devices, written)
    if rest:
        return
    for sizes in factorizations(left, len(free)):
        axes = {**run.mesh.axes, **dict(zip(free, sizes, strict=True))}
        yield replace(run, mesh=replace(run.mesh, axes=axes))


def factorizations(number: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ordered ways to write `number` as a product of `parts` factors; for no parts the empty one, of 1 alone."""
    if parts == 0:
        if number == 1:
            yield ()
        return
    if parts == 1:
        yield (number,)
        return
    for factor in divisors(number):
        for others in factorizations(number // factor, parts - 1):
            yield (factor, *others)


def divisors(number: int) -> tuple[int, ...]:
    """The divisors of `number`, ascending."""
    small = [factor for factor in range(1, int(number**0.5) + 1) if number % factor == 0]
    return tuple(sorted({*small, *(number // factor for factor in small)}))


def policies(run: RunSpec) -> tuple[RunSpec, ...]:
    """The run with each policy that it may take."""
    if run.remat.policy != "auto":
        return (run,)
    return tuple(replace(run, remat=replace(run.remat, policy=policy)) for policy in POLICIES)


def micro_batches(run: RunSpec) -> Iterator[RunSpec]:
    """The run with each micro-batch of whole sequences per device that it may take, the largest first."""
    if run.batch.micro != "auto":
        yield run
        return
    written = prod(size for size in run.mesh.axes.values() if size != "auto")
    sizes = {axis: run.mesh.devices // written if size == "auto" else size for axis, size in run.mesh.axes.items()}
    shares = prod(sizes[axis] for axis in BATCH_AXES)
    sequences, rest = divmod(run.batch.tokens, run.model.seq_len * shares)
    if rest:
        return
    for number in divisors(sequences):
        yield replace(run, batch=replace(run.batch, micro=run.batch.tokens // number))
