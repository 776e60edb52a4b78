"""The feed-forward network of each expert, over rows sorted by expert, by the grouped-matmul kernels of accelerators.

A kernel gives `x[r] @ w[expert of r]` for rows of which each expert has as many as it got. Those of GPUs take whole
blocks of rows of one expert, do not read the rows that no expert has and give zeros there. What a TPU's leaves there is
undefined, so those rows, and with them their gradients, are set to zero in what goes into its network and after every
matmul.
Source: Gale et al., MegaBlocks, arXiv 2211.15841; jax.experimental.pallas.ops.tpu.megablox for TPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from moec.runtime.expert_network import ExpertWeights, on_one_device
from moec.runtime.feed_forward import Activation, activate, activate_halves

LARGEST_BLOCKS = (512, 1024, 1024)
"""Rows, columns of the rows and columns of the outputs of a block of `megablox`. They fit the vector memory of a v5e,
for which they have been compiled; not measured on a TPU."""

LANES = 128

Matmul = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Rows [R, D], weights [E, D, F] and counts [E] to products [R, F]; gradients included, sums in float32."""


def on_sorted_rows(
    matmul: Matmul, x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation
) -> jax.Array:
    """Each expert's outputs for its own rows [R, D]: the first `counts_E[0]` rows are expert 0's, and so on.

    Rows behind the last expert's are zero. Partial sums over the model axis.
    """
    expert_R, is_own_R1 = _owners(counts_E, x_RD.shape[0])

    def affine(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
        y = matmul(x, w, counts_E)
        return jnp.where(is_own_R1, y if bias is None else _with_bias(y, bias, expert_R), 0)

    x_RD = checkpoint_name(jnp.where(is_own_R1, x_RD, 0), "expert_buffer")
    up_RF = affine(x_RD, weights.w_up, weights.b_up)
    gate_RF = None if weights.w_gate is None else affine(x_RD, weights.w_gate, weights.b_gate)
    hidden_RF = checkpoint_name(activate(activation, gate_RF, up_RF), "expert_hidden")
    return affine(hidden_RF, weights.w_down, on_one_device(weights.b_down))


def on_sorted_blocks(
    matmul: Matmul, x_RD: jax.Array, counts_E: jax.Array, weights: ExpertWeights, activation: Activation
) -> jax.Array:
    """`on_sorted_rows`, by a matmul that does not read rows of no expert and, as its gradients do, gives zeros there.

    Gate and up are one product, of which the gradient to the rows is one too.
    """

    def affine(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
        y = matmul(x, w, counts_E)
        if bias is None:
            return y
        expert_R, is_own_R1 = _owners(counts_E, y.shape[0])
        return jnp.where(is_own_R1, _with_bias(y, bias, expert_R), 0)

    x_RD = checkpoint_name(x_RD, "expert_buffer")
    if weights.w_gate is None:
        hidden_RF = activate(activation, None, affine(x_RD, weights.w_up, weights.b_up))
    else:
        bias = None if weights.b_gate is None else _beside(weights.b_gate, weights.b_up)
        hidden_RF = activate_halves(activation, affine(x_RD, _beside(weights.w_gate, weights.w_up), bias))
    hidden_RF = checkpoint_name(hidden_RF, "expert_hidden")
    return affine(hidden_RF, weights.w_down, on_one_device(weights.b_down))


def _owners(counts_E: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    """The expert of each row [R], and whether it has one [R, 1]."""
    expert_R = jnp.repeat(jnp.arange(counts_E.shape[0]), counts_E, total_repeat_length=rows)
    return expert_R, (jnp.arange(rows) < jnp.sum(counts_E))[:, None]


def _with_bias(y: jax.Array, bias_E: jax.Array, expert_R: jax.Array) -> jax.Array:
    """Each row with its expert's bias; in float32, so that the bias's gradient is summed over the rows in float32."""
    return (y + bias_E.astype(jnp.float32)[expert_R]).astype(y.dtype)


def _beside(gate: jax.Array, up: jax.Array) -> jax.Array:
    return jnp.concatenate([gate, up], axis=-1)


def matmul_by_megablox(x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """The kernels of TPUs that ship with JAX; they take blocks of rows, and one that experts share once for each."""
    from jax.experimental.pallas.ops.tpu.megablox import gmm

    sizes = (x_RD.shape[0], *w_EDF.shape[1:])
    blocks = tuple(min(largest, -(-size // LANES) * LANES) for largest, size in zip(LARGEST_BLOCKS, sizes, strict=True))
    padded = jnp.pad(x_RD, ((0, -x_RD.shape[0] % blocks[0]), (0, 0)))
    return gmm(padded, w_EDF, counts_E.astype(jnp.int32), x_RD.dtype, blocks)[: x_RD.shape[0]]


def matmul_by_mosaic(x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """Kernels for Hopper GPUs. Counts and R are multiples of 128, D and F of 64."""
    from moec.runtime import mosaic_matmul

    return _on_gpu(x_RD, w_EDF, counts_E, mosaic_matmul)


def matmul_by_triton(x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """Kernels for any NVIDIA GPU. Counts and R are multiples of 64, D and F of 16."""
    from moec.runtime import triton_matmul

    return _on_gpu(x_RD, w_EDF, counts_E, triton_matmul)


class Kernels(Protocol):
    """What a module has that multiplies on GPUs: products of rows with their experts' weights, and with other rows."""

    product: Callable[..., jax.Array]
    outer: Matmul


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _on_gpu(x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array, kernels: Kernels) -> jax.Array:
    """The kernels come without gradients, which are made of the same two operations."""
    return kernels.product(x_RD, w_EDF, counts_E, transposed=False)


def _forward(
    x_RD: jax.Array, w_EDF: jax.Array, counts_E: jax.Array, kernels: Kernels
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _on_gpu(x_RD, w_EDF, counts_E, kernels), (x_RD, w_EDF, counts_E)


def _backward(
    kernels: Kernels, saved: tuple[jax.Array, ...], gradient_RF: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    x_RD, w_EDF, counts_E = saved
    to_x = kernels.product(gradient_RF, w_EDF, counts_E, transposed=True)
    return to_x, kernels.outer(x_RD, gradient_RF, counts_E).astype(w_EDF.dtype), None


_on_gpu.defvjp(_forward, _backward)

by_megablox: Final = partial(on_sorted_rows, matmul_by_megablox)
by_mosaic: Final = partial(on_sorted_blocks, matmul_by_mosaic)
by_triton: Final = partial(on_sorted_blocks, matmul_by_triton)

ROWS_OF_EXPERT: Final = {"mosaic_gpu": 128, "triton": 64}
"""What an expert's rows are multiples of, for the kernels that want whole blocks of one expert."""
