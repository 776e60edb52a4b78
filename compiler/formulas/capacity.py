"""How many tokens an expert takes from a group, in the two conventions that are in use."""

from __future__ import annotations

from fractions import Fraction
from math import ceil


def expected_slots(top_k: int, group_size: int, capacity_factor: Fraction, n_experts: int) -> Fraction:
    """Slots per expert and group before rounding: top_k * group_size * capacity_factor / n_experts."""
    return top_k * group_size * capacity_factor / n_experts


def capacity_per_choice(top_k: int, group_size: int, capacity_factor: Fraction, n_experts: int) -> int:
    """Slots per expert and group; a factor of 1 holds all choices when routing is perfectly even.

    Rounding: up.
    Source: convention of MaxText and Megatron-LM (per choice); axlearn leaves `top_k` out, see `slots_per_token`.
    """
    return ceil(expected_slots(top_k, group_size, capacity_factor, n_experts))


def slots_per_token(capacity: int, n_experts: int, group_size: int) -> Fraction:
    """The same capacity in the other convention, C * E / S: 2 with `top_k` 2 leaves no slack.

    Source: convention of axlearn (arXiv 2405.15052, released code).
    """
    return Fraction(capacity * n_experts, group_size)


def onehot_overhead(group_size: int, d_ff: int, matrices: int) -> Fraction:
    """One-hot dispatch and combine against the expert matmuls: 2 S / (m F), which is 2 S / (3 F) for gated experts.

    Source: ratio of `onehot_dispatch_flops` to 2 * m * D * F per slot; E, K and the capacity cancel.
    """
    return Fraction(2 * group_size, matrices * d_ff)
