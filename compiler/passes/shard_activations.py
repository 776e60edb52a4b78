"""RunSpec, MeshPlan, BatchPlan, RoutingPlan, KernelPlan -> ActivationPlan of every named activation.

Shapes are those of one micro-batch over all devices. Sequences lie on `data`, `fsdp` and `expert`, parts of a
sequence on `seq`, the residual stream, heads and widths on `model`. Between the two all-to-alls of a MoE layer the
experts lie on `expert`.

Source: arXiv 2405.15052, table 1: `residual` is its ogsm, `expert_buffer` oegcm, `expert_hidden` oegch, `expert_out`
oegcm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from moec.compiler.formulas.flops import GATED, block_length, makes_scores_again, mean_computed_keys
from moec.compiler.passes.choose_grouped_matmul import BY_ROWS
from moec.compiler.passes.split_batch import BATCH_AXES
from moec.compiler.plan import ActivationPlan, BatchPlan, DimSpec, KernelPlan, RoutingPlan
from moec.compiler.typed import ExpertsSpec, FfnSpec, RunSpec

AXES_OF_DIM: Final[Mapping[str, DimSpec]] = {
    "B": BATCH_AXES,
    "S": ("seq",),
    "T": (*BATCH_AXES, "seq"),
    "R": ("data", "fsdp", "seq"),
    "D": ("model",),
    "N": ("model",),
    "G": ("model",),
    "H": (),
    "F": ("model",),
    "E": ("expert",),
    "V": ("model",),
}
"""What cuts a dim of an activation. R is the slots of one expert in all groups, where they lie with the experts."""


def shard_activations(
    run: RunSpec, batch: BatchPlan, routing: RoutingPlan | None, kernels: KernelPlan
) -> tuple[ActivationPlan, ...]:
    """Every activation that has a name, in the order of the forward pass."""
    model = run.model
    sizes = Sizes(run, batch, routing)
    compute = model.dtype.compute
    attention = ("q_BSNH", "k_BSGH", "v_BSGH", "mixed_BSNH", "attention_out_BSD")
    plans = [sizes.activation(name, compute) for name in ("residual_BSD", *attention)]
    if kernels.attention in ("reference", "blockwise"):
        plans.append(sizes.weights(kernels))
    if model.depth_routing is not None:
        plans.append(sizes.activation("depth_scores_BS", "float32"))
    if model.ffn is not None:
        plans += feed_forward(sizes, "ffn", "BSF", model.ffn, compute)
        plans.append(sizes.activation("ffn_out_BSD", compute))
    if model.experts is not None and routing is not None:
        plans += expert_activations(sizes, model.experts, routing, compute)
    plans.append(sizes.activation("logits_TV", model.dtype.logits, T=kernels.cross_entropy_chunk))
    return tuple(plans)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths of the dims of one run, by letter."""

    run: RunSpec
    batch: BatchPlan
    routing: RoutingPlan | None

    def size(self, dim: str) -> int:
        """The length of a dim over all devices."""
        model, routing = self.run.model, self.routing
        attention, experts = model.attention, model.experts
        sizes = {
            "B": self.batch.micro_sequences,
            "S": model.seq_len,
            "T": self.batch.micro_sequences * model.seq_len,
            "D": model.d_model,
            "N": attention.n_heads,
            "G": attention.n_kv_heads,
            "H": attention.d_head,
            "F": model.ffn.d_ff if model.ffn else 0,
            "E": experts.n_experts if experts else 0,
            "R": routing.groups * (routing.capacity or 0) if routing else 0,
            "V": model.vocab_size,
        }
        return sizes[dim]

    def activation(self, name: str, dtype: str, **lengths: int) -> ActivationPlan:
        """The activation whose dims are the letters at the end of `name`; `lengths` overrides a dim's usual length."""
        dims = tuple(name.rpartition("_")[2])
        shape = tuple(lengths.get(dim, 0) or self.size(dim) for dim in dims)
        return ActivationPlan(name, dims, shape, tuple(AXES_OF_DIM[dim] for dim in dims), dtype)

    def weights(self, kernels: KernelPlan) -> ActivationPlan:
        """The attention weights that are in memory at a time: all that the kernel computes, or those of a block of
        queries and one of keys. Rounding: up, to whole keys per query."""
        seq_len, window = self.size("S"), self.run.model.attention.window
        queries, keys = seq_len, ceil(mean_computed_keys(seq_len, window, kernels.attention))
        if makes_scores_again(seq_len, kernels.attention):
            queries = keys = block_length(seq_len)
        shape = (self.size("B"), self.size("N"), queries, keys)
        return ActivationPlan("weights_BNSS", tuple("BNSS"), shape, (BATCH_AXES, ("model",), ("seq",), ()), "float32")


def feed_forward(
    sizes: Sizes, name: str, dims: str, layer: FfnSpec | ExpertsSpec, dtype: str, **lengths: int
) -> Iterator[ActivationPlan]:
    """Gate, up and their product, of width F."""
    if layer.activation in GATED:
        yield sizes.activation(f"{name}_gate_{dims}", dtype, **lengths)
    yield sizes.activation(f"{name}_up_{dims}", dtype, **lengths)
    yield sizes.activation(f"{name}_hidden_{dims}", dtype, **lengths)


def expert_activations(
    sizes: Sizes, experts: ExpertsSpec, routing: RoutingPlan, dtype: str
) -> Iterator[ActivationPlan]:
    """Router logits are whole over E on every device; slots are [E, R], choices without slots T * top_k rows."""
    logits = sizes.activation("router_logits_TE", "float32")
    yield ActivationPlan(logits.name, logits.dims, logits.shape, (AXES_OF_DIM["T"], ()), logits.dtype)
    inside = routed_activations(sizes, experts, routing, dtype)
    yield from (rows_of_choices(plan) for plan in inside) if is_by_rows(routing) else inside
    if experts.n_shared_experts:
        width = experts.n_shared_experts * experts.d_ff
        yield from feed_forward(sizes, "shared", "BSF", experts, dtype, F=width)


def routed_activations(
    sizes: Sizes, experts: ExpertsSpec, routing: RoutingPlan, dtype: str
) -> Iterator[ActivationPlan]:
    """What goes into the experts, through them and out; one row per slot, or per choice of a token. Tiles make the
    product of gate and up one tile at a time: it is never whole."""
    rows, lengths = "ER", {"F": experts.d_ff}
    if is_by_rows(routing):
        rows, lengths["T"] = "T", sizes.size("T") * experts.top_k
    yield sizes.activation(f"expert_buffer_{rows}D", dtype, **lengths)
    for plan in feed_forward(sizes, "expert", f"{rows}F", experts, dtype, **lengths):
        if routing.grouped_matmul != "tiles" or not plan.name.startswith("expert_hidden"):
            yield plan
    yield sizes.activation(f"expert_out_{rows}D", dtype, **lengths)


def is_by_rows(routing: RoutingPlan) -> bool:
    """Whether experts have no slots: without a capacity, and for kernels that leave empty slots out."""
    return routing.capacity is None or routing.grouped_matmul in BY_ROWS


def rows_of_choices(plan: ActivationPlan) -> ActivationPlan:
    """Without slots every device of the expert axis has a row for every choice of its tokens, in full width D."""
    sharding = tuple(AXES_OF_DIM["R"] if dim == "T" else () if dim == "D" else AXES_OF_DIM[dim] for dim in plan.dims)
    return replace(plan, sharding=sharding)
