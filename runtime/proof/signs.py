"""What in a compiled program should make a reader stop: the warnings of a proof."""

from __future__ import annotations

from moec.runtime.proof.collectives import Collective
from moec.runtime.proof.hlo import Module
from moec.runtime.proof.loops import Executions


def signs_of(module: Module, executions: Executions, collectives: tuple[Collective, ...]) -> tuple[str, ...]:
    """One sentence per finding."""
    found: list[str] = []
    if executions.unknown:
        found.append(
            f"{len(executions.unknown)} loops have a length that is decided at run time; what is in them counts once"
        )
    return tuple(found)
