"""MOE52xx: layers that take some tokens of a sequence."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE5201", "error", "a routed layer does not take a whole number of tokens"),
    CodeInfo("MOE5202", "error", "depth routing compares tokens that lie on several devices"),
    CodeInfo("MOE5203", "error", "depth routing beside experts"),
    CodeInfo("MOE5204", "error", "depth routing beside a window of attention"),
    CodeInfo("MOE5205", "error", "no layer is routed"),
    CodeInfo("MOE5206", "error", "the kernel of attention has blocks that what is taken does not fill"),
)


def capacity_not_whole(span: Span, capacity: Fraction, seq_len: int, seq_len_at: Span) -> Diagnostic:
    tokens = capacity * seq_len
    near = sorted({max(floor(tokens), 1), min(floor(tokens) + 1, seq_len)})
    return Diagnostic(
        "MOE5201",
        "error",
        "a routed layer does not take a whole number of tokens",
        span,
        f"{float(capacity):g} of {seq_len} is {float(tokens):g} tokens",
        others=(Label(seq_len_at, f"sequences of {seq_len}"),),
        check="capacity * seq_len is a whole number, at least 1",
        helps=(f"nearest values: capacity = {' or '.join(f'{count} / {seq_len}' for count in near)}",),
    )


def sequence_is_cut(span: Span, seq: int, seq_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5202",
        "error",
        "depth routing takes the best tokens of a sequence, and the `seq` axis spreads it over devices",
        span,
        others=(Label(seq_at, f"{seq} devices share a sequence"),),
        check="seq == 1",
        helps=("write seq = 1, and give its devices to `data`, `fsdp` or `model`",),
    )


def beside_experts(span: Span, experts_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5203",
        "error",
        "a model has depth routing or experts, not both",
        span,
        others=(Label(experts_at, "the experts"),),
        helps=("remove one of the two blocks",),
        notes=("an expert's capacity would be of the tokens that the layer takes, and no rule for that is built in",),
    )


def beside_window(span: Span, window: int, window_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5204",
        "error",
        "a window counts neighbours, and the tokens that a routed layer takes are not neighbours",
        span,
        others=(Label(window_at, f"a window of {window} tokens"),),
        helps=("write window = none, or remove `depth_routing`",),
        notes=("the kernels of attention count a window in rows, which are the taken tokens here",),
    )


def no_routed_layer(span: Span, n_layers: int, first: int) -> Diagnostic:
    return Diagnostic(
        "MOE5205",
        "error",
        f"none of the {n_layers} layers is routed",
        span,
        f"the first would be layer {first}",
        helps=("lower `every`, or add layers; without depth routing, leave the block out",),
    )


def blocks_do_not_fit(span: Span, taken: int, seq_len: int, lanes: int, kernel_at: Span) -> Diagnostic:
    nearest = max(lanes, round(taken / lanes) * lanes)
    return Diagnostic(
        "MOE5206",
        "error",
        f"splash attention needs a multiple of {lanes} tokens, and a routed layer takes {taken}",
        span,
        others=(Label(kernel_at, "this kernel"),),
        check=f"capacity * seq_len % {lanes} == 0",
        helps=(f"write capacity = {nearest} / {seq_len}", "write kernel = auto"),
    )
