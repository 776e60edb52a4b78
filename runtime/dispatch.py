"""Tokens to the slots of experts and back, for groups of tokens that never leave their device.

An expert has `capacity` slots in each group. First choices of all tokens of the group take slots before second choices
do, in token order (as in GShard, Lepikhin et al. 2020, arXiv 2006.16668, algorithm 1); a choice that finds no slot is
dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import numpy as jnp


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Slots:
    """Who sits where, for T tokens with K choices in R = experts x groups x capacity slots; rows of x are the tokens.

    Shapes: `token_of_slot_R` (T where a slot is empty), `choice_of_slot_R` (index into the T x K choices, T·K where
    empty), `slot_of_choice_TK` (R where a choice was dropped). Slots are ordered by expert, then group.
    """

    token_of_slot_R: jax.Array
    choice_of_slot_R: jax.Array
    slot_of_choice_TK: jax.Array

    @property
    def kept(self) -> jax.Array:
        """Whether a choice has a slot."""
        return self.slot_of_choice_TK < self.token_of_slot_R.shape[0]


def assign_slots(experts_GSK: jax.Array, n_experts: int, capacity: int) -> Slots:
    """The slots of all choices; an expert id of `n_experts` asks for none.

    Shapes: experts [G, S, K] for G groups of S tokens.
    """
    groups, tokens, top_k = experts_GSK.shape
    by_choice_GJ = jnp.swapaxes(experts_GSK, 1, 2).reshape(groups, top_k * tokens)
    order_GJ = jnp.argsort(by_choice_GJ, axis=1, stable=True)
    rank_GJ = jnp.argsort(order_GJ, axis=1)
    counts_GE = jnp.sum(by_choice_GJ[:, :, None] == jnp.arange(n_experts), axis=1, dtype=jnp.int32)
    starts_GE = jnp.cumsum(counts_GE, axis=1) - counts_GE

    place_GEC = starts_GE[:, :, None] + jnp.arange(capacity)
    taken_GEC = jnp.arange(capacity) < counts_GE[:, :, None]
    flat_GJ = jnp.minimum(place_GEC, top_k * tokens - 1).reshape(groups, n_experts * capacity)
    choice_GEC = jnp.take_along_axis(order_GJ, flat_GJ, axis=1).reshape(groups, n_experts, capacity)
    group_G11 = jnp.arange(groups)[:, None, None]
    token_GEC = group_G11 * tokens + choice_GEC % tokens
    n_tokens = groups * tokens
    token_GEC = jnp.where(taken_GEC, token_GEC, n_tokens)
    choice_GEC = jnp.where(taken_GEC, token_GEC * top_k + choice_GEC // tokens, n_tokens * top_k)

    asked_GJ = jnp.minimum(by_choice_GJ, n_experts - 1)
    position_GJ = rank_GJ - jnp.take_along_axis(starts_GE, asked_GJ, axis=1)
    slot_GJ = (asked_GJ * groups + jnp.arange(groups)[:, None]) * capacity + position_GJ
    has_slot_GJ = (by_choice_GJ < n_experts) & (position_GJ < capacity)
    slot_GKS = jnp.where(has_slot_GJ, slot_GJ, n_experts * groups * capacity).reshape(groups, top_k, tokens)
    return Slots(
        token_of_slot_R=jnp.swapaxes(token_GEC, 0, 1).reshape(-1),
        choice_of_slot_R=jnp.swapaxes(choice_GEC, 0, 1).reshape(-1),
        slot_of_choice_TK=jnp.swapaxes(slot_GKS, 1, 2).reshape(n_tokens, top_k),
    )


def sort_by_expert(experts_TK: jax.Array, n_experts: int, *, multiple: int = 1) -> tuple[Slots, jax.Array]:
    """All choices in one slot each, sorted by expert, and how many slots each expert has [E]: its choices, and empty
    slots up to a multiple of `multiple`. An expert id of `n_experts` asks for none."""
    tokens, top_k = experts_TK.shape
    choices = tokens * top_k
    experts_J = experts_TK.reshape(choices)
    order_J = jnp.argsort(experts_J, stable=True)
    rank_J = jnp.argsort(order_J)
    counts_E = jnp.sum(experts_J[:, None] == jnp.arange(n_experts), axis=0, dtype=jnp.int32)
    if multiple == 1:
        rows, sizes_E, place_J = choices, counts_E, rank_J
        choice_R = jnp.where(jnp.arange(rows) < jnp.sum(counts_E), order_J, choices)
    else:
        sizes_E = -(-counts_E // multiple) * multiple
        rows = (choices + n_experts * (multiple - 1)) // multiple * multiple
        gap_E = (jnp.cumsum(sizes_E) - sizes_E) - (jnp.cumsum(counts_E) - counts_E)
        place_J = rank_J + gap_E[jnp.minimum(experts_J, n_experts - 1)]
        expert_R = jnp.repeat(jnp.arange(n_experts), sizes_E, total_repeat_length=rows)
        rank_R = jnp.arange(rows) - gap_E[expert_R]
        is_taken_R = rank_R < jnp.cumsum(counts_E)[expert_R]
        choice_R = jnp.where(is_taken_R, order_J[jnp.minimum(rank_R, choices - 1)], choices)
    slots = Slots(
        token_of_slot_R=jnp.where(choice_R < choices, choice_R // top_k, tokens),
        choice_of_slot_R=choice_R,
        slot_of_choice_TK=jnp.where(experts_J < n_experts, place_J, rows).reshape(tokens, top_k),
    )
    return slots, sizes_E


def count_by_expert(experts_TK: jax.Array, n_experts: int, *, spare: int = 0) -> tuple[Slots, jax.Array]:
    """The same as `sort_by_expert`, by counting, with `spare` more empty slots at the end.

    Two sorts take 4 to 5 times as long on a CPU with few experts, and the table of all choices and experts is what an
    accelerator would rather not write. Source: docs/log.md, 2026-11-27."""
    tokens, top_k = experts_TK.shape
    experts_J = experts_TK.reshape(tokens * top_k)
    rank_J, counts_E = _ranks(experts_J, n_experts)
    starts_E = jnp.cumsum(counts_E) - counts_E
    choices = tokens * top_k
    choice_J = jnp.arange(choices, dtype=jnp.int32)
    is_taken_J = experts_J < n_experts
    place_J = rank_J + starts_E[jnp.minimum(experts_J, n_experts - 1)]
    rows = choices + spare
    at_J = jnp.where(is_taken_J, place_J, rows + choice_J)
    choice_R = jnp.full((rows,), choices, jnp.int32).at[at_J].set(choice_J, mode="drop", unique_indices=True)
    slots = Slots(
        token_of_slot_R=jnp.where(choice_R < choices, choice_R // top_k, tokens),
        choice_of_slot_R=choice_R,
        slot_of_choice_TK=jnp.where(is_taken_J, place_J, rows).reshape(tokens, top_k),
    )
    return slots, counts_E


def fits_by_counting(experts_GSK: jax.Array, n_experts: int, capacity: int) -> jax.Array:
    """Which choices `assign_slots` gives a slot [T, K], as `Slots.kept`, without the slots."""
    groups, tokens, top_k = experts_GSK.shape
    by_choice_GJ = jnp.swapaxes(experts_GSK, 1, 2).reshape(groups, top_k * tokens)
    rank_GJ, _ = jax.vmap(lambda experts_J: _ranks(experts_J, n_experts))(by_choice_GJ)
    fits_GJ = (by_choice_GJ < n_experts) & (rank_GJ < capacity)
    return jnp.swapaxes(fits_GJ.reshape(groups, top_k, tokens), 1, 2).reshape(groups * tokens, top_k)


def _ranks(experts_J: jax.Array, n_experts: int) -> tuple[jax.Array, jax.Array]:
    """The how-manieth of its expert's choices each is, from 0, and how many each expert has [E]."""
    is_own_JE = experts_J[:, None] == jnp.arange(n_experts)
    upto_JE = jnp.cumsum(is_own_JE.astype(jnp.int32), axis=0)
    own = jnp.minimum(experts_J, n_experts - 1)[:, None]
    return jnp.take_along_axis(upto_JE, own, axis=1)[:, 0] - 1, upto_JE[-1]


def _rows(x_TD: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of `x`; an index behind the last row gives zeros."""
    return jnp.take(x_TD, index, axis=0, mode="fill", fill_value=0)


@jax.custom_vjp
def to_slots(x_TD: jax.Array, slots: Slots) -> jax.Array:
    """The tokens in their slots [R, D], zeros in empty ones. Both directions of the gradient are gathers."""
    return _rows(x_TD, slots.token_of_slot_R)


def _to_slots_forward(x_TD: jax.Array, slots: Slots) -> tuple[jax.Array, Slots]:
    return to_slots(x_TD, slots), slots


def _to_slots_backward(slots: Slots, gradient_RD: jax.Array) -> tuple[jax.Array, None]:
    per_choice_TKD = _rows(gradient_RD, slots.slot_of_choice_TK)
    return jnp.sum(per_choice_TKD.astype(jnp.float32), axis=1).astype(gradient_RD.dtype), None


to_slots.defvjp(_to_slots_forward, _to_slots_backward)


@jax.custom_vjp
def from_slots(y_RD: jax.Array, weights_TK: jax.Array, slots: Slots) -> jax.Array:
    """The weighted sum of each token's slots [T, D], added up in float32; dropped choices give nothing."""
    per_choice_TKD = _rows(y_RD, slots.slot_of_choice_TK)
    return jnp.sum(weights_TK[..., None] * per_choice_TKD.astype(jnp.float32), axis=1).astype(y_RD.dtype)


def _from_slots_forward(
    y_RD: jax.Array, weights_TK: jax.Array, slots: Slots
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Slots]]:
    return from_slots(y_RD, weights_TK, slots), (y_RD, weights_TK, slots)


def _from_slots_backward(
    saved: tuple[jax.Array, jax.Array, Slots], gradient_TD: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    y_RD, weights_TK, slots = saved
    weight_R = jnp.take(weights_TK.reshape(-1), slots.choice_of_slot_R, mode="fill", fill_value=0)
    to_slot_RD = _rows(gradient_TD, slots.token_of_slot_R).astype(jnp.float32)
    to_weight_R = jnp.sum(y_RD.astype(jnp.float32) * to_slot_RD, axis=-1)
    to_weights_TK = jnp.take(to_weight_R, slots.slot_of_choice_TK, mode="fill", fill_value=0)
    return (weight_R[:, None] * to_slot_RD).astype(y_RD.dtype), to_weights_TK, None


from_slots.defvjp(_from_slots_forward, _from_slots_backward)


def to_slots_onehot(x_TD: jax.Array, slots: Slots) -> jax.Array:
    """`to_slots` as one matmul with a matrix of zeros and ones: exact and slow."""
    return jnp.einsum("rt,td->rd", _seats(slots, x_TD.shape[0]).astype(x_TD.dtype), x_TD)


def from_slots_onehot(y_RD: jax.Array, weights_TK: jax.Array, slots: Slots) -> jax.Array:
    """`from_slots` as one matmul with a matrix of weights."""
    tokens, _ = weights_TK.shape
    weight_R = jnp.take(weights_TK.reshape(-1), slots.choice_of_slot_R, mode="fill", fill_value=0)
    mixing_RT = weight_R[:, None] * _seats(slots, tokens)
    return jnp.einsum("rt,rd->td", mixing_RT, y_RD.astype(jnp.float32)).astype(y_RD.dtype)


def _seats(slots: Slots, tokens: int) -> jax.Array:
    return jax.nn.one_hot(slots.token_of_slot_R, tokens, dtype=jnp.float32)
