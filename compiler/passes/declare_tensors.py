"""RunSpec, StackPlan -> TensorPlan of every weight: shape, sharding, initialisation.

The 3D method: `fsdp` cuts d_model, `model` cuts heads, widths and vocabulary, `expert` cuts experts; `data` and `seq`
cut no weight. Owners and names are those of the program's classes. Counts and bytes come later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from moec.compiler.formulas.flops import GATED
from moec.compiler.passes.layer_mix import mix_of
from moec.compiler.passes.weight import Owner
from moec.compiler.plan import StackPlan, TensorPlan
from moec.compiler.typed import Activation, ExpertsSpec, FfnSpec, ModelSpec, Placement, RunSpec


def declare_tensors(run: RunSpec, stack: StackPlan) -> tuple[TensorPlan, ...]:
    """Every kind of weight, in the order in which the program makes them."""
    model = run.model
    used = share_of_layers(model, stack)
    tensors = [*model_tensors(model), *attention_tensors(model, stack.numbers_of("dense", "moe", "routed"), used)]
    dense, moe, routed = stack.numbers_of("dense", "routed"), stack.numbers_of("moe"), stack.numbers_of("routed")
    if dense and model.ffn is not None:
        tensors += [
            *block_tensors(model, "DenseBlock", dense, "ffn", model.ffn.norm, used),
            *ffn_tensors(model, model.ffn, dense, used),
        ]
    if routed:
        tensors.append(depth_router(model, routed))
    if moe and model.experts is not None:
        tensors += block_tensors(model, "MoeBlock", moe, "experts", model.experts.norm, used)
        tensors += expert_tensors(model, model.experts, moe)
    assert all(uses_axes_once(tensor) for tensor in tensors)
    return tuple(tensors)


def share_of_layers(model: ModelSpec, stack: StackPlan) -> Fraction:
    """The part of the layers that one token goes through on average: 1 without depth routing."""
    mix = mix_of(model, stack)
    return mix.passes / mix.layers


def uses_axes_once(tensor: TensorPlan) -> bool:
    """No mesh axis cuts two dims of one array: JAX would refuse it."""
    axes = [axis for names in tensor.sharding for axis in names]
    return len(axes) == len(set(axes))


def model_tensors(model: ModelSpec) -> Iterator[TensorPlan]:
    """The tables and the last norm."""
    owner = Owner(model, "Model", (), "embedding")
    yield owner.table("w_embed", "VD", model.init.embedding_std)
    yield from replace(owner, role="norm").norm("final_norm")
    if not model.tie_embeddings:
        yield replace(owner, role="head").matrix("w_head", "DV", "D")


def block_tensors(
    model: ModelSpec, name: str, layers: tuple[int, ...], branch: str, placement: Placement, used: Fraction
) -> Iterator[TensorPlan]:
    """The norms of a block: one per branch, and one more behind it where the placement is hybrid."""
    owner = Owner(model, name, layers, "norm", active=used)
    for norm, where in (("attention_norm", model.norm.placement), (f"{branch}_norm", placement)):
        yield from owner.norm(norm)
        if where == "hybrid":
            yield from owner.norm(f"{norm}_after")


def attention_tensors(model: ModelSpec, layers: tuple[int, ...], used: Fraction) -> Iterator[TensorPlan]:
    """Projections of grouped-query attention, with biases and norms of queries and keys where the spec asks for
    them."""
    owner = Owner(model, "Attention", layers, "attention", active=used)
    yield owner.matrix("w_q", "DNH", "D")
    yield owner.matrix("w_k", "DGH", "D")
    yield owner.matrix("w_v", "DGH", "D")
    yield owner.matrix("w_o", "NHD", "NH", output=True)
    if model.attention.bias:
        for name, dims in (("b_q", "NH"), ("b_k", "GH"), ("b_v", "GH"), ("b_o", "D")):
            yield owner.zeros(name, dims)
    if model.attention.qk_norm:
        norms = replace(owner, role="norm")
        yield norms.ones("q_norm", "H")
        yield norms.ones("k_norm", "H")


def ffn_tensors(model: ModelSpec, ffn: FfnSpec, layers: tuple[int, ...], used: Fraction) -> Iterator[TensorPlan]:
    """The feed-forward layer of the dense blocks."""
    owner = Owner(model, "Ffn", layers, "ffn", ffn.d_ff, used)
    return feed_forward(owner, "", ffn.activation, bias=ffn.bias)


def depth_router(model: ModelSpec, layers: tuple[int, ...]) -> TensorPlan:
    """The vector that scores the tokens of a routed layer."""
    return replace(Owner(model, "RoutedBlock", layers, "router").matrix("w_depth", "D", "D"), dtype="float32")


def expert_tensors(model: ModelSpec, experts: ExpertsSpec, layers: tuple[int, ...]) -> Iterator[TensorPlan]:
    """The router, the routed experts and the shared ones."""
    router = Owner(model, "Experts", layers, "router")
    yield replace(router.matrix("w_router", "DE", "D"), sharding=((), ()), dtype="float32")
    if experts.bias_update_rate > 0:
        yield replace(router.zeros("router_bias", "E"), sharding=((),), dtype="float32", trainable=False)
    share = Fraction(experts.top_k, experts.n_experts)
    routed = Owner(model, "Experts", layers, "experts", experts.d_ff, share)
    yield from feed_forward(routed, "E", experts.activation, bias=experts.bias)
    if experts.n_shared_experts:
        shared = Owner(model, "SharedExperts", layers, "shared_experts", experts.n_shared_experts * experts.d_ff)
        yield from feed_forward(shared, "", experts.activation, bias=experts.bias)


def feed_forward(owner: Owner, experts: str, activation: Activation, *, bias: bool) -> Iterator[TensorPlan]:
    """Two or three matrices; `experts` is "E" where every expert has its own."""
    gated = activation in GATED
    if gated:
        yield owner.matrix("w_gate", f"{experts}DF", "D")
    yield owner.matrix("w_up", f"{experts}DF", "D")
    yield owner.matrix("w_down", f"{experts}FD", "F", output=True)
    if bias:
        if gated:
            yield owner.zeros("b_gate", f"{experts}F")
        yield owner.zeros("b_up", f"{experts}F")
        yield replace(owner.zeros("b_down", f"{experts}D"), sharding=(("expert",), ()) if experts else ((),))
