"""How often each computation of a compiled program runs in one step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from moec.runtime.proof.hlo import Computation, Instruction, Module

_KNOWN = re.compile(r'"known_trip_count":\s*\{"n":\s*"(\d+)"\}')
_INDEX = re.compile(r"\bindex=(\d+)")
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
    """The number of runs of each computation that is reached from the entry. Where a truth value chooses, what it is
    true for runs, where a number does, the first branch: programs choose so between what they do and what they do for
    batches out of the ordinary."""
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
                length = trip_count(instruction, computation, module)
                unknown.extend([instruction.name] if length is None else [])
                factor = 1 if length is None else length
            is_choice = instruction.opcode == "conditional"
            for called in _usual(instruction, module) if is_choice else instruction.called:
                visit(called, count * factor, looping or instruction.opcode == "while")

    visit(module.entry, 1, False)
    return Executions(dict(times), tuple(dict.fromkeys(unknown)), frozenset(in_loop))


def trip_count(loop: Instruction, caller: Computation, module: Module) -> int | None:
    """How often the body of a `while` of `caller` runs: what the compiler says, else what lies between the start and
    the bound of the condition's counter over its step; None where the bound is not a constant."""
    known = _KNOWN.search(loop.attributes)
    if known:
        return int(known.group(1))
    condition = _part(loop, "condition", module)
    bound = None if condition is None else _bound(condition, module)
    body = _part(loop, "body", module)
    if condition is None or bound is None or body is None:
        return None
    index = _counter_index(condition)
    return max(0, ceil((bound - _start(loop, caller, index)) / _step(body, index)))


def _usual(choice: Instruction, module: Module) -> tuple[str, ...]:
    where_true = _part(choice, "true_computation", module)
    return choice.called[:1] if where_true is None else (where_true.name,)


def _part(loop: Instruction, which: str, module: Module) -> Computation | None:
    found = re.search(rf"\b{which}=%?([^\s,]+)", loop.attributes)
    return module.computations.get(found.group(1)) if found else None


def _bound(condition: Computation, module: Module) -> int | None:
    """The constant that a counter is compared with."""
    computations = [condition]
    for instruction in condition.instructions:
        computations += [module.computations[name] for name in instruction.called if name in module.computations]
    compares = [row for part in computations for row in part.instructions if row.opcode == "compare"]
    constants = [row for part in computations for row in part.instructions if row.opcode == "constant"]
    if len(compares) != 1 or not _DIRECTION.search(compares[0].attributes):
        return None
    numbers = {int(row.literal) for row in constants if row.literal.isdecimal() and not row.results[0].shape}
    return numbers.pop() if len(numbers) == 1 else None


def _counter_index(condition: Computation) -> int | None:
    """The place of the counter in the loop's state."""
    found = next((_INDEX.search(row.attributes) for row in condition.instructions if _is_counter(row)), None)
    return int(found.group(1)) if found else None


def _start(loop: Instruction, caller: Computation, index: int | None) -> int:
    """Where the counter begins: 1 in a loop whose first run XLA has taken out. 0 where it cannot be seen."""
    rows = caller.named()
    state = rows.get(loop.operands[0]) if loop.operands else None
    if state is None or state.opcode != "tuple" or index is None or index >= len(state.operands):
        return 0
    start = rows.get(state.operands[index])
    while start is not None and start.opcode == "copy":
        start = rows.get(start.operands[0])
    return _constant(start) or 0


def _step(body: Computation, index: int | None) -> int:
    """What the body adds to the counter: 2 in a loop that XLA has unrolled once. 1 where it cannot be seen."""
    rows = body.named()
    root = next((row for row in body.instructions if row.is_root), None)
    if root is None or index is None or index >= len(root.operands):
        return 1
    update = rows.get(root.operands[index])
    if update is None or update.opcode != "add":
        return 1
    added = [rows[name] for name in update.operands if name in rows and rows[name].opcode == "constant"]
    return (_constant(added[0]) if len(added) == 1 else None) or 1


def _constant(row: Instruction | None) -> int | None:
    """The number that a row is; None where it is none, or below zero."""
    return int(row.literal) if row is not None and row.opcode == "constant" and row.literal.isdecimal() else None


def _is_counter(row: Instruction) -> bool:
    """Whether a row of a condition reads a scalar of the loop's state."""
    return row.opcode == "get-tuple-element" and row.results[0].shape == ()
