"""How often each computation of a compiled program runs in one step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from moec.runtime.proof.hlo import Computation, Instruction, Module

_KNOWN = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_DIRECTION = re.compile(r"\bdirection=(LT|LE|GT|GE|NE)")


@dataclass(frozen=True, slots=True)
class Executions:
    """`times` a computation runs. `unknown` are the loops whose length is decided at run time: their bodies count once.

    `in_loop` are the computations that run inside some loop.
    """

    times: Mapping[str, int]
    unknown: tuple[str, ...]
    in_loop: frozenset[str]


def count_executions(module: Module) -> Executions:
    """The number of runs of each computation that is reached from the entry; both branches of a choice count."""
    times: dict[str, int] = defaultdict(int)
    unknown: list[str] = []
    in_loop: set[str] = set()

    def visit(name: str, count: int, looping: bool) -> None:
        computation = module.computations.get(name)
        if computation is None:
            return
        times[name] += count
        if looping:
            in_loop.add(name)
        for instruction in computation.instructions:
            if instruction.opcode.endswith(("-done", "-update")):
                continue
            factor = 1
            if instruction.opcode == "while":
                length = trip_count(instruction, module)
                unknown.extend([instruction.name] if length is None else [])
                factor = 1 if length is None else length
            for called in instruction.called:
                visit(called, count * factor, looping or instruction.opcode == "while")

    visit(module.entry, 1, False)
    return Executions(dict(times), tuple(dict.fromkeys(unknown)), frozenset(in_loop))


def trip_count(loop: Instruction, module: Module) -> int | None:
    """How often the body of a `while` runs: what the compiler says, else what the condition compares with; None where
    that is not a constant."""
    known = _KNOWN.search(loop.attributes)
    if known:
        return int(known.group(1))
    condition = re.search(r"\bcondition=%?([^\s,]+)", loop.attributes)
    computation = module.computations.get(condition.group(1)) if condition else None
    return None if computation is None else _bound(computation, module)


def _bound(condition: Computation, module: Module) -> int | None:
    """The constant that a counter from 0 is compared with. Assumption: scans count up from 0 by 1."""
    computations = [condition]
    for instruction in condition.instructions:
        computations += [module.computations[name] for name in instruction.called if name in module.computations]
    compares = [row for part in computations for row in part.instructions if row.opcode == "compare"]
    constants = [row for part in computations for row in part.instructions if row.opcode == "constant"]
    if len(compares) != 1 or not _DIRECTION.search(compares[0].attributes):
        return None
    numbers = {int(row.literal) for row in constants if row.literal.isdecimal() and not row.results[0].shape}
    return numbers.pop() if len(numbers) == 1 else None
