"""Every collective of a compiled program: what it does, over which mesh axes, how often and how much it sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from moec.runtime.proof.groups import extent_of
from moec.runtime.proof.hlo import Array, Computation, Instruction, Module
from moec.runtime.proof.loops import Executions
from moec.runtime.proof.slices import SliceMesh, transfer_of

OPS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
OP_OF_OPCODE = {op: op for op in OPS} | {f"{op}-start": op for op in OPS} | {"ragged-all-to-all": "all-to-all"}
"""The `-start` of an asynchronous pair stands for both."""


@dataclass(frozen=True, slots=True)
class Collective:
    """One instruction. `bytes` is what each device sends in one execution, `times` how often it runs in a step.

    `arrays` are what comes out (of a reduce-scatter: what goes in), `op_name` where the program asked for it, `whole`
    is False where a group has a part of the axis only.
    """

    op: str
    axis: str
    size: int
    whole: bool
    times: int
    bytes: int
    in_loop: bool
    arrays: tuple[Array, ...]
    op_name: str

    @property
    def step_bytes(self) -> int:
        """What each device sends in one step."""
        return self.times * self.bytes

    @property
    def payload_bytes(self) -> int:
        """The arrays of one execution."""
        return sum(array.bytes for array in self.arrays)


def find_collectives(module: Module, executions: Executions, mesh: SliceMesh) -> tuple[Collective, ...]:
    """All that exchange anything, inside slices and between them, those that send most in a step first."""
    later = _later_steps(module)
    found = [
        collective
        for name, times in executions.times.items()
        if name not in later
        for collective in _of_computation(module.computations[name], times, name in executions.in_loop, mesh)
        if collective.size > 1
    ]
    return tuple(sorted(found, key=lambda row: (-row.step_bytes, row.op, row.axis, row.op_name)))


def sent_bytes(op: str, payload: int, size: int) -> int:
    """What each of `size` devices sends: all but the own share of an array that is gathered, scattered or exchanged,
    twice that for an all-reduce, all of it to one other device.

    Source: ring algorithms, Thakur et al. 2005, "Optimization of Collective Communication Operations in MPICH".
    """
    if op == "collective-permute":
        return payload
    share = ceil(payload * (size - 1) / size)
    return 2 * share if op == "all-reduce" else share


def _later_steps(module: Module) -> frozenset[str]:
    """The computations in which XLA for TPUs writes a collective again that another has begun: while it runs, products
    carry it on (`async_collective_fusion`), and one ends it (`async-collective-done`)."""
    names = {name for name in module.computations if name.startswith("async_collective_fusion")}
    for computation in module.computations.values():
        for row in computation.instructions:
            names.update(row.called if row.name.startswith("async-collective-done") else ())
    return frozenset(names)


def _of_computation(computation: Computation, times: int, in_loop: bool, mesh: SliceMesh) -> Iterator[Collective]:
    ends = {
        operand: row for row in computation.instructions if row.opcode.endswith("-done") for operand in row.operands
    }
    for row in computation.instructions:
        op = OP_OF_OPCODE.get(row.opcode)
        if op is not None:
            extent, name = extent_of(row.attributes, mesh.inside), row.op_name or row.name
            arrays = ends[row.name].results if row.name in ends else row.results
            if op == "reduce-scatter":
                arrays = _joined(arrays, extent.size)
            elif op == "all-reduce" and _is_scattered(row, computation):
                op = "reduce-scatter"
        elif transfer := transfer_of(row, mesh):
            op, extent, name = transfer.op, transfer.extent, transfer.name
            arrays = (transfer.payload,) if op != "all-gather" else _joined((transfer.payload,), extent.size)
        else:
            continue
        sent = sent_bytes(op, sum(array.bytes for array in arrays), extent.size)
        yield Collective(op, extent.name, extent.size, extent.whole, times, sent, in_loop, arrays, name)


def _joined(arrays: Iterable[Array], size: int) -> tuple[Array, ...]:
    """The whole of what each of `size` devices has a share of."""
    return tuple(Array(array.type, (size, *array.shape)) for array in arrays)


def _is_scattered(row: Instruction, computation: Computation) -> bool:
    """Whether each device keeps a part of an all-reduce only: the form in which XLA writes a fused reduce-scatter."""
    if not computation.name.startswith("all-reduce-scatter"):
        return False
    return any(other.opcode == "dynamic-slice" for other in computation.instructions)
