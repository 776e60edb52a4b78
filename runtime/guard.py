"""Which steps are taken: one that is not finite, or that spikes, leaves everything as it was.

Source: OLMo-core, SkipStepOptimizer: a threshold in standard deviations over a window, 128 steps where nothing else is
said, for both loss and gradient norm, and nothing is called a spike before the window is half full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from jax import numpy as jnp

from moec.runtime.program import Guard


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class GuardState:
    """What is remembered of the steps so far; it is saved with the model, so that a resumed run judges alike.

    Shapes: `losses_W` and `grad_norms_W` [window], float32, of accepted steps only, in a ring; the counts [], int32.
    """

    losses_W: jax.Array
    grad_norms_W: jax.Array
    accepted: jax.Array
    skipped: jax.Array
    skipped_in_a_row: jax.Array


def new_guard(guard: Guard) -> GuardState:
    """The state before the first step."""
    none, empty = jnp.zeros((), jnp.int32), jnp.zeros((guard.window,), jnp.float32)
    return GuardState(empty, empty, none, none, none)


def judge(guard: Guard, state: GuardState, loss: jax.Array, grad_norm: jax.Array) -> tuple[jax.Array, GuardState]:
    """Whether a step is taken (bool []), and the state after it; one that is not leaves no trace in the window."""
    taken = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    if guard.spike is not None:
        too_early = state.accepted < guard.window // 2
        for window_W, found in ((state.losses_W, loss), (state.grad_norms_W, grad_norm)):
            taken &= too_early | (found <= _threshold(guard.spike, window_W, state.accepted))
    place = state.accepted % guard.window
    after = GuardState(
        losses_W=jnp.where(taken, state.losses_W.at[place].set(loss), state.losses_W),
        grad_norms_W=jnp.where(taken, state.grad_norms_W.at[place].set(grad_norm), state.grad_norms_W),
        accepted=state.accepted + taken,
        skipped=state.skipped + ~taken,
        skipped_in_a_row=jnp.where(taken, 0, state.skipped_in_a_row + 1),
    )
    return taken, after


def _threshold(spike: float, window_W: jax.Array, accepted: jax.Array) -> jax.Array:
    """Mean and `spike` standard deviations of what the window holds."""
    filled_W = jnp.arange(window_W.size) < accepted
    mean = jnp.mean(window_W, where=filled_W)
    return mean + spike * jnp.std(window_W, where=filled_W)


def reason(loss: float, grad_norm: float) -> str:
    """Why a step was not taken, in words."""
    kind = "spiked" if math.isfinite(loss) and math.isfinite(grad_norm) else "was not finite"
    return f"{kind}: loss {loss:.6g}, gradient norm {grad_norm:.6g}"
