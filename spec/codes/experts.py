"""MOE51xx: experts and routing."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import divisors_near
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE5101", "error", "`top_k` is larger than `n_experts`"),
    CodeInfo("MOE5102", "error", "an expert has less than one slot in a group"),
    CodeInfo("MOE5103", "error", "`group_size` cuts sequences unevenly"),
    CodeInfo("MOE5104", "error", "a group would span parts of a sequence on several devices"),
    CodeInfo("MOE5105", "error", "a group would span several devices"),
    CodeInfo("MOE5106", "error", "a kernel needs fixed slots, and the experts are dropless"),
    CodeInfo("MOE5107", "error", "`sorted` cannot exchange the tokens of dropless experts"),
    CodeInfo("MOE5108", "error", "a loss weight has no term in the objective"),
    CodeInfo("MOE5109", "error", "`renormalize` has no effect"),
    CodeInfo("MOE5110", "error", "a kernel that skips empty slots has none to skip after an exchange"),
)


def more_choices_than_experts(span: Span, top_k: int, n_experts: int, n_experts_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5101",
        "error",
        "a token cannot go to more experts than there are",
        span,
        f"{top_k} is more than {n_experts}",
        others=(Label(n_experts_at, "`n_experts` is set here"),),
        check="top_k <= n_experts",
        helps=(f"write top_k = {n_experts} or less, or more experts",),
    )


def capacity_below_one(
    span: Span, top_k: int, group_size: int, capacity_factor: Fraction, n_experts: int, group_at: Span
) -> Diagnostic:
    slots = top_k * group_size * capacity_factor / n_experts
    least = ceil(n_experts / (top_k * capacity_factor))
    return Diagnostic(
        "MOE5102",
        "error",
        "an expert has less than one slot in a group",
        span,
        f"{top_k} x {group_size} x {float(capacity_factor):g} / {n_experts} = {float(slots):.3g}",
        others=(Label(group_at, f"{group_size} tokens in a group"),) if group_at != span else (),
        check="top_k * group_size * capacity_factor / n_experts >= 1",
        helps=(f"make group_size at least {least}, or raise capacity_factor",),
    )


def group_cuts_sequences(span: Span, group_size: int, seq_len: int, seq_len_at: Span) -> Diagnostic:
    near = divisors_near(group_size, seq_len) if group_size < seq_len else _multiples(group_size, seq_len)
    return Diagnostic(
        "MOE5103",
        "error",
        "a group holds neither whole sequences nor an even part of one",
        span,
        f"{group_size} tokens",
        others=(Label(seq_len_at, f"sequences of {seq_len}"),) if seq_len_at != span else (),
        check="group_size % seq_len == 0 or seq_len % group_size == 0",
        helps=(f"nearest values: group_size = {near}",),
    )


def _multiples(value: int, of: int) -> str:
    below = value // of * of
    return f"{below} or {below + of}"


def group_spans_sequence_shards(span: Span, group_size: int, seq_len: int, seq: int, seq_at: Span) -> Diagnostic:
    share = seq_len // seq
    near = divisors_near(group_size, share) if group_size < share else str(share)
    return Diagnostic(
        "MOE5104",
        "error",
        "a group would span parts of a sequence that lie on several devices",
        span,
        f"{group_size} tokens do not divide {share}",
        others=(Label(seq_at, f"`seq` is {seq}: a device holds {seq_len} / {seq} = {share} tokens of a sequence"),),
        check="seq_len / seq % group_size == 0",
        helps=(f"nearest values: group_size = {near}",),
        notes=("groups never span devices, so that the same tokens are dropped on every mesh",),
    )


def group_spans_devices(span: Span, group_size: int, per_device: int, batch_at: Span) -> Diagnostic:
    near = divisors_near(group_size, per_device) if group_size < per_device else str(per_device)
    return Diagnostic(
        "MOE5105",
        "error",
        "a group would span several devices",
        span,
        f"{group_size} tokens do not divide {per_device}",
        others=(Label(batch_at, f"a device holds {per_device} tokens of a micro-batch"),),
        check="tokens of a device's micro-batch % group_size == 0",
        helps=(f"nearest values: group_size = {near}",),
        notes=("groups never span devices, so that the same tokens are dropped on every mesh",),
    )


def kernel_needs_capacity(span: Span, field: str, kernel: str, capacity_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5106",
        "error",
        f"`{kernel}` needs a fixed number of slots per expert",
        span,
        others=(Label(capacity_at, "dropless experts take as many tokens as come"),),
        helps=(f"leave `{field}` to `auto`, or write a number for `capacity_factor`",),
    )


def dropless_exchange(span: Span, expert: int, expert_at: Span, capacity_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5107",
        "error",
        "`sorted` cannot exchange a number of tokens that is not fixed",
        span,
        others=(Label(expert_at, f"`expert` is {expert}"), Label(capacity_at, "dropless experts take what comes")),
        helps=("leave `dispatch` to `auto`, which gathers the tokens, or write a number for `capacity_factor`",),
        notes=("an all-to-all has one shape: every expert would need a slot for every token",),
    )


def rows_after_exchange(span: Span, kernel: str, expert: int, expert_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5110",
        "error",
        f"`{kernel}` has nothing to leave out: slots that were exchanged are all computed, empty or not",
        span,
        others=(Label(expert_at, f"`expert` is {expert}"),),
        helps=("leave `grouped_matmul` to `auto`",),
    )


def z_loss_without_softmax(span: Span, z_loss: float, score_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5108",
        "error",
        "the objective has no router z-loss with sigmoid scores",
        span,
        f"weight {z_loss:g}",
        others=(Label(score_at, "a sigmoid has no log-sum-exp"),),
        helps=("remove `z_loss`, or write score = softmax",),
    )


def cannot_leave_unnormalized(span: Span, order_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE5109",
        "error",
        "`renormalize = false` has no effect: a softmax over the chosen logits sums to 1 already",
        span,
        others=(Label(order_at, "scored after the choice"),),
        helps=("write order = score_then_topk, or remove `renormalize`",),
    )
