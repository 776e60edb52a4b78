"""Tensors, activations and mesh -> CollectivePlan: what every device sends in one training step, forward and
backward.

Counts what the layout needs. XLA may fuse several into one, or hide them behind compute; norm statistics and scalars
are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Final

from moec.compiler.formulas.collectives import all_reduce_send_bytes, all_to_all_send_bytes, gathered_send_bytes
from moec.compiler.formulas.memory import BYTES_PER_ELEMENT, FLOAT32_BYTES, bytes_by_name, local_size
from moec.compiler.passes.layer_mix import mix_of
from moec.compiler.plan import ActivationPlan, BatchPlan, CollectivePlan, MeshPlan, RoutingPlan, StackPlan, TensorPlan
from moec.compiler.typed import ModelSpec, RunSpec

GRADIENT_AXES: Final = ("data", "fsdp", "expert", "seq")
"""Mesh axes that see different tokens, in the order of the mesh: those that cut a weight sum its gradient by cutting
it (`fsdp` by a reduce-scatter, `expert` because other tokens' slots have come to the expert)."""


def list_collectives(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    routing: RoutingPlan | None,
    tensors: tuple[TensorPlan, ...],
    activations: tuple[ActivationPlan, ...],
) -> tuple[CollectivePlan, ...]:
    """Collectives over every axis that is longer than 1, weights first, then the stream through the layers."""
    again = 0 if run.remat.policy == "none" else 1
    passes = (1 + again) * batch.micro_batches
    sizes = bytes_by_name(activations, mesh.axes)
    rows = (
        *weight_collectives(run, mesh.axes, batch.micro_batches, tensors),
        *model_collectives(run.model, stack, mesh.axes, passes, batch.micro_batches, routing, sizes),
        *expert_collectives(run, stack, mesh.axes, batch.micro_batches, routing, sizes),
        *sequence_collectives(stack, mesh.axes["seq"], passes, batch.micro_batches, sizes),
    )
    return tuple(row for row in rows if row.count and row.bytes)


def weight_collectives(
    run: RunSpec, axes: Mapping[str, int], micro_batches: int, tensors: tuple[TensorPlan, ...]
) -> Iterator[CollectivePlan]:
    """Weights gathered over `fsdp` in the compute dtype; gradients scattered back over it and summed over the axes
    that see other tokens. A layer that is made again in the backward pass gathers its weights again; else the gathered
    weights are kept. A tied table is gathered, and its gradient summed, for both of its uses."""
    size = BYTES_PER_ELEMENT[run.model.dtype.compute]
    again = 0 if run.remat.policy == "none" else 1
    for tensor in (tensor for tensor in tensors if tensor.trainable):
        cut = {axis for names in tensor.sharding for axis in names}
        local = local_size(tensor.shape, tensor.sharding, axes) * size
        uses = 2 if tensor.role == "embedding" and run.model.tie_embeddings else 1
        name, count = f"{tensor.owner}.{tensor.name}", uses * tensor.copies * micro_batches
        if "fsdp" in cut:
            sent = gathered_send_bytes(local * axes["fsdp"], axes["fsdp"])
            gathers, when = (1 + again, " and to make layers again") if tensor.layers and again else (1, "")
            yield CollectivePlan("all-gather", "fsdp", gathers * count, sent, f"{name} for the forward pass{when}")
            yield CollectivePlan("reduce-scatter", "fsdp", count, sent, f"gradient of {name}")
        # A weight that `fsdp` does not cut has its gradient summed over `fsdp` with the rest.
        summed = tuple(axis for axis in GRADIENT_AXES if axis not in cut and axes[axis] > 1)
        devices = prod(axes[axis] for axis in summed)
        # XLA casts gradients of experts to float32 before it sums them over the axes that remain.
        total = local // size * FLOAT32_BYTES if tensor.role == "experts" else local
        yield CollectivePlan(
            "all-reduce", "+".join(summed), count, all_reduce_send_bytes(total, devices), f"gradient of {name}"
        )


def model_collectives(
    model: ModelSpec,
    stack: StackPlan,
    axes: Mapping[str, int],
    passes: int,
    micro_batches: int,
    routing: RoutingPlan | None,
    sizes: Mapping[str, int],
) -> Iterator[CollectivePlan]:
    """Every branch gathers its input's width over `model` and scatters its output's; backward does the mirror image.

    Source: Korthikanti et al., arXiv 2205.05198, section 4.2.2 (there over the sequence, here over d_model).
    """
    n, mix, exchanged = axes["model"], mix_of(model, stack), routing is not None and exchanges(routing, axes)
    n_moe = len(stack.numbers_of("moe")) if exchanged else 0
    streams, taken = 2 * mix.whole - n_moe, int(mix.capacity * sizes["residual"])
    # The router reads the cut stream: each device's part of its product is summed, and the gradient of that is whole.
    logits = all_reduce_send_bytes(sizes.get("router_logits", 0), n)
    n_routers = len(stack.numbers_of("moe"))
    yield CollectivePlan("all-reduce", "model", n_routers * passes, logits, "router logits")
    scores = all_reduce_send_bytes(sizes.get("depth_scores", 0), n)
    yield CollectivePlan(
        "all-reduce", "model", mix.routed * (passes + micro_batches), scores, "scores of depth routers"
    )
    for what, count, local in (
        ("residual stream into and out of branches", streams, sizes["residual"]),
        ("taken tokens into and out of branches", 2 * mix.routed, taken),
        ("expert slots", n_moe, sizes.get("expert_buffer", 0)),
        ("residual stream after the table and before the head", 1, sizes["residual"]),
    ):
        sent = gathered_send_bytes(local * n, n)
        yield CollectivePlan("all-gather", "model", count * (passes + micro_batches), sent, what)
        yield CollectivePlan("reduce-scatter", "model", count * (passes + micro_batches), sent, what)


def exchanges(routing: RoutingPlan, axes: Mapping[str, int]) -> bool:
    """Whether slots travel over the expert axis, as against all tokens, or nothing where the axis is 1."""
    return axes["expert"] > 1 and routing.dispatch != "all_gather"


def expert_collectives(
    run: RunSpec,
    stack: StackPlan,
    axes: Mapping[str, int],
    micro_batches: int,
    routing: RoutingPlan | None,
    sizes: Mapping[str, int],
) -> Iterator[CollectivePlan]:
    """Tokens to their experts and back: 2 all-to-alls per MoE layer forward, 2 backward, and those of the forward pass
    again whose result the backward pass needs and remat does not keep; or a gather and a scatter of all tokens.

    Source: arXiv 2405.15052, table 1 (the two re-shardings of dispatched tokens lie inside the expert axis).
    """
    if routing is None:
        return
    n, count = axes["expert"], len(stack.numbers_of("moe")) * micro_batches
    if exchanges(routing, axes):
        remade = 0 if run.remat.policy == "none" else 2 - len(kept_exchanges(run))
        sent = all_to_all_send_bytes(sizes["expert_buffer"], n)
        what = f"expert slots, there and back{', and again for the backward pass' if remade else ''}"
        yield CollectivePlan("all-to-all", "expert", (4 + remade) * count, sent, what)
        return
    passes = 1 if run.remat.policy == "none" else 2
    sent = gathered_send_bytes(sizes["residual"] * axes["model"] * n, n)
    yield CollectivePlan("all-gather", "expert", count * (passes + 1), sent, "tokens to every expert shard")
    yield CollectivePlan("reduce-scatter", "expert", count * (passes + 1), sent, "expert outputs back to their tokens")


def kept_exchanges(run: RunSpec) -> frozenset[str]:
    """Which results of the two all-to-alls remat `names` keeps: an exchange of its own each."""
    if run.remat.policy != "names":
        return frozenset()
    return frozenset({*run.remat.save, *run.remat.offload}) & {"expert_buffer", "expert_out"}


def sequence_collectives(
    stack: StackPlan, n: int, passes: int, micro_batches: int, sizes: Mapping[str, int]
) -> Iterator[CollectivePlan]:
    """Keys and values gathered over `seq` in every layer, their gradients scattered back."""
    sent = gathered_send_bytes(sizes["k"] * n, n)
    layers = 2 * len(stack.layers)
    yield CollectivePlan("all-gather", "seq", layers * passes, sent, "keys and values")
    yield CollectivePlan("reduce-scatter", "seq", layers * micro_batches, sent, "gradients of keys and values")
