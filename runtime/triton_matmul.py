"""Grouped matmuls by Pallas kernels that Triton compiles, for any NVIDIA GPU.

Each expert's rows begin at a multiple of `BLOCK_ROWS`, so that a block of rows is one expert's and nothing is masked.
Source: Gale et al., MegaBlocks, arXiv 2211.15841, section 5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

BLOCK_ROWS: int = 64
"""What an expert's rows are multiples of."""

WIDTH_MULTIPLE: int = 16
"""What the widths of the weights are multiples of: the smallest block that the tensor cores take."""

LARGEST_COLUMNS = 128
LARGEST_SUMMED = 64
WARPS = 4
STAGES = 3
"""Blocks of 64 x 128 outputs by 4 warps, with 3 steps of 64 on their way: 72 KiB of shared memory in bfloat16. Twice
the warps for the 128 x 128 of the gradient to the weights. Not measured on a GPU."""


@partial(jax.jit, static_argnames="transposed")
def product(x_RK: jax.Array, w: jax.Array, counts_E: jax.Array, *, transposed: bool) -> jax.Array:
    """`x[r] @ w[expert of r]`, or by the transpose of w, in the type of x, sums in float32; zero in rows of no expert,
    which are not read.

    Shapes: x [R, K], w [E, K, N] ([E, N, K] where transposed), counts [E]; counts and R are multiples of `BLOCK_ROWS`,
    K and N of `WIDTH_MULTIPLE`.
    """
    rows, summed = x_RK.shape
    columns = w.shape[1] if transposed else w.shape[2]
    step, width = _block(summed, LARGEST_SUMMED), _block(columns, LARGEST_COLUMNS)
    blocks = rows // BLOCK_ROWS
    expert_of_block = jnp.searchsorted(jnp.cumsum(counts_E // BLOCK_ROWS), jnp.arange(blocks), side="right")
    return pl.pallas_call(
        partial(_product_of_block, step=step, width=width, transposed=transposed),
        grid=(columns // width, blocks),
        in_specs=[pl.BlockSpec(), pl.BlockSpec((BLOCK_ROWS, summed), lambda column, row: (row, 0)), pl.BlockSpec()],
        out_specs=pl.BlockSpec((BLOCK_ROWS, width), lambda column, row: (row, column)),
        out_shape=jax.ShapeDtypeStruct((rows, columns), x_RK.dtype),
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=STAGES),
        name="grouped_matmul",
    )(expert_of_block.astype(jnp.int32), x_RK, w)


def _product_of_block(expert_of_block: Any, x: Any, w: Any, y: Any, *, step: int, width: int, transposed: bool) -> None:
    """One block of rows and columns. Rows behind the last expert's get zeros, and cost nothing."""
    n_experts, columns = w.shape[0], pl.ds(pl.program_id(0) * width, width)
    expert = expert_of_block[pl.program_id(1)]

    def add(index: jax.Array, total: jax.Array) -> jax.Array:
        summed = pl.ds(index * step, step)
        block = w[expert, columns, summed] if transposed else w[expert, summed, columns]
        return total + triton.dot(x[:, summed], block, trans_b=transposed)

    steps = jnp.where(expert < n_experts, jnp.int32(x.shape[1] // step), jnp.int32(0))
    total = jax.lax.fori_loop(jnp.int32(0), steps, add, jnp.zeros((BLOCK_ROWS, width), jnp.float32))
    y[...] = total.astype(y.dtype)


@jax.jit
def outer(x_RD: jax.Array, y_RF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """The sum over each expert's rows of `x[r]` times `y[r]` [E, D, F], in float32."""
    n_experts, (_, d_in), (_, d_out) = counts_E.shape[0], x_RD.shape, y_RF.shape
    height, width = _block(d_in, LARGEST_COLUMNS), _block(d_out, LARGEST_COLUMNS)
    ends = jnp.cumsum(counts_E // BLOCK_ROWS)
    return pl.pallas_call(
        partial(_outer_of_block, height=height, width=width),
        grid=(d_in // height, d_out // width, n_experts),
        in_specs=[pl.BlockSpec()] * 4,
        out_specs=pl.BlockSpec((None, height, width), lambda row, column, expert: (expert, row, column)),
        out_shape=jax.ShapeDtypeStruct((n_experts, d_in, d_out), jnp.float32),
        compiler_params=triton.CompilerParams(num_warps=2 * WARPS, num_stages=STAGES),
        name="grouped_outer_product",
    )((ends - counts_E // BLOCK_ROWS).astype(jnp.int32), ends.astype(jnp.int32), x_RD, y_RF)


def _outer_of_block(starts: Any, ends: Any, x: Any, y: Any, total: Any, *, height: int, width: int) -> None:
    own_rows = pl.ds(pl.program_id(0) * height, height)
    own_columns = pl.ds(pl.program_id(1) * width, width)
    expert = pl.program_id(2)

    def add(block: jax.Array, total: jax.Array) -> jax.Array:
        rows = pl.ds(block * BLOCK_ROWS, BLOCK_ROWS)
        return total + triton.dot(x[rows, own_rows], y[rows, own_columns], trans_a=True)

    total[...] = jax.lax.fori_loop(starts[expert], ends[expert], add, jnp.zeros((height, width), jnp.float32))


def _block(size: int, largest: int) -> int:
    """The largest power of two up to `largest` that divides `size`."""
    return min(largest, size & -size)
