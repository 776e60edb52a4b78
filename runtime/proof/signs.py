"""What in a compiled program should make a reader stop: the warnings of a proof."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import ceil, prod

from moec.runtime.proof.collectives import Collective
from moec.runtime.proof.expectation import Expectation, ExpectedTensor
from moec.runtime.proof.hlo import Module
from moec.runtime.proof.loops import Executions
from moec.runtime.proof.units import gigabytes

_REPLICATED = re.compile(r"Involuntary full rematerialization.*?for HLO operation %?(\S+) = (\w+\[[\d,]*\])")

MANY_WEIGHTS = 2
"""A gather outside all loops of more than this many times the largest weight of one layer is one of many layers."""

MANY_BUFFERS = 4
"""An array with a dim of experts, so many times as large as the planned buffer of slots, holds tokens times experts."""


def signs_of(
    module: Module,
    executions: Executions,
    collectives: tuple[Collective, ...],
    expectation: Expectation | None,
) -> tuple[str, ...]:
    """One sentence per finding in the compiler's text."""
    found = list(_unknown_loops(executions))
    if expectation is not None:
        found += [*_hoisted(collectives, expectation), *_per_expert(module, executions, expectation)]
    return tuple(found)


def replications(output: str) -> tuple[str, ...]:
    """The arrays that the compiler says it replicates because it finds no better way from one sharding to another."""
    found = Counter(shape for _, shape in _REPLICATED.findall(output))
    return tuple(
        f"the compiler replicates {shape} on all devices to shard it anew{f', {count} times' if count > 1 else ''}"
        for shape, count in sorted(found.items())
    )


def padding(expectation: Expectation) -> tuple[str, ...]:
    """Dims of the plan's arrays that their mesh axes do not divide: XLA fills them up without a word."""
    arrays = (*expectation.tensors, *expectation.activations)
    return tuple(sentence for array in arrays for sentence in _uneven(array, expectation))


def _uneven(array: ExpectedTensor, expectation: Expectation) -> Iterator[str]:
    for size, axes in zip(array.shape, array.sharding, strict=True):
        parts = prod(expectation.axes[axis] for axis in axes)
        if size % parts:
            padded = ceil(size / parts) * parts
            yield f"{array.name}: {size} over {'+'.join(axes)} ({parts}) is padded to {padded}"


def _unknown_loops(executions: Executions) -> Iterator[str]:
    if executions.unknown:
        yield (
            f"{len(executions.unknown)} loops have a length that is decided at run time (experts without a capacity); "
            "what is in them counts once"
        )


def _hoisted(collectives: tuple[Collective, ...], expectation: Expectation) -> Iterator[str]:
    """Weights of all layers gathered at once, before the loop over layers that was to gather one at a time."""
    weights = [tensor for tensor in expectation.tensors if tensor.layers]
    if not expectation.scan or not weights:
        return
    largest = max(prod(tensor.shape) for tensor in weights)
    alone = max((prod(tensor.shape) for tensor in expectation.tensors if not tensor.layers), default=0)
    for row in collectives:
        elements = max(array.elements for array in row.arrays)
        if row.op == "all-gather" and not row.in_loop and elements > max(MANY_WEIGHTS * largest, alone):
            yield f"{gigabytes(row.payload_bytes)} of weights are gathered before the loop over layers: `{row.op_name}`"


def _per_expert(module: Module, executions: Executions, expectation: Expectation) -> Iterator[str]:
    buffers = [array for array in expectation.activations if array.name.startswith("expert_buffer")]
    if not buffers or not expectation.n_experts:
        return
    limit = MANY_BUFFERS * _elements_on_device(buffers[0], expectation)
    limit = max(limit, *(_elements_on_device(array, expectation) for array in expectation.activations))
    dims = {expectation.n_experts, expectation.n_experts // expectation.axes["expert"]} - {1}
    stacked = {repeats for repeats in expectation.repeats if repeats > 1}
    told: set[str] = set()
    for name in executions.times:
        for row in module.computations[name].instructions:
            large = [a for a in row.results if a.elements > limit and len(a.shape) > 2 and dims & set(a.shape)]
            if row.opcode in ("parameter", "tuple", "get-tuple-element", "while") or _is_weight(row.op_name):
                continue
            for array in large:
                text = f"{array.type}[{','.join(map(str, array.shape))}]"
                if text not in told and not stacked & set(array.shape):
                    told.add(text)
                    yield f"an array of tokens times experts, {text} ({gigabytes(array.bytes)}): `{row.op_name}`"


def _elements_on_device(array: ExpectedTensor, expectation: Expectation) -> int:
    return prod(
        ceil(size / prod(expectation.axes[axis] for axis in axes))
        for size, axes in zip(array.shape, array.sharding, strict=True)
    )


def _is_weight(op_name: str) -> bool:
    return op_name.startswith("state.")
