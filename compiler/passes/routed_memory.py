"""RunSpec, mesh, batch, activations -> what a routed layer holds: a dense layer's arrays for the tokens that it takes,
and the whole stream around them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from moec.compiler.formulas.depth_routing import taken_tokens
from moec.compiler.formulas.memory import activation_bytes, named
from moec.compiler.passes.choose_kernels import choose_attention, told_documents
from moec.compiler.passes.layer_memory import LayerMemory, layer_memory
from moec.compiler.passes.shard_activations import shard_activations
from moec.compiler.plan import ActivationPlan, BatchPlan, KernelPlan, LayerKind, MeshPlan, StackPlan
from moec.compiler.typed import RunSpec

STREAMS_AROUND: Final = 1
"""Whole streams that stay for the backward pass: what the router scores. Source: moec.runtime.depth_routing."""


def memory_of_kind(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    activations: tuple[ActivationPlan, ...],
    kind: LayerKind,
) -> LayerMemory:
    """What a layer of any kind holds."""
    if kind != "routed":
        return layer_memory(run, stack, mesh, activations, kind)
    short = with_taken_tokens(run)
    chunk = named(activations, "logits").shape[0]
    kernel, _ = choose_attention(run, mesh)
    kernels = KernelPlan(kernel, told_documents(run, kernel), chunk)
    inside = layer_memory(short, stack, mesh, shard_activations(short, batch, None, kernels), "dense")
    stream = activation_bytes(named(activations, "residual"), mesh.axes)
    around = STREAMS_AROUND * stream
    kept, remade = (around, 0) if run.remat.policy == "none" else (0, around)
    return LayerMemory(inside.kept + kept, inside.remade + remade, inside.extra + stream)


def with_taken_tokens(run: RunSpec) -> RunSpec:
    """The run as a routed layer sees it: each sequence as long as what it takes of one."""
    routing = run.model.depth_routing
    assert routing is not None, "only depth routing makes routed layers"
    return replace(run, model=replace(run.model, seq_len=taken_tokens(routing.capacity, run.model.seq_len)))
