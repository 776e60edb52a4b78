"""What is said where a run asks for more memory than there is: the plan's numbers, and three ways out by field."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jax

from moec.runtime.failure import RunError
from moec.runtime.program import Program
from moec.runtime.proof.expectation import Expectation, read_expectation
from moec.runtime.proof.failure_text import largest_allocations
from moec.runtime.proof.units import gigabytes

OUT_OF_MEMORY_EXIT_CODE = 71
"""Source: EX_OSERR of the BSDs' sysexits.h, the operating system cannot give what was asked for."""

WAYS_OUT = 3
_ON_CHIP = re.compile(r"memory space (?:vmem|smem)|shared memory", re.IGNORECASE)
_PLAIN_BYTES = re.compile(r"\b(\d{4,}) bytes")
_KINDS = ("params", "gradients", "optimizer", "activations")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had too little memory; what a kernel lacks on the chip itself is not meant."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    lacks = any(sign in text for sign in ("RESOURCE_EXHAUSTED", "Ran out of memory", "CUDA_ERROR_OUT_OF_MEMORY"))
    return isinstance(error, jax.errors.JaxRuntimeError) and lacks and not _ON_CHIP.search(text)


def out_of_memory(error: BaseException, program: Program, out: Path) -> RunError:
    """The error to end with: what was asked for, what was planned, and what can be changed in the spec."""
    planned = planned_beside(out)
    ways = [f"  {number}. {way}" for number, way in enumerate(list(ways_out(program, planned))[:WAYS_OUT], start=1)]
    lines = (
        f"out of memory: {_asked_for(error)}",
        *largest_allocations(str(error)),
        f"the plan: {memory_in_words(planned)}",
        *ways,
        "Change the spec; `moec run … --accept-changes` then goes on from the newest checkpoint.",
    )
    return RunError("\n".join(lines), OUT_OF_MEMORY_EXIT_CODE)


def planned_beside(out: Path) -> Expectation | None:
    """What the plan beside the program, or else the one in the run's folder, predicts; None where neither is there."""
    for folder in (Path(sys.argv[0]).resolve().parent, out):
        with contextlib.suppress(RunError, OSError):  # this is told beside another error, which it must not hide
            if (planned := read_expectation(folder)) is not None:
                return planned
    return None


def memory_in_words(planned: Expectation | None) -> str:
    """The predicted bytes of one device by kind, against what it has."""
    if planned is None:
        return "there is no plan.json beside the program that says what it needs"
    memory = planned.memory_bytes
    kinds = ", ".join(f"{name} {gigabytes(memory[name])}" for name in _KINDS)
    had = f" of the {gigabytes(planned.hbm_bytes)} that it has" if planned.hbm_bytes else ""
    return f"each device needs {gigabytes(memory['total'])}{had}: {kinds}"


def ways_out(program: Program, planned: Expectation | None) -> Iterator[str]:
    """Fields with values under which the run needs less memory, what spares the most first."""
    memory = planned.memory_bytes if planned is not None else dict.fromkeys(_KINDS, 0)
    if memory["activations"] >= memory["params"] + memory["gradients"] + memory["optimizer"]:
        yield from (*_fewer_activations(program, planned), *_thinner_state(program, planned))
    else:
        yield from (*_thinner_state(program, planned), *_fewer_activations(program, planned))
    if program.mesh.hardware == "cpu":
        yield "a machine with more memory, or nothing else beside the run on this one"
    else:
        yield "mesh.hardware = a chip with more memory"
    yield "model.seq_len, model.d_model or model.n_layers smaller: another model, which begins afresh"


def _fewer_activations(program: Program, planned: Expectation | None) -> Iterator[str]:
    training, mesh = program.training, program.mesh
    shares = mesh.data * mesh.fsdp * mesh.expert
    smaller = [
        sequences
        for sequences in range(shares, training.micro_sequences, shares)
        if training.micro_sequences % sequences == 0
    ]
    if smaller:
        now, then = (sequences * training.seq_len for sequences in (training.micro_sequences, smaller[-1]))
        yield f"run.batch.micro = {then}: so many of a step's {training.batch_tokens} tokens at a time, now {now}"
    if planned is None or planned.remat != "full":
        now_kept = "" if planned is None else f", now {planned.remat}"
        yield f"run.remat.policy = full: keeps only what goes into each layer and computes the rest again{now_kept}"


def _thinner_state(program: Program, planned: Expectation | None) -> Iterator[str]:
    """Weights, gradients and optimizer over more devices; virtual ones on a CPU share its memory, there it is less of
    the optimizer, where that keeps more than the weights."""
    mesh = program.mesh
    if mesh.hardware == "cpu":
        if planned is not None and planned.memory_bytes["optimizer"] > planned.memory_bytes["params"]:
            yield "run.optimizer.kind = lion: keeps one number per weight in place of two, and begins afresh"
        return
    if mesh.data > 1:
        wider = f"mesh.axes.fsdp = {mesh.fsdp * mesh.data}, mesh.axes.data = 1"
    else:
        wider = f"mesh.axes.fsdp = {2 * mesh.fsdp}, mesh.devices = {2 * mesh.devices}"
    yield f"{wider}: more devices share weights, gradients and optimizer, now {mesh.fsdp}"


def _asked_for(error: BaseException) -> str:
    """The first line of the refusal, with long numbers of bytes in units."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else "Python could get no more"
    return _PLAIN_BYTES.sub(lambda found: gigabytes(int(found[1])), first.removeprefix("RESOURCE_EXHAUSTED: "))[:400]
