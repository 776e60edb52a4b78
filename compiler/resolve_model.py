"""model block -> ModelSpec."""

from __future__ import annotations

from fractions import Fraction

from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import (
    AttentionSpec,
    Auto,
    DepthRoutingSpec,
    DtypeSpec,
    ExpertsSpec,
    FfnSpec,
    InitSpec,
    ModelSpec,
    NormSpec,
)
from moec.spec.codes import names as codes


def resolve_model(scope: Scope, place: Place) -> ModelSpec | None:
    """The model, None where something is wrong with it.

    Errors: MOE2014, and those of `resolve_block`.
    """
    own = resolve_block(scope, place)
    attention = _resolve_attention(scope, place)
    written = [name for name in ("ffn", "experts", "depth_routing") if place.inside(name).block]
    optional = {name: resolve_block(scope, place.inside(name)) for name in written}
    norm, init, dtype = (resolve_block(scope, place.inside(name)) for name in ("norm", "init", "dtype"))
    if not (own and attention and norm and init and dtype) or None in optional.values():
        return None
    ffn, experts, depth_routing = (optional.get(name) for name in ("ffn", "experts", "depth_routing"))
    return ModelSpec(
        name=place.root.name,
        doc=place.root.doc,
        vocab_size=own.integer("vocab_size"),
        seq_len=own.integer("seq_len"),
        n_layers=own.integer("n_layers"),
        d_model=own.integer("d_model"),
        tie_embeddings=own.flag("tie_embeddings"),
        logits_softcap=_real_or_none(own, "logits_softcap"),
        logits_z_loss=own.real("logits_z_loss"),
        norm=NormSpec(kind=norm.word("kind"), placement=norm.word("placement"), eps=norm.real("eps")),
        init=_init(init),
        dtype=DtypeSpec(params=dtype.word("params"), compute=dtype.word("compute"), logits=dtype.word("logits")),
        attention=_attention(attention),
        ffn=_ffn(ffn) if ffn else None,
        experts=_experts(experts) if experts else None,
        depth_routing=_depth_routing(depth_routing) if depth_routing else None,
        scale=own.word("scale"),
    )


def _resolve_attention(scope: Scope, place: Place) -> Values | None:
    inside = place.inside("attention")
    if inside.block is None:
        scope.diagnostics.append(codes.missing_block(place.span, "model", "attention", "n_heads = 8"))
        return None
    return resolve_block(scope, inside)


def _attention(values: Values) -> AttentionSpec:
    return AttentionSpec(
        n_heads=values.integer("n_heads"),
        n_kv_heads=values.integer("n_kv_heads"),
        d_head=values.integer("d_head"),
        qk_norm=values.flag("qk_norm"),
        rope_theta=values.real("rope_theta"),
        window=None if values.is_word("window", "none") else values.integer("window"),
        bias=values.flag("bias"),
        softcap=_real_or_none(values, "softcap"),
        kernel=values.word("kernel"),
        max_documents=_max_documents(values),
    )


def _max_documents(values: Values) -> int | Auto | None:
    if values.is_word("max_documents", "auto"):
        return "auto"
    return None if values.is_word("max_documents", "none") else values.integer("max_documents")


def _ffn(values: Values) -> FfnSpec:
    return FfnSpec(
        d_ff=values.integer("d_ff"),
        activation=values.word("activation"),
        norm=values.word("norm"),
        bias=values.flag("bias"),
    )


def _experts(values: Values) -> ExpertsSpec:
    dropless = values.is_word("capacity_factor", "dropless")
    return ExpertsSpec(
        n_experts=values.integer("n_experts"),
        top_k=values.integer("top_k"),
        d_ff=values.integer("d_ff"),
        activation=values.word("activation"),
        bias=values.flag("bias"),
        norm=values.word("norm"),
        every=values.integer("every"),
        offset=values.integer("offset"),
        first_dense=values.integer("first_dense"),
        n_shared_experts=values.integer("n_shared_experts"),
        score=values.word("score"),
        order=values.word("order"),
        renormalize=values.flag("renormalize"),
        scale=values.real("scale"),
        capacity_factor=None if dropless else Fraction(values.exact("capacity_factor")),
        group_size=values.integer("group_size"),
        balance_loss=values.real("balance_loss"),
        z_loss=values.real("z_loss"),
        bias_update_rate=values.real("bias_update_rate"),
        dispatch=values.word("dispatch"),
        grouped_matmul=values.word("grouped_matmul"),
    )


def _depth_routing(values: Values) -> DepthRoutingSpec:
    return DepthRoutingSpec(
        capacity=Fraction(values.exact("capacity")),
        every=values.integer("every"),
        offset=values.integer("offset"),
        aux_loss=values.real("aux_loss"),
    )


def _init(values: Values) -> InitSpec:
    return InitSpec(
        kind=values.word("kind"),
        std=values.real("std"),
        embedding_std=values.real("embedding_std"),
        depth_scaled=values.flag("depth_scaled"),
    )


def _real_or_none(values: Values, name: str) -> float | None:
    return None if values.is_word(name, "none") else values.real(name)
