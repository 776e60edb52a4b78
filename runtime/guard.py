"""Which steps are taken: one that is not finite, or that spikes, leaves everything as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from jax import numpy as jnp

from moec.runtime.program import Guard

WINDOW = 128
"""How many of the newest accepted steps say what is usual. Source: OLMo-core, SkipStepOptimizer, which this follows in
its window, in its threshold in standard deviations, and in watching both loss and gradient norm."""

ENOUGH = WINDOW // 2
"""Accepted steps without which nothing is called a spike. Source: as above."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class GuardState:
    """What is remembered of the steps so far; it is saved with the model, so that a resumed run judges alike.

    Shapes: `losses_W` and `grad_norms_W` [WINDOW], float32, of accepted steps only, in a ring; the counts [], int32.
    """

    losses_W: jax.Array
    grad_norms_W: jax.Array
    accepted: jax.Array
    skipped: jax.Array
    skipped_in_a_row: jax.Array


def new_guard() -> GuardState:
    """The state before the first step."""
    none, empty = jnp.zeros((), jnp.int32), jnp.zeros((WINDOW,), jnp.float32)
    return GuardState(empty, empty, none, none, none)


def judge(guard: Guard, state: GuardState, loss: jax.Array, grad_norm: jax.Array) -> tuple[jax.Array, GuardState]:
    """Whether a step is taken (bool []), and the state after it; one that is not leaves no trace in the window."""
    taken = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    if guard.spike_factor is not None:
        usual = state.accepted < ENOUGH
        for window_W, found in ((state.losses_W, loss), (state.grad_norms_W, grad_norm)):
            taken &= usual | (found <= _threshold(guard.spike_factor, window_W, state.accepted))
    place = state.accepted % WINDOW
    after = GuardState(
        losses_W=jnp.where(taken, state.losses_W.at[place].set(loss), state.losses_W),
        grad_norms_W=jnp.where(taken, state.grad_norms_W.at[place].set(grad_norm), state.grad_norms_W),
        accepted=state.accepted + taken,
        skipped=state.skipped + ~taken,
        skipped_in_a_row=jnp.where(taken, 0, state.skipped_in_a_row + 1),
    )
    return taken, after


def _threshold(spike_factor: float, window_W: jax.Array, accepted: jax.Array) -> jax.Array:
    """Mean and `spike_factor` standard deviations of what the window holds."""
    filled_W = jnp.arange(WINDOW) < accepted
    mean = jnp.mean(window_W, where=filled_W)
    return mean + spike_factor * jnp.std(window_W, where=filled_W)


def reason(loss: float, grad_norm: float) -> str:
    """Why a step was not taken, in words."""
    kind = "spiked" if math.isfinite(loss) and math.isfinite(grad_norm) else "was not finite"
    return f"{kind}: loss {loss:.6g}, gradient norm {grad_norm:.6g}"
