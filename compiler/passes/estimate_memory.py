"""Tensors, activations and policy -> MemoryPlan: bytes on one device at the peak of a training step.

An estimate for the layout, not a substitute for the compiler's own account (`moec prove`). Fragmentation is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moec.compiler.formulas.memory import (
    BYTES_PER_ELEMENT,
    FLOAT32_BYTES,
    activation_bytes,
    local_elements,
    optimizer_elements,
    stem,
)
from moec.compiler.passes.places import place
from moec.compiler.plan import ActivationPlan, BatchPlan, MemoryPlan, MeshPlan, StackPlan, TensorPlan
from moec.compiler.typed import RunSpec
from moec.spec.codes import memory as codes
from moec.spec.diagnostics import Diagnostic

RESIDUALS_KEPT: Final = {"none": 4, "save_dots": 2, "full": 0, "names": 0}
"""Arrays of the residual stream's size that every layer keeps: the input and the normed input of both branches, or both
branches' outputs. Where something is made again, each piece keeps its input besides.

Assumption: XLA keeps nothing that a fusion can make again from these."""

COPIES_KEPT: Final = {"weights": 3, "ffn_gate": 3, "expert_gate": 3, "shared_gate": 3}
"""Arrays that autodiff keeps for one activation without re-computation, where it is not one: scores, their exponentials
and the weights of a softmax; a gate, its tanh and the gated value.

Source: measured, temporaries per layer of compiled steps (jax 0.10.2, XLA on CPU): dense 93 MiB of 93 so counted, with
experts 118 of 120."""

DOTS: Final = ("q", "k", "v", "ffn_gate", "ffn_up", "shared_gate", "shared_up")
"""Outputs of matmuls without batch dims. Source: jax.checkpoint_policies.dots_with_no_batch_dims_saveable."""


LITTLE_LEFT: Final = 0.9
"""Assumption: XLA, collectives and fragmentation want a tenth of the memory (XLA_PYTHON_CLIENT_MEM_FRACTION is 0.9
at most)."""


def estimate_memory(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    tensors: tuple[TensorPlan, ...],
    activations: tuple[ActivationPlan, ...],
) -> tuple[MemoryPlan, tuple[Diagnostic, ...]]:
    """Bytes per device, checked against the chip where its memory is known. Errors: MOE7101. Warnings: MOE7201."""
    trained = tuple(tensor for tensor in tensors if tensor.trainable)
    params = sum(tensor_bytes(tensor, mesh.axes) for tensor in tensors)
    copies = 1 if batch.micro_batches == 1 else 2
    gradients = copies * FLOAT32_BYTES * sum(local_elements(tensor, mesh.axes) for tensor in trained)
    state = sum(optimizer_elements(run.optimizer.kind, tensor, mesh.axes) for tensor in trained)
    optimizer = FLOAT32_BYTES * state
    held = kept_bytes(run, stack, mesh, activations) + largest_temporary(run, mesh, tensors, activations)
    hbm = run.mesh.hardware.hbm_bytes
    total = params + gradients + optimizer + held
    plan = MemoryPlan(params, gradients, optimizer, held, total, hbm)
    if not hbm or total <= LITTLE_LEFT * hbm:
        return plan, ()
    if total <= hbm:
        return plan, (codes.little_memory_left(place(run, "mesh.hardware"), total, hbm, run.mesh.hardware.name),)
    return plan, (memory_error(run, plan),)


def memory_error(run: RunSpec, plan: MemoryPlan) -> Diagnostic:
    """Too much is asked of the chip: say what takes most, and what would make that smaller."""
    parts = {
        "params": plan.params,
        "gradients": plan.gradients,
        "optimizer": plan.optimizer,
        "activations": plan.activations,
    }
    if plan.activations * 2 < plan.total:
        advice = "make the `fsdp` or `expert` axis longer: it cuts weights, gradients and optimizer state"
    elif run.remat.policy == "none":
        advice = "write remat { policy = full }, or a smaller `batch.micro`"
    else:
        advice = "write a smaller `batch.micro`, or make the `seq` or `model` axis longer"
    at = place(run, "mesh.hardware")
    return codes.over_memory(at, plan.total, plan.hbm, parts, run.mesh.hardware.name, advice)


def tensor_bytes(tensor: TensorPlan, axes: Mapping[str, int]) -> int:
    """Bytes of all copies of one weight on one device."""
    return local_elements(tensor, axes) * BYTES_PER_ELEMENT[tensor.dtype]


def layers_with(activation: ActivationPlan, stack: StackPlan) -> int:
    """In how many layers an activation exists; the logits are in none."""
    name = stem(activation)
    n_moe = sum(layer.kind == "moe" for layer in stack.layers)
    if name == "logits":
        return 0
    if name.startswith("ffn"):
        return len(stack.layers) - n_moe
    return n_moe if name.startswith(("router", "expert", "shared")) else len(stack.layers)


def kept_names(run: RunSpec, activations: tuple[ActivationPlan, ...]) -> frozenset[str]:
    """Which activations of a layer stay on the device for the backward pass."""
    policy = run.remat.policy
    if policy == "none":
        return frozenset(stem(activation) for activation in activations if not is_one_block(activation))
    if policy == "save_dots":
        return frozenset(DOTS)
    return frozenset(run.remat.save) - frozenset(run.remat.offload) if policy == "names" else frozenset()


def copies_kept(run: RunSpec, activation: ActivationPlan) -> int:
    """How many arrays of its size are kept for an activation; re-computation policies keep the array that they name."""
    return COPIES_KEPT.get(stem(activation), 1) if run.remat.policy == "none" else 1


def is_one_block(activation: ActivationPlan) -> bool:
    """Whether these are attention weights of a block of queries, which the kernel makes again in the backward pass."""
    return stem(activation) == "weights" and activation.shape[2] < activation.shape[3]


def kept_bytes(run: RunSpec, stack: StackPlan, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """What all layers keep for the backward pass."""
    names = kept_names(run, activations) - {"residual", "logits"}
    kept = sum(
        layers_with(activation, stack) * copies_kept(run, activation) * activation_bytes(activation, mesh.axes)
        for activation in activations
        if stem(activation) in names
    )
    residual = next(activation for activation in activations if stem(activation) == "residual")
    streams = RESIDUALS_KEPT[run.remat.policy] * len(stack.layers)
    if run.remat.policy != "none":
        streams += len(stack.head) + stack.repeats
    return kept + streams * activation_bytes(residual, mesh.axes)


def largest_temporary(
    run: RunSpec, mesh: MeshPlan, tensors: tuple[TensorPlan, ...], activations: tuple[ActivationPlan, ...]
) -> int:
    """The larger of the loss (one chunk of logits and its gradient) and the backward pass of one layer: what is made
    again, the largest activation's gradient with what it is made from, and weights gathered over `fsdp`."""
    logits = next(activation for activation in activations if stem(activation) == "logits")
    inside = [activation_bytes(activation, mesh.axes) for activation in activations if activation is not logits]
    remade = sum(inside) if run.remat.policy != "none" else 0
    loss = 2 * activation_bytes(logits, mesh.axes)
    return max(loss, remade + 2 * max(inside) + gathered_weights(run, mesh, tensors))


def gathered_weights(run: RunSpec, mesh: MeshPlan, tensors: tuple[TensorPlan, ...]) -> int:
    """Weights of one layer of the largest kind in the compute dtype, whole over `fsdp`."""
    whole = {**mesh.axes, "fsdp": 1}
    size = BYTES_PER_ELEMENT[run.model.dtype.compute]
    by_first_layer: dict[int, int] = {}
    for layer in {layer for tensor in tensors for layer in tensor.layers[:1]}:
        inside = (tensor for tensor in tensors if layer in tensor.layers)
        by_first_layer[layer] = sum(local_elements(tensor, whole) // tensor.copies * size for tensor in inside)
    return max(by_first_layer.values())
