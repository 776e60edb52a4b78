"""When the buffers that a loop fills are made."""

from __future__ import annotations

from typing import Any

import jax
from jax import numpy as jnp


def zeros_after(needed: jax.Array, like: Any) -> Any:
    """Zeros like a tree of arrays, made no earlier than `needed`: XLA is free to fill the buffers of all layers at the
    start of a step, where nothing tells it to wait. It is the zero that waits: zeros that XLA knows to be equal it
    fills once and copies."""
    zero, _ = jax.lax.optimization_barrier((jnp.zeros((), jnp.float32), needed))
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, zero, leaf.dtype), like)
