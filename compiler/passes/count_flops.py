"""RunSpec, StackPlan, RoutingPlan -> FlopCounts: matmul FLOPs of one token, operation by operation.

`ideal` is what the mathematics needs, `executed` adds empty slots, one-hot dispatch, masked attention and the parts in
which a router multiplies. A routed layer costs nothing for the tokens that pass it by: its cost is spread over all of
them. Norms, softmax, activations, RoPE and the optimizer are left out: they are bound by memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final

from moec.compiler.formulas.depth_routing import Mix, taken_tokens
from moec.compiler.formulas.flops import (
    ROUTER_PARTS,
    attention_flops,
    makes_scores_again,
    matmul_flops,
    matrices_of,
    mean_computed_keys,
    mean_visible_keys,
    onehot_dispatch_flops,
)
from moec.compiler.passes.choose_grouped_matmul import BY_ROWS
from moec.compiler.passes.layer_mix import mix_of
from moec.compiler.plan import (
    FlopCounts,
    FlopRow,
    KernelPlan,
    LayerKind,
    Number,
    ParameterCounts,
    RoutingPlan,
    StackPlan,
)
from moec.compiler.typed import ExpertsSpec, FfnSpec, ModelSpec, RunSpec

SCORES_AGAIN: Final = {"cudnn": Fraction(1, 2), "splash": Fraction(3, 2)}
"""What a fused attention kernel multiplies again in its backward pass, of its forward products. It keeps no scores:
cuDNN makes them again; splash does in both of its kernels, and the gradient to them too. So does `blockwise` beyond
some length, once."""


def count_flops(
    run: RunSpec, stack: StackPlan, routing: RoutingPlan | None, kernels: KernelPlan, parameters: ParameterCounts
) -> FlopCounts:
    """The table and its sums; training is three times forward, one for each operand's gradient more.

    Source: Kaplan et al., arXiv 2001.08361, section 2.1 (backward is twice forward).
    """
    rows = with_recomputed(run, stack, routing, kernels, tuple(flop_rows(run, stack, routing, kernels)))
    ideal = sum((Fraction(row.ideal_flops_per_token) for row in rows), Fraction())
    executed = sum((Fraction(row.executed_flops_per_token) for row in rows), Fraction())
    again = sum((Fraction(row.recomputed_flops_per_token) for row in rows), Fraction())
    conventions = {
        "6_n_active": 6 * parameters.active,
        "6_n_active_without_embedding_table": 6 * active_matmul_parameters(run.model, parameters),
        "6_n_total": 6 * parameters.total,
        "palm": palm_flops(run.model, parameters),
        "ideal_causal": whole(3 * ideal),
        "padded": whole(3 * executed),
        "executed": whole(3 * executed + again),
    }
    return FlopCounts(rows, whole(ideal), whole(3 * ideal), whole(3 * executed + again), conventions)


def whole(value: Fraction) -> Number:
    """An int where the value is one."""
    return int(value) if value.denominator == 1 else value


def flop_rows(run: RunSpec, stack: StackPlan, routing: RoutingPlan | None, kernels: KernelPlan) -> Iterator[FlopRow]:
    """One row per operation, in the order of the forward pass."""
    model = run.model
    n_moe = len(stack.numbers_of("moe"))
    mix = mix_of(model, stack)
    yield from attention_rows(model, kernels, mix)
    if model.ffn is not None and mix.layers > n_moe:
        yield ffn_row(replace(mix, whole=mix.whole - n_moe), model.d_model, model.ffn)
    if mix.routed:
        yield row("depth router", mix.routed, matmul_flops(model.d_model), "2 * d_model")
    if model.experts is not None and routing is not None:
        yield from expert_rows(model, model.experts, routing, n_moe)
    yield row("head", 1, matmul_flops(model.d_model, model.vocab_size), "2 * d_model * vocab_size")


def row(operation: str, layers: int, each: Number, formula: str, executed: Number | None = None) -> FlopRow:
    """A row over all its layers; executed is ideal unless it is given."""
    ideal = whole(layers * Fraction(each))
    return FlopRow(operation, layers, ideal, ideal if executed is None else whole(layers * Fraction(executed)), formula)


def mixed_row(operation: str, mix: Mix, each: Number, formula: str) -> FlopRow:
    """A row of products that cost a token the same in every layer that it goes through."""
    where = "; * capacity where routed" if mix.routed else ""
    return row(operation, mix.layers, mix.passes * Fraction(each) / mix.layers, f"{formula}{where}")


def attention_rows(model: ModelSpec, kernels: KernelPlan, mix: Mix) -> Iterator[FlopRow]:
    """Projections, and scores with values over the keys that a token sees on average."""
    attention, d_model = model.attention, model.d_model
    n_heads, n_kv_heads, d_head = attention.n_heads, attention.n_kv_heads, attention.d_head
    yield mixed_row("attention q", mix, matmul_flops(d_model, n_heads, d_head), "2 * d_model * n_heads * d_head")
    key_value = matmul_flops(2, d_model, n_kv_heads, d_head)
    yield mixed_row("attention k, v", mix, key_value, "4 * d_model * n_kv_heads * d_head")
    yield score_row(model, kernels, mix)
    yield mixed_row("attention o", mix, matmul_flops(n_heads, d_head, d_model), "2 * n_heads * d_head * d_model")


def score_row(model: ModelSpec, kernels: KernelPlan, mix: Mix) -> FlopRow:
    """Scores and weighted values. In a routed layer fewer tokens see fewer keys."""
    attention = model.attention
    lengths = (model.seq_len, taken_tokens(mix.capacity, model.seq_len))
    visible = [mean_visible_keys(length, attention.window) for length in lengths]
    computed = [mean_computed_keys(length, attention.window, kernels.attention) for length in lengths]
    ideal, executed = (
        attention_flops(mix.sum(*keys) / mix.layers, attention.n_heads, attention.d_head)
        for keys in (visible, computed)
    )
    where = "; * capacity^2 where routed" if mix.routed else ""
    formula = f"4 * mean_visible_keys * n_heads * d_head{where}"
    return row("attention scores, values", mix.layers, ideal, formula, executed)


def ffn_row(mix: Mix, d_model: int, ffn: FfnSpec) -> FlopRow:
    """The dense feed-forward layers."""
    matrices = matrices_of(ffn.activation)
    return mixed_row("ffn", mix, matmul_flops(matrices, d_model, ffn.d_ff), f"2 * {matrices} * d_model * d_ff")


def expert_rows(model: ModelSpec, experts: ExpertsSpec, routing: RoutingPlan, layers: int) -> Iterator[FlopRow]:
    """Router, dispatch, experts, shared experts. A token costs `top_k` experts; a slot costs one whether it is
    full or not."""
    d_model, n_experts, matrices = model.d_model, experts.n_experts, matrices_of(experts.activation)
    router = matmul_flops(d_model, n_experts)
    yield row("router", layers, router, "2 * d_model * n_experts", executed=router_parts(model) * router)
    if routing.dispatch == "onehot" and routing.capacity is not None:
        onehot = onehot_dispatch_flops(n_experts, routing.capacity, d_model)
        yield row("dispatch, combine", layers, 0, "4 * n_experts * capacity * d_model", executed=onehot)
    one = matmul_flops(matrices, d_model, experts.d_ff)
    executed = computed_slots(experts, routing) * one
    yield row("experts", layers, experts.top_k * one, f"2 * {matrices} * d_model * d_ff * top_k", executed=executed)
    if experts.n_shared_experts:
        shared = experts.n_shared_experts * one
        yield row("shared experts", layers, shared, f"2 * {matrices} * d_model * d_ff * n_shared_experts")


def router_parts(model: ModelSpec) -> int:
    """Products that a router's one is made of."""
    return ROUTER_PARTS if model.dtype.compute == "bfloat16" else 1


def computed_slots(experts: ExpertsSpec, routing: RoutingPlan) -> Fraction:
    """Experts' rows per token that are really multiplied: kernels that go by rows leave empty slots out (the
    padding of their last blocks is not counted), without a capacity the others compute every expert for every token.
    """
    if routing.grouped_matmul in BY_ROWS:
        return Fraction(experts.top_k)
    return Fraction(experts.n_experts) if routing.slots_per_token is None else routing.slots_per_token


def active_matmul_parameters(model: ModelSpec, parameters: ParameterCounts) -> int:
    """Active parameters without the table that is only looked up; a tied table stays, it is also the head."""
    return parameters.active - (0 if model.tie_embeddings else model.vocab_size * model.d_model)


def palm_flops(model: ModelSpec, parameters: ParameterCounts) -> int:
    """6 N + 12 L H Q T with N active, attention over the full square.

    Source: Chowdhery et al. (PaLM), arXiv 2204.02311, appendix B.
    """
    attention = model.attention
    square = 12 * model.n_layers * attention.n_heads * attention.d_head * model.seq_len
    return 6 * active_matmul_parameters(model, parameters) + square


def with_recomputed(
    run: RunSpec, stack: StackPlan, routing: RoutingPlan | None, kernels: KernelPlan, rows: tuple[FlopRow, ...]
) -> tuple[FlopRow, ...]:
    """The rows with what the backward pass does again: the layers under `full` and `names` but for what is kept or not
    read, what is not a plain matmul of weights under `save_dots` (attention and experts have batch dims, which that
    policy does not keep, nor does it see the parts of a router); under any policy the scores in an attention kernel
    that keeps none.

    Source: jax.checkpoint_policies.dots_with_no_batch_dims_saveable; Dao et al. (FlashAttention), arXiv 2205.14135,
    algorithm 4.
    """
    again = {"none": (), "full": tuple(row.operation for row in rows if row.operation != "head")}
    again["save_dots"] = ("attention scores, values", "dispatch, combine", "experts")
    if router_parts(run.model) > 1:
        again["save_dots"] += ("router",)
    again["names"] = again["full"]
    scores = scores_again(run.model.seq_len, kernels.attention)
    if run.remat.policy == "none" and not scores:
        return rows
    times = {
        row.operation: Fraction(row.operation in again[run.remat.policy])
        + (scores if row.operation == "attention scores, values" else 0)
        for row in rows
    }
    less = last_products_left_out(run, stack, routing) if run.remat.policy in ("full", "names") else {}
    return tuple(
        replace(
            row,
            recomputed_flops_per_token=whole(
                times[row.operation] * Fraction(row.executed_flops_per_token) - less.get(row.operation, 0)
            ),
        )
        for row in rows
    )


def scores_again(seq_len: int, kernel: str) -> Fraction:
    """What the kernel multiplies again, of its forward products."""
    return Fraction(1, 2) if makes_scores_again(seq_len, kernel) else SCORES_AGAIN.get(kernel, Fraction())


def last_products_left_out(run: RunSpec, stack: StackPlan, routing: RoutingPlan | None) -> Mapping[str, Fraction]:
    """FLOPs per token that making layers again does without, by operation: products whose outputs are kept by name, and
    the last one of a piece where no norm reads it, since no gradient does. Those of experts are read for the gradient
    of the router's weights, those of routed layers for that of the depth router; `tiles` makes all of a tile at once.

    Source: seen in compiled steps, moec prove for cpu:1 (jax 0.10, 0.12); moec.runtime.layers for the pieces.
    """
    model, kept, mix = run.model, (*run.remat.save, *run.remat.offload), mix_of(run.model, stack)
    attention, ffn, experts = model.attention, model.ffn, model.experts
    less: dict[str, Fraction] = {}
    if "attention_out" in kept:
        less["attention o"] = mix.passes * matmul_flops(attention.n_heads, attention.d_head, model.d_model)
    if ffn is not None:
        through = Fraction(ends_of_pieces(stack, "dense") if ffn.norm == "pre" else 0)
        if "ffn_out" in kept:
            through = mix.passes - len(stack.numbers_of("moe"))
        less["ffn"] = through * matmul_flops(ffn.d_ff, model.d_model)
    if experts is not None and routing is not None:
        layers = len(stack.numbers_of("moe"))
        one = matmul_flops(experts.d_ff, model.d_model)
        if "expert_out" in kept and routing.grouped_matmul != "tiles":
            less["experts"] = layers * computed_slots(experts, routing) * one
        unread = ends_of_pieces(stack, "moe") if experts.norm == "pre" else 0
        shared = layers if "ffn_out" in kept else unread
        less["shared experts"] = Fraction(shared * experts.n_shared_experts * one)
    return less


def ends_of_pieces(stack: StackPlan, kind: LayerKind) -> int:
    """How many layers of a kind end a piece that is made again: each layer is one, in a scan each period."""
    return stack.head.count(kind) + stack.repeats * stack.period[-1:].count(kind)
