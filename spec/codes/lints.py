"""MOE91xx: doubts about routing. MOE92xx: doubts about speed."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import multiples_near, rounded
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE9101", "warning", "the experts have no slack"),
    CodeInfo("MOE9102", "warning", "nothing balances the experts"),
    CodeInfo("MOE9103", "warning", "the router is not trained by the tokens"),
    CodeInfo("MOE9104", "warning", "every token goes to every expert"),
    CodeInfo("MOE9105", "warning", "the first or the last layer is routed"),
    CodeInfo("MOE9201", "warning", "one-hot dispatch costs more than a tenth of the experts"),
    CodeInfo("MOE9202", "warning", "an expert sees too few tokens to be bound by compute"),
    CodeInfo("MOE9203", "warning", "an axis that talks much crosses the slow network"),
    CodeInfo("MOE9204", "warning", "a length is not a multiple of the chip's tile"),
)


def no_slack(span: Span, capacity: int, slots_per_token: Fraction, top_k: int) -> Diagnostic:
    return Diagnostic(
        "MOE9101",
        "warning",
        "the experts have no slack: every token that finds its expert fuller than average is dropped",
        span,
        f"{capacity} slots hold an even load and no more",
        helps=("1.25 to 2 is usual while training, or `dropless`",),
        notes=(f"in slots per token this is {float(slots_per_token):g} for top_k {top_k}",),
    )


def no_balance(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE9102",
        "warning",
        "nothing balances the experts: a softmax router tends to send everything to a few",
        span,
        helps=("write balance_loss = 0.01, or bias_update_rate = 0.001",),
    )


def router_untrained(span: Span, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE9103",
        "warning",
        "with one choice of weight 1 the loss of the tokens does not reach the router",
        span,
        why,
        helps=("write order = score_then_topk and renormalize = false",),
    )


def all_experts_chosen(span: Span, n_experts: int) -> Diagnostic:
    return Diagnostic(
        "MOE9104",
        "warning",
        "every token goes to every expert: nothing is sparse",
        span,
        f"{n_experts} of {n_experts}",
        helps=("lower `top_k`, or use one `ffn` of the same width",),
    )


def end_is_routed(span: Span, layers: tuple[int, ...], n_layers: int, helps: tuple[str, ...]) -> Diagnostic:
    which = " and the ".join("first" if layer == 1 else "last" for layer in layers)
    return Diagnostic(
        "MOE9105",
        "warning",
        f"the {which} layer {'is' if len(layers) == 1 else 'are'} routed: most tokens pass it by",
        span,
        f"{n_layers} layers",
        helps=helps,
        notes=("all that is known of depth routing is of routed layers between whole ones",),
    )


def dispatch_overhead(
    span: Span, overhead: Fraction, group_size: int, d_ff: int, best: int, group_at: Span
) -> Diagnostic:
    return Diagnostic(
        "MOE9201",
        "warning",
        f"one-hot dispatch costs {float(overhead):.0%} of the experts' FLOPs",
        span,
        others=(Label(group_at, f"groups of {group_size} tokens, experts of width {d_ff}"),),
        check="2 * group_size / (3 * d_ff) <= 0.1 for gated experts",
        helps=("write dispatch = sorted, which costs none", f"or make group_size at most {best}"),
    )


def expert_below_compute_bound(span: Span, rows: float, needed: float, hardware: str) -> Diagnostic:
    return Diagnostic(
        "MOE9202",
        "warning",
        f"an expert sees {rounded(rows)} tokens at a time, too few for `{hardware}` to be bound by compute",
        span,
        f"that takes {rounded(needed)} tokens",
        helps=("make the micro-batch larger, the experts fewer, or the `expert` axis longer",),
    )


def crosses_slow_network(span: Span, axis: str, size: int, reach: int, fast: int, hardware: str) -> Diagnostic:
    return Diagnostic(
        "MOE9203",
        "warning",
        f"axis `{axis}` crosses the slow network between groups of {fast} `{hardware}` devices",
        span,
        f"{size} devices of `{axis}` reach over {reach}",
        helps=(f"keep `{axis}` times the axes inside it within {fast}",),
        notes=("axes from the outside in: data, fsdp, expert, seq, model",),
    )


def not_a_tile(span: Span, name: str, local: int, total: int, tile: int, hardware: str) -> Diagnostic:
    share = f", {local} on one device" if local != total else ""
    return Diagnostic(
        "MOE9204",
        "warning",
        f"`{name}` is not a multiple of {tile}, the tile of `{hardware}`: part of each tile is wasted",
        span,
        f"{total}{share}",
        helps=(f"nearest values on one device: {multiples_near(local, tile)}",),
    )
