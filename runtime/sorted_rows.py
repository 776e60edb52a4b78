"""The feed-forward network of each expert, over rows sorted by expert, by the grouped-matmul kernels of TPUs.

The kernels take blocks of rows; a block that two experts share is read once for each. What they leave in rows that no
expert has is undefined, so those rows, and with them their gradients, are set to zero in
what goes into the network and after every matmul.
Source: Gale et al., MegaBlocks, arXiv 2211.15841; jax.experimental.pallas.ops.tpu.megablox.
"""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from moec.runtime.expert_network import ExpertWeights, on_one_device
from moec.runtime.feed_forward import Activation, activate

LARGEST_BLOCKS = (512, 1024, 1024)
"""Rows, columns of the rows and columns of the outputs of a block. They fit the vector memory of a v5e, for which
they have been compiled; not measured on a TPU."""

LANES = 128


def by_megablox(x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation) -> jax.Array:
    """Each expert's outputs for its own rows [R, D]: the first `counts_E[0]` rows are expert 0's, and so on.

    Rows behind the last expert's are zero. Partial sums over the model axis.
    """
    rows = x_RD.shape[0]
    expert_R = jnp.repeat(jnp.arange(counts_E.shape[0]), counts_E, total_repeat_length=rows)
    is_own = (jnp.arange(rows) < jnp.sum(counts_E))[:, None]

    def affine(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
        y = _grouped(x, w, counts_E)
        return jnp.where(is_own, y if bias is None else y + bias[expert_R], 0)

    x_RD = checkpoint_name(jnp.where(is_own, x_RD, 0), "expert_buffer")
    up = affine(x_RD, weights.w_up, weights.b_up)
    gate = None if weights.w_gate is None else affine(x_RD, weights.w_gate, weights.b_gate)
    hidden = checkpoint_name(activate(activation, gate, up), "expert_hidden")
    return affine(hidden, weights.w_down, on_one_device(weights.b_down))


def _grouped(x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """`x[r] @ w[expert of r]`, gradients included; sums in float32."""
    from jax.experimental.pallas.ops.tpu.megablox import gmm

    sizes = (x_RD.shape[0], *w_EDF.shape[1:])
    blocks = tuple(min(largest, -(-size // LANES) * LANES) for largest, size in zip(LARGEST_BLOCKS, sizes, strict=True))
    padded = jnp.pad(x_RD, ((0, -x_RD.shape[0] % blocks[0]), (0, 0)))
    return gmm(padded, w_EDF, counts_E.astype(jnp.int32), x_RD.dtype, blocks)[: x_RD.shape[0]]
