"""Activations, layers, batch -> what one device reads and writes between matrix products in a step, part by part.

Norms, softmax, activations, RoPE, residual additions, the loss, and rows on their way to experts and back. Weights and
the optimizer are not in it. Not a schedule: only bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from moec.compiler.formulas.memory import FLOAT32_BYTES, bytes_by_name
from moec.compiler.formulas.traffic import between_products_bytes, dispatch_bytes
from moec.compiler.passes.layer_memory import is_tiled
from moec.compiler.passes.layer_mix import mix_of
from moec.compiler.plan import ActivationPlan, BatchPlan, FlopCounts, MeshPlan, StackPlan
from moec.compiler.typed import RunSpec

ARRAYS_MADE: Final = {"residual": 4, "ffn_gate": 3, "expert_gate": 3, "shared_gate": 3}
"""Arrays of the size of one named activation that a layer makes: the stream, its sum and its norm before each of two
branches, or around what a routed layer takes; a gate, its tanh, the gated value. One where it is not listed."""

ARRAYS_MADE_IN_TILES: Final = {"expert_gate": 1}
"""The rest of a tile stays in a cache. Source: moec.runtime.tiles."""

SOFTMAX_ARRAYS: Final = 2
"""Scores and weights. Assumption: the exponentials are fused into the weights."""

LOSS_ARRAYS: Final = 2
"""Logits and their gradient."""

PASSES_ON_CPU: Final = 1
"""Where layers are made again on a CPU: what the forward pass makes dies in its caches, and the backward pass reads
what was made again while it is still there. Source: step times of fit_again and others, benchmarks/step_time.py,
docs/log.md 2026-11-27; arrays of 2 to 6 MB."""


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """`moved_bytes` on one device in one step."""

    what: str
    moved_bytes: float
    is_dispatch: bool


def traffic_rows(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    batch: BatchPlan,
    flops: FlopCounts,
    activations: tuple[ActivationPlan, ...],
) -> Iterator[TrafficRow]:
    """One row per part that the model has."""
    passes = Fraction(passes_over_layers(run)) * batch.micro_batches
    n_moe = len(stack.numbers_of("moe"))
    mix = mix_of(run.model, stack)
    sizes = bytes_by_name(activations, mesh.axes)
    made_of = ARRAYS_MADE | (ARRAYS_MADE_IN_TILES if is_tiled(sizes) else {})
    parts = (
        ("between products: stream, norms", mix.passes, ("residual", "q", "k", "v", "mixed", "attention_out")),
        ("between products: ffn", mix.passes - n_moe, ("ffn_gate", "ffn_up", "ffn_hidden", "ffn_out")),
        ("between products: experts", n_moe, ("expert_gate", "expert_up", "expert_hidden", "router_logits")),
        ("between products: shared experts", n_moe, ("shared_gate", "shared_up", "shared_hidden")),
        ("between products: depth routing", mix.routed, ("residual", "depth_scores")),
    )
    for what, layers, names in parts:
        made = int(layers * sum(made_of.get(name, 1) * sizes.get(name, 0) for name in names))
        if made:
            yield TrafficRow(what, between_products_bytes(made, passes), False)
    scores = score_bytes(run, mesh, batch, flops)
    if "weights" in sizes:
        yield TrafficRow("between products: softmax", between_products_bytes(SOFTMAX_ARRAYS * scores, passes), False)
    yield TrafficRow("between products: loss", loss_bytes(run, mesh, batch), False)
    if n_moe:
        choices = sizes["residual"] * (run.model.experts.top_k if run.model.experts else 0)
        moved = dispatch_bytes(n_moe * (sizes["expert_buffer"] + sizes["expert_out"]), n_moe * 2 * choices, passes)
        yield TrafficRow("dispatch and combine", moved, True)


def passes_over_layers(run: RunSpec) -> int:
    """How often a step writes and reads what layers make: forward and backward, and again where it is made again."""
    if run.remat.policy == "none":
        return 2
    return PASSES_ON_CPU if run.mesh.hardware.platform == "cpu" else 3


def score_bytes(run: RunSpec, mesh: MeshPlan, batch: BatchPlan, flops: FlopCounts) -> int:
    """Float32 scores that all layers make for one micro-batch on one device.

    Source: attention multiplies each score with 4 * d_head FLOPs, formulas.flops.attention_flops.
    """
    row = next(row for row in flops.rows if row.operation == "attention scores, values")
    tokens = Fraction(batch.tokens, batch.micro_batches * mesh.devices)
    return int(Fraction(row.executed_flops_per_token) / (4 * run.model.attention.d_head) * tokens * FLOAT32_BYTES)


def loss_bytes(run: RunSpec, mesh: MeshPlan, batch: BatchPlan) -> float:
    """Logits and their gradient, in all chunks of a step."""
    logits = FLOAT32_BYTES * run.model.vocab_size * Fraction(batch.tokens, mesh.devices)
    return between_products_bytes(int(LOSS_ARRAYS * logits), Fraction(1))
