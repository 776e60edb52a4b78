"""The embedding table."""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.typing import DTypeLike

from moec.runtime.weights import Weight, used


def embed(tokens_BS: jax.Array, w_VD: Weight, dtype: DTypeLike) -> jax.Array:
    """The rows of the table that the tokens name, in `dtype`.

    Shapes: tokens [B, S], table [V, D]; gives [B, S, D].
    """
    return jnp.take(used(w_VD, jnp.dtype(dtype)), tokens_BS, axis=0, mode="clip")
