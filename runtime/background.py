"""The training step, compiled in a thread of its own while weights are drawn or read."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from moec.runtime.devices import is_one_cpu, platform_of
from moec.runtime.heap import keep_freed
from moec.runtime.program import Program
from moec.runtime.state import Layout
from moec.runtime.train_step import TrainStep, compile_train_step


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """`seconds` are those on the wall from tracing to the end of compiling."""

    step: TrainStep
    seconds: float


def compile_meanwhile(program: Program, layout: Layout) -> Callable[[], CompiledStep]:
    """What waits for the step: it is being compiled from now on where that asks nothing of the devices."""
    if compiles_on_host(program):
        return compile_in_background(program, layout).result
    return compile_later(program, layout)


def compile_later(program: Program, layout: Layout) -> Callable[[], CompiledStep]:
    """What compiles the step when it is called, and waits for it."""
    return lambda: compile_in_background(program, layout).result()


def compile_in_background(program: Program, layout: Layout) -> Future[CompiledStep]:
    """The step that is being compiled from now on; the result waits for it and raises what went wrong.

    Signals are answered meanwhile. Python waits for the thread before it ends.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="moec-compile")
    future = executor.submit(_compiled, program, layout)
    executor.shutdown(wait=False)
    return future


def compiles_on_host(program: Program) -> bool:
    """Whether compiling asks nothing of the devices. XLA for GPUs times kernels on them and takes the fastest, which
    must not happen while something else runs there."""
    return platform_of(program.mesh.hardware) != "gpu"


def _compiled(program: Program, layout: Layout) -> CompiledStep:
    began = time.perf_counter()
    step = compile_train_step(program, layout)
    if is_one_cpu(program.mesh):
        keep_freed()
    return CompiledStep(step, time.perf_counter() - began)
