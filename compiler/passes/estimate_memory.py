"""Tensors, activations and policy -> MemoryPlan: bytes on one device at the peak of a training step.

The step is looked at where memory can be fullest: at the loss, in the backward pass of each layer, at the update. An
estimate for the layout, not a substitute for the compiler's own account (`moec prove`). Fragmentation is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moec.compiler.formulas.memory import (
    BYTES_PER_ELEMENT,
    FLOAT32_BYTES,
    activation_bytes,
    bytes_by_name,
    local_elements,
    named,
    optimizer_elements,
)
from moec.compiler.passes.layer_memory import LayerMemory
from moec.compiler.passes.places import place
from moec.compiler.passes.routed_memory import memory_of_kind
from moec.compiler.plan import (
    ActivationPlan,
    BatchPlan,
    LayerKind,
    LayerPlan,
    MemoryPlan,
    MeshPlan,
    StackPlan,
    TensorPlan,
)
from moec.compiler.typed import RunSpec
from moec.spec.codes import memory as codes
from moec.spec.diagnostics import Diagnostic

BATCH_ARRAYS: Final = 5
"""Tokens, targets, positions, segments and weights, four bytes each. Source: moec.runtime.batch.Batch."""

LOSS_STREAMS: Final = 3
LOSS_LOGITS: Final = 2
LOSS_LOGITS_IN_PLACE: Final = 1
"""At the loss: the last stream, its norm and their gradient; logits that are one chunk, and their gradient, which on
TPUs takes their place.

Source: measured on compiled steps (jax 0.12), XLA on CPU 3.5 and 1.8, libtpu's own account for TPUs."""

LITTLE_LEFT: Final = 0.9
"""Assumption: XLA, collectives and fragmentation want a tenth of the memory (XLA_PYTHON_CLIENT_MEM_FRACTION is 0.9
at most)."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Bytes besides weights and optimizer state, where they can be most: gradients so far, what is kept, what is worked
    with. `batch` is there all the time."""

    batch: int
    loss: int
    layers: int
    update: int

    @property
    def peak(self) -> int:
        return self.batch + max(self.loss, self.layers, self.update)


@dataclass(frozen=True, slots=True)
class StateMemory:
    """Bytes on one device that weights alone decide: theirs, of one gradient of each, of the optimizer's state, and
    what they take on their way through a step."""

    params: int
    gradients: int
    optimizer: int
    moving: WeightMemory


def state_memory(run: RunSpec, mesh: MeshPlan, tensors: tuple[TensorPlan, ...]) -> StateMemory:
    """The same for every micro-batch and remat policy."""
    trained = tuple(tensor for tensor in tensors if tensor.trainable)
    return StateMemory(
        params=sum(tensor_bytes(tensor, mesh.axes) for tensor in tensors),
        gradients=FLOAT32_BYTES * sum(local_elements(tensor, mesh.axes) for tensor in trained),
        optimizer=FLOAT32_BYTES * sum(optimizer_elements(run.optimizer.kind, tensor, mesh.axes) for tensor in trained),
        moving=weight_memory(run, mesh, tensors),
    )


def estimate_memory(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    tensors: tuple[TensorPlan, ...],
    activations: tuple[ActivationPlan, ...],
    state: StateMemory | None = None,
) -> tuple[MemoryPlan, tuple[Diagnostic, ...]]:
    """Bytes per device, checked against the chip where its memory is known; `state` is worked out where it is not
    given. Errors: MOE7101. Warnings: MOE7201."""
    state = state or state_memory(run, mesh, tensors)
    gradients = gradient_copies(batch) * state.gradients
    held = moments(run, stack, mesh, batch, tensors, activations, state.moving).peak - gradients
    hbm = run.mesh.hardware.hbm_bytes
    total = state.params + gradients + state.optimizer + held
    plan = MemoryPlan(state.params, gradients, state.optimizer, held, total, hbm)
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


def gradient_copies(batch: BatchPlan) -> int:
    """Gradients, and their sum over micro-batches where there are several."""
    return 1 if batch.micro_batches == 1 else 2


def moments(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    tensors: tuple[TensorPlan, ...],
    activations: tuple[ActivationPlan, ...],
    weights: WeightMemory | None = None,
) -> Moments:
    """The bytes of each moment at which a step can need most; `weights` is worked out where it is not given."""
    weights = weights or weight_memory(run, mesh, tensors)
    sum_of_micro = weights.all_gradients if batch.micro_batches > 1 else 0
    kinds = {layer.kind for layer in stack.layers}
    of_kind = {kind: memory_of_kind(run, stack, mesh, batch, activations, kind) for kind in kinds}
    layers = Layers(run, stack, mesh, activations, weights, of_kind)
    sizes = bytes_by_name(activations, mesh.axes)
    cast = cast_stacks(run, stack, mesh, tensors)
    logits = logits_at_work(run, batch, activations, sizes["logits"], weights.head_gradient)
    loss = LOSS_STREAMS * sizes["residual"] + logits + weights.head
    return Moments(
        batch=BATCH_ARRAYS * FLOAT32_BYTES * batch.tokens_per_device,
        loss=sum_of_micro + cast + layers.kept + loss,
        layers=sum_of_micro + cast + weights.outside_gradients + layers.backward_peak,
        update=sum_of_micro + weights.all_gradients,
    )


def logits_at_work(
    run: RunSpec, batch: BatchPlan, activations: tuple[ActivationPlan, ...], logits: int, head_gradient: int
) -> int:
    """Bytes of logits, of which a chunk takes `logits`, and of what is made of them: where there are several chunks,
    their gradient in the compute dtype, and the head's, which all chunks add to.

    Source: moec.runtime.losses; seen in compiled steps for h100 (jax 0.12), vocabularies of 24Ki to 128Ki.
    """
    dtype = run.model.dtype
    if named(activations, "logits").shape[0] < batch.micro_sequences * run.model.seq_len:
        return logits + logits * BYTES_PER_ELEMENT[dtype.compute] // BYTES_PER_ELEMENT[dtype.logits] + head_gradient
    return logits * (LOSS_LOGITS_IN_PLACE if run.mesh.hardware.platform == "tpu" else LOSS_LOGITS)


def cast_stacks(run: RunSpec, stack: StackPlan, mesh: MeshPlan, tensors: tuple[TensorPlan, ...]) -> int:
    """Bytes of the scanned layers' weights in the compute dtype: XLA takes the cast of a stack out of the loop, on GPUs
    only where a gather needs the cast weights in memory.

    Source: seen in compiled steps (jax 0.12), fit_v6e_tall_moe and fit_a100_tall_moe of benchmarks/memory.py.
    """
    dtype = run.model.dtype
    fused = run.mesh.hardware.platform == "gpu" and mesh.axes["fsdp"] == 1
    if not stack.scan or dtype.compute == dtype.params or fused:
        return 0
    looped = {layer.number for layer in stack.layers[len(stack.head) :]}
    inside = (tensor for tensor in tensors if tensor.layers and looped.issuperset(tensor.layers))
    return BYTES_PER_ELEMENT[dtype.compute] * sum(local_elements(tensor, mesh.axes) for tensor in inside)


@dataclass(frozen=True, slots=True)
class WeightMemory:
    """Bytes of weights on their way through a step. `used` are those of a layer as it multiplies with them, by layer,
    0 where they are used as they are stored; `gradients` those of a layer, `outside_gradients` those of the tables
    and the last norm; `head` the matrix from hidden states to logits as it is used, `head_gradient` its gradient as
    chunks of the loss add it up."""

    used: Mapping[int, int]
    gradients: Mapping[int, int]
    outside_gradients: int
    head: int
    head_gradient: int

    @property
    def all_gradients(self) -> int:
        return sum(self.gradients.values()) + self.outside_gradients


def weight_memory(run: RunSpec, mesh: MeshPlan, tensors: tuple[TensorPlan, ...]) -> WeightMemory:
    """Weights are used whole over `fsdp` and in the compute dtype; gradients are float32, cut like the weights."""
    size = BYTES_PER_ELEMENT[run.model.dtype.compute]
    whole = {**mesh.axes, "fsdp": 1}
    copied = mesh.axes["fsdp"] > 1 or run.model.dtype.compute != run.model.dtype.params
    used: dict[int, int] = {}
    gradients: dict[int, int] = {}
    for tensor in tensors:
        one = local_elements(tensor, whole) // tensor.copies * size if copied else 0
        own = FLOAT32_BYTES * local_elements(tensor, mesh.axes) // tensor.copies if tensor.trainable else 0
        for layer in tensor.layers:
            used[layer] = used.get(layer, 0) + one
            gradients[layer] = gradients.get(layer, 0) + own
    outside = [tensor for tensor in tensors if not tensor.layers and tensor.trainable]
    role = "embedding" if run.model.tie_embeddings else "head"
    head = sum(local_elements(tensor, whole) for tensor in outside if tensor.role == role)
    of_outside = FLOAT32_BYTES * sum(local_elements(one, mesh.axes) for one in outside)
    return WeightMemory(used, gradients, of_outside, size * head if copied else 0, FLOAT32_BYTES * head)


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers of one model on one device; `of_kind` is what a layer of each kind holds."""

    run: RunSpec
    stack: StackPlan
    mesh: MeshPlan
    activations: tuple[ActivationPlan, ...]
    weights: WeightMemory
    of_kind: Mapping[LayerKind, LayerMemory]

    @property
    def remakes(self) -> bool:
        return self.run.remat.policy != "none"

    @property
    def stream(self) -> int:
        """The residual stream, which a re-computed piece starts from."""
        return activation_bytes(named(self.activations, "residual"), self.mesh.axes)

    def kept_by_layer(self) -> list[int]:
        """In order: what a layer keeps; without re-computation also its weights as they are used."""
        of_kind = self.of_kind
        pieces = self.stack.repeats / max(1, len(self.stack.layers) - len(self.stack.head)) if self.stack.scan else 1.0
        kept, stream = [], self.stream
        for number, layer in enumerate(self.stack.layers):
            own = of_kind[layer.kind].kept
            if self.remakes:
                own += stream if number < len(self.stack.head) else int(pieces * stream)
            elif self.mesh.axes["fsdp"] > 1:
                own += self.weights.used[layer.number]
            kept.append(own)
        return kept

    @property
    def kept(self) -> int:
        """What all layers keep between the passes."""
        return sum(self.kept_by_layer())

    @property
    def backward_peak(self) -> int:
        """The most that layers hold in the backward pass, gradients of their weights included."""
        if self.stack.scan:
            return self.kept + sum(self.weights.gradients.values()) + self.period_work()
        of_kind, kept = self.of_kind, self.kept_by_layer()
        held, gradients, peak = sum(kept), 0, 0
        for layer, own in zip(reversed(self.stack.layers), reversed(kept), strict=True):
            memory = of_kind[layer.kind]
            again = memory.remade + self.weights.used[layer.number] if self.remakes else 0
            again += self.weights.used[layer.number]
            gradients += self.weights.gradients[layer.number]
            peak = max(peak, held + gradients + again + memory.extra)
            held -= own
        return peak

    def period_work(self) -> int:
        """Of a scanned period: without re-computation its slices of what was kept, else all that it makes again."""
        of_kind = self.of_kind
        period = self.stack.layers[len(self.stack.head) :][: len(self.stack.period)]
        if not self.remakes:
            return self.slices(period) + sum(of_kind[layer.kind].kept for layer in period)
        again = sum(of_kind[layer.kind].remade + 2 * self.weights.used[layer.number] for layer in period)
        return self.slices(period) + again + max(of_kind[layer.kind].extra for layer in period)

    def slices(self, period: Sequence[LayerPlan]) -> int:
        """Bytes of the period's weights and gradients, which XLA for CPUs cuts out of the stacks."""
        if self.run.mesh.hardware.platform != "cpu":
            return 0
        return 2 * sum(self.weights.gradients[layer.number] for layer in period)
