"""Compiles the real training step from shapes alone and says what the compiler made of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass

import jax

from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.state import lay_out
from moec.runtime.train_step import compile_train_step

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
_INSTRUCTION = re.compile(rf"= [^=]*?\b({'|'.join(COLLECTIVES)})(?:-start)?\(")


@dataclass(frozen=True, slots=True)
class Proof:
    """What one compilation of the step showed. Units: bytes per device; `temporary_bytes` is scratch memory.

    `collectives` counts instructions in the program's text: one inside a loop counts once, however often it runs.
    """

    platform: str
    devices: int
    compile_seconds: float
    argument_bytes: int
    output_bytes: int
    reused_bytes: int
    temporary_bytes: int
    collectives: tuple[tuple[str, int], ...]

    @property
    def peak_bytes(self) -> int:
        """Arguments, outputs and scratch memory, without the outputs that take the place of arguments."""
        return self.argument_bytes + self.output_bytes - self.reused_bytes + self.temporary_bytes

    def describe(self) -> str:
        """The figures, one per line."""
        collectives = ", ".join(f"{count} x {name}" for name, count in self.collectives) or "none"
        return "\n".join(
            (
                f"the training step compiles for {self.devices} x {self.platform} in {self.compile_seconds:.1f} s",
                f"  arguments    {_mebibytes(self.argument_bytes)} per device",
                f"  outputs      {_mebibytes(self.output_bytes)}, of which {_mebibytes(self.reused_bytes)} in place",
                f"  temporaries  {_mebibytes(self.temporary_bytes)}",
                f"  together     {_mebibytes(self.peak_bytes)}",
                f"  collectives  {collectives}",
            )
        )


def prove(program: Program) -> Proof:
    """Compiles the step for this machine's devices. Errors: what the compiler raises where it refuses the program."""
    layout = lay_out(program, make_mesh(program.mesh))
    began = time.perf_counter()
    compiled = compile_train_step(program, layout)
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis()
    return Proof(
        platform=jax.devices()[0].platform,
        devices=program.mesh.devices,
        compile_seconds=seconds,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        reused_bytes=memory.alias_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        collectives=count_collectives(compiled.as_text()),
    )


def count_collectives(hlo: str) -> tuple[tuple[str, int], ...]:
    """How many instructions of each collective a compiled program's text has; an asynchronous pair counts once."""
    found = Counter(match.group(1) for match in _INSTRUCTION.finditer(hlo))
    return tuple(sorted(found.items()))


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
