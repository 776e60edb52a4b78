"""Root-mean-square normalisation by Pallas kernels that Triton compiles, for any NVIDIA GPU: each array is read or
written once.

Rows are held whole, so that what is made with their means needs no second reading. Widths are filled up to powers of
two, of which what is too much is masked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

FORWARD_NUMBERS, BACKWARD_NUMBERS = 16, 8
"""Of a thread, of each array, unless a row of more fills a block: in bfloat16 two readings of 16 bytes, and one of each
of three. They leave a thread 32 and 64 registers, by which an H100's core holds 2,048 and 1,024 threads: rows of 2,048
move at 2.9 TB/s both ways. Source: docs/log.md, 2026-11-28."""

SMALLEST_WARPS, LARGEST_WARPS = 8, 16
THREADS_OF_WARP = 32

BACKWARD_PROGRAMS = 512
"""Each with its own sum of the scale's gradient: four of 8 warps on each of an H100's 132 cores, which hold them all at
once."""


@partial(jax.jit, static_argnames="eps")
def normalised(x_RD: jax.Array, scale_D: jax.Array, *, eps: float) -> jax.Array:
    """`x / sqrt(mean(x^2) + eps) * scale` over each row, computed in float32, in the type of x.

    Shapes: x [R, D], scale [D] in float32.
    """
    (normed_RD,) = _by_blocks(_normalise_block, (x_RD,), scale_D, outputs=1, eps=eps, name="rms_norm")
    return normed_RD


@partial(jax.jit, static_argnames="eps")
def added_and_normalised(
    x_RD: jax.Array, added_RD: jax.Array, scale_D: jax.Array, *, eps: float
) -> tuple[jax.Array, jax.Array]:
    """`x + added` in the type of x, and `normalised` of that. Shapes: as there; added is as x."""
    arrays = (x_RD, added_RD)
    total_RD, normed_RD = _by_blocks(_add_and_normalise_block, arrays, scale_D, outputs=2, eps=eps, name="add_rms_norm")
    return total_RD, normed_RD


def _by_blocks(
    kernel: Callable[..., None],
    arrays: tuple[jax.Array, ...],
    scale_D: jax.Array,
    *,
    outputs: int,
    eps: float,
    name: str,
) -> list[jax.Array]:
    """What the kernel makes, block by block, of the rows of `arrays`: outputs like them."""
    rows, width = arrays[0].shape
    block, warps = _block(rows, width, FORWARD_NUMBERS)
    padded = pl.next_power_of_2(width)
    own_rows = pl.BlockSpec((block, padded), lambda index: (index, 0))
    made: list[jax.Array] = pl.pallas_call(
        partial(kernel, width=width, eps=eps),
        grid=(rows // block,),
        in_specs=[*[own_rows] * len(arrays), pl.BlockSpec((padded,), lambda index: (0,))],
        out_specs=[own_rows] * outputs,
        out_shape=[jax.ShapeDtypeStruct((rows, width), arrays[0].dtype)] * outputs,
        compiler_params=triton.CompilerParams(num_warps=warps),
        name=name,
    )(*arrays, scale_D)
    return made


def _normalise_block(x: Any, scale: Any, normed: Any, *, width: int, eps: float) -> None:
    wide = _load(x, width)
    _store(normed, wide * _inverse(wide, width, eps) * _load(scale, width), width)


def _add_and_normalise_block(
    x: Any, added: Any, scale: Any, total: Any, normed: Any, *, width: int, eps: float
) -> None:
    rounded = (_load(x, width) + _load(added, width)).astype(total.dtype)
    _store(total, rounded, width)
    wide = rounded.astype(jnp.float32)
    _store(normed, wide * _inverse(wide, width, eps) * _load(scale, width), width)


@partial(jax.jit, static_argnames="eps")
def gradients(
    x_RD: jax.Array, scale_D: jax.Array, to_normed_RD: jax.Array, to_kept_RD: jax.Array, *, eps: float
) -> tuple[jax.Array, jax.Array]:
    """The gradient of x, which went on both as `normalised` and as it was (`kept`), in its type, and that of the scale
    in float32.

    Shapes: as of `normalised`; a gradient's are those of what it is to. Source: with r = 1 / sqrt(mean(x^2) + eps) and
    g = to_normed * scale, the derivative of `normalised` is r g - r^3 x mean(g x).
    """
    rows, width = x_RD.shape
    block, warps = _block(rows, width, BACKWARD_NUMBERS)
    padded, blocks = pl.next_power_of_2(width), rows // block
    programs = min(blocks, BACKWARD_PROGRAMS)
    every_row = pl.BlockSpec((rows, padded), lambda index: (0, 0))
    to_x_RD, to_scale_PD = pl.pallas_call(
        partial(_gradients_of_blocks, block=block, blocks=blocks, width=width, eps=eps),
        grid=(programs,),
        in_specs=[every_row, pl.BlockSpec((padded,), lambda index: (0,)), every_row, every_row],
        out_specs=[every_row, pl.BlockSpec((None, padded), lambda index: (index, 0))],
        out_shape=[
            jax.ShapeDtypeStruct((rows, width), x_RD.dtype),
            jax.ShapeDtypeStruct((programs, width), jnp.float32),
        ],
        compiler_params=triton.CompilerParams(num_warps=warps),
        name="rms_norm_gradients",
    )(x_RD, scale_D, to_normed_RD, to_kept_RD)
    return to_x_RD, jnp.sum(to_scale_PD, axis=0)


def _gradients_of_blocks(
    x: Any,
    scale: Any,
    to_normed: Any,
    to_kept: Any,
    to_x: Any,
    to_scale: Any,
    *,
    block: int,
    blocks: int,
    width: int,
    eps: float,
) -> None:
    """Every so many blocks, as many as there are programs, from the program's own on."""
    first, programs = pl.program_id(0), min(blocks, BACKWARD_PROGRAMS)
    scale_D = _load(scale, width)

    def add(index: jax.Array, total: jax.Array) -> jax.Array:
        rows = pl.ds((first + index * programs) * block, block)
        own = x.at[rows], to_normed.at[rows], to_kept.at[rows]
        wide, slope, kept_slope = (_load(ref, width) for ref in own)
        inverse, scaled = _inverse(wide, width, eps), slope * scale_D
        shared = inverse * inverse * jnp.sum(scaled * wide, axis=1, keepdims=True) / width
        _store(to_x.at[rows], kept_slope + inverse * (scaled - shared * wide), width)
        return total + slope * wide * inverse

    own_blocks = (blocks - 1 - first) // programs + 1
    total = jax.lax.fori_loop(0, own_blocks, add, jnp.zeros((block, x.shape[1]), jnp.float32))
    _store(to_scale, jnp.sum(total, axis=0), width)


def _inverse(wide: jax.Array, width: int, eps: float) -> jax.Array:
    """1 / sqrt(mean(x^2) + eps) of each row; what fills the rows up is zero."""
    return jax.lax.rsqrt(jnp.sum(wide * wide, axis=1, keepdims=True) / width + eps)


def _load(ref: Any, width: int) -> jax.Array:
    """In float32, zero behind `width`."""
    array: jax.Array = triton.load(ref, mask=_inside(ref, width), other=None if _is_whole(ref, width) else 0.0)
    return array.astype(jnp.float32)


def _store(ref: Any, array: jax.Array, width: int) -> None:
    triton.store(ref, array.astype(ref.dtype), mask=_inside(ref, width))


def _is_whole(ref: Any, width: int) -> bool:
    return bool(ref.shape[-1] == width)


def _inside(ref: Any, width: int) -> jax.Array | None:
    """Where the row is not filled up; None where nothing is."""
    if _is_whole(ref, width):
        return None
    return jnp.broadcast_to(jnp.arange(ref.shape[-1]) < width, ref.shape)


def _block(rows: int, width: int, numbers_of_thread: int) -> tuple[int, int]:
    """The rows of a block, a power of two that divides them, and the warps that share it."""
    padded, numbers_of_warp = pl.next_power_of_2(width), numbers_of_thread * THREADS_OF_WARP
    warps = min(max(padded // numbers_of_warp, SMALLEST_WARPS), LARGEST_WARPS)
    return min(max(warps * numbers_of_warp // padded, 1), rows & -rows), warps
