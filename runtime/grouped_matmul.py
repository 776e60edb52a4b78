"""One matmul per expert, over equally many rows for each."""

from __future__ import annotations

from typing import Literal

import jax
from jax import numpy as jnp

GroupedMatmul = Literal["reference", "batched", "tiles", "megablox", "mosaic_gpu", "triton"]


def matmul_per_expert(x_ERD: jax.Array, w_EDF: jax.Array, kernel: GroupedMatmul) -> jax.Array:
    """`x[e] @ w[e]` for every expert: `batched` as one operation, `reference` one after the other.

    `tiles` has nothing to leave out where all rows are there, and is `reference`. Shapes: x [E, R, D], w [E, D, F];
    gives [E, R, F]. Errors: ValueError for a kernel that wants rows of a number that differs by expert.
    """
    if kernel == "batched":
        return jnp.einsum("erd,edf->erf", x_ERD, w_EDF)
    if kernel in ("reference", "tiles"):
        return jnp.stack([x_ERD[expert] @ w_EDF[expert] for expert in range(w_EDF.shape[0])])
    raise ValueError(f"{kernel!r} multiplies no slots; reference, batched and tiles do")
