"""One matmul per expert over rows that are sorted by expert."""

from __future__ import annotations

from typing import Literal

import jax
from jax import numpy as jnp

GroupedMatmul = Literal["reference", "batched", "tiles"]


def matmul_per_expert(x_ERD: jax.Array, w_EDF: jax.Array, kernel: GroupedMatmul) -> jax.Array:
    """`x[e] @ w[e]` for every expert. Shapes: x [E, R, D], w [E, D, F]; gives [E, R, F]."""
    if kernel == "reference":
        return jnp.stack([x_ERD[expert] @ w_EDF[expert] for expert in range(w_EDF.shape[0])])
    if kernel == "batched":
        return jnp.einsum("erd,edf->erf", x_ERD, w_EDF)
    raise ValueError(f"no grouped matmul over equal rows is named {kernel!r}; there are reference and batched")
