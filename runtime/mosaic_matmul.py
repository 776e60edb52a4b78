"""Grouped matmuls by the kernels for Hopper GPUs that ship with JAX, written in its Mosaic GPU dialect.

The gradient to the rows is the same kernel with the weights transposed, the one to the weights is another.
Source: jax.experimental.pallas.ops.gpu.ragged_dot_mgpu and transposed_ragged_dot_mgpu.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
from jax import numpy as jnp

BLOCK: int = 64
"""What an expert's rows, and the widths of the weights, are multiples of: a block of the dim that is summed over. With
it no block of the gradient to the weights has rows of two experts, which the kernel would multiply by zero to leave
out: a row that is not a number would reach its neighbour's weights."""

LARGEST_BLOCK = 128
"""Rows and columns of a block of the output: an accumulator of 128 x 128 takes half of the registers of a warp group.
Not measured on a GPU."""

STEPS_IN_FLIGHT = 4
"""Blocks that are on their way to shared memory: 4 x 2 x 16 KiB of 227 KiB."""

COLUMNS_TOGETHER = 4
"""Blocks of columns that are worked on one after the other, so that rows stay in the cache."""

HOPPER_CORES = 132
"""Streaming multiprocessors of an H100 SXM or H200, where no device is there to ask."""


@partial(jax.jit, static_argnames="transposed")
def product(x_RK: jax.Array, w: jax.Array, counts_E: jax.Array, *, transposed: bool) -> jax.Array:
    """`x[r] @ w[expert of r]`, or by the transpose of w, in the type of x; undefined in rows behind the last expert's.

    Shapes: x [R, K], w [E, K, N] ([E, N, K] where transposed), counts [E], each a multiple of `BLOCK`, as R, K and N
    are.
    """
    from jax.experimental.pallas.ops.gpu.ragged_dot_mgpu import ragged_dot

    columns = w.shape[1] if transposed else w.shape[2]
    return ragged_dot(
        x_RK,
        w,
        group_sizes=counts_E.astype(jnp.int32),
        block_m=LARGEST_BLOCK,
        block_n=_block(columns),
        block_k=BLOCK,
        max_concurrent_steps=STEPS_IN_FLIGHT,
        grid_block_n=_together(columns),
        transpose_rhs=transposed,
    )


@jax.jit
def outer(x_RD: jax.Array, y_RF: jax.Array, counts_E: jax.Array) -> jax.Array:
    """The sum over each expert's rows of `x[r]` times `y[r]` [E, D, F], in the type of x."""
    from jax.experimental.pallas.ops.gpu import transposed_ragged_dot_mgpu as kernels

    with _with_cores(kernels):
        return kernels.transposed_ragged_dot(
            x_RD,
            y_RF,
            group_sizes=counts_E.astype(jnp.int32),
            block_m=_block(x_RD.shape[1]),
            block_n=_block(y_RF.shape[1]),
            block_k=BLOCK,
            max_concurrent_steps=STEPS_IN_FLIGHT,
            grid_block_n=_together(y_RF.shape[1]),
        )


def _block(columns: int) -> int:
    return BLOCK if columns % LARGEST_BLOCK else LARGEST_BLOCK


def _together(columns: int) -> int:
    """The most blocks of columns, up to `COLUMNS_TOGETHER`, that divide all of them."""
    blocks = columns // _block(columns)
    return max(count for count in range(1, COLUMNS_TOGETHER + 1) if blocks % count == 0)


@contextlib.contextmanager
def _with_cores(kernels: Any) -> Iterator[None]:
    """The kernel asks JAX's first device for its cores, which only a GPU can tell: where a program is compiled without
    its GPU, or taken step by step on a CPU, Hopper's are said."""
    if hasattr(jax.devices()[0], "core_count"):
        yield
        return
    from unittest import mock

    device = SimpleNamespace(core_count=HOPPER_CORES)
    with mock.patch.object(kernels, "jax", SimpleNamespace(**vars(jax) | {"devices": lambda: [device]})):
        yield
