"""MOE31xx: the numbers of a model do not fit each other."""

from __future__ import annotations

from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import divisors_near, multiples_near
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE3101", "error", "`n_heads` is not a multiple of `n_kv_heads`"),
    CodeInfo("MOE3102", "error", "`d_model` is not a multiple of `n_heads`"),
    CodeInfo("MOE3103", "error", "`d_head` is odd"),
    CodeInfo("MOE3104", "error", "the layers are not a repeated run of kinds"),
    CodeInfo("MOE3105", "error", "a dense layer has no `ffn`"),
    CodeInfo("MOE3106", "error", "no layer has experts"),
    CodeInfo("MOE3107", "error", "`offset` is not below `every`"),
    CodeInfo("MOE3108", "error", "no layer uses the `ffn`"),
    CodeInfo("MOE3109", "error", "`window` sees no less than the whole sequence"),
    CodeInfo("MOE3110", "error", "there are too many layers"),
)


def kv_heads_do_not_divide(span: Span, n_heads: int, n_kv_heads: int, n_heads_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE3101",
        "error",
        "`n_heads` is not a multiple of `n_kv_heads`",
        span,
        f"{n_heads} / {n_kv_heads} leaves {n_heads % n_kv_heads}",
        others=(Label(n_heads_at, "`n_heads` is set here"),),
        check="n_heads % n_kv_heads == 0",
        helps=(f"nearest values: n_kv_heads = {divisors_near(n_kv_heads, n_heads)}",),
        notes=("every key-value head serves equally many query heads",),
    )


def heads_do_not_divide(span: Span, d_model: int, n_heads: int, d_model_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE3102",
        "error",
        "`d_model` is not a multiple of `n_heads`",
        span,
        f"{d_model} / {n_heads} leaves {d_model % n_heads}",
        others=(Label(d_model_at, "`d_model` is set here"),),
        check="d_model % n_heads == 0",
        helps=(f"nearest values: d_model = {multiples_near(d_model, n_heads)}",),
        notes=("or write `d_head`: the heads need not add up to `d_model`",),
    )


def odd_head(span: Span, d_head: int) -> Diagnostic:
    return Diagnostic(
        "MOE3103",
        "error",
        "`d_head` is odd, and RoPE turns dims in pairs",
        span,
        f"this gives d_head = {d_head}",
        check="d_head % 2 == 0",
        helps=(f"nearest values: d_head = {multiples_near(d_head, 2)}",),
    )


def layers_not_repeated(span: Span, n_layers: int, first_dense: int, every: int, n_layers_at: Span) -> Diagnostic:
    rest = n_layers - first_dense
    after = f" after the first {first_dense}" if first_dense else ""
    near = " or ".join(str(first_dense + int(n)) for n in multiples_near(rest, every).split(" or "))
    return Diagnostic(
        "MOE3104",
        "error",
        "the layers are not a repeated run of kinds, so they cannot be scanned",
        span,
        f"{rest} layers{after}, one in {every} with experts",
        others=(Label(n_layers_at, "`n_layers` is set here"),),
        check="(n_layers - first_dense) % every == 0, at least two times",
        helps=(f"nearest values: n_layers = {near}", "or leave `scan` to `auto`"),
    )


def dense_layer_without_ffn(span: Span, layer: int) -> Diagnostic:
    return Diagnostic(
        "MOE3105",
        "error",
        f"layer {layer} has no experts, and the model has no `ffn`",
        span,
        helps=("add `ffn { d_ff = … }`, or `every = 1` to give every layer experts",),
    )


def no_moe_layer(span: Span, n_layers: int, first: int) -> Diagnostic:
    return Diagnostic(
        "MOE3106",
        "error",
        f"none of the {n_layers} layers has experts",
        span,
        f"the first would be layer {first}",
        helps=("lower `every` or `first_dense`, or add layers; without experts, leave the block out",),
    )


def offset_too_large(span: Span, offset: int, every: int, every_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE3107",
        "error",
        "`offset` is not below `every`",
        span,
        f"{offset} is not below {every}",
        others=(Label(every_at, "`every` is set here"),),
        check="offset < every",
        helps=(f"{offset} means the same as {offset % every}: write offset = {offset % every}",),
    )


def unused_ffn(span: Span, every_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE3108",
        "error",
        "every layer has experts: no layer uses the `ffn`",
        span,
        others=(Label(every_at, "every layer has experts"),),
        helps=("remove `ffn`, or give the experts fewer layers with `every` or `first_dense`",),
    )


def window_too_wide(span: Span, window: int, seq_len: int, seq_len_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE3109",
        "error",
        "`window` has no effect: it is not shorter than the sequence",
        span,
        f"{window} tokens of {seq_len}",
        others=(Label(seq_len_at, "`seq_len` is set here"),),
        check="window < seq_len",
        helps=("remove `window`, or make it shorter",),
    )


def too_many_layers(span: Span, n_layers: int, most: int) -> Diagnostic:
    return Diagnostic(
        "MOE3110",
        "error",
        "there are too many layers to plan",
        span,
        f"{n_layers:,} layers",
        check=f"n_layers <= {most}",
        helps=("check the suffix of the number",),
    )
