"""The norm before a residual branch, whose gradient and the residual stream's come together in one kernel on a GPU.

XLA makes two passes over x to normalise it, and two over x and the gradients to go back. What a branch gives it adds to
the residual stream inside a matmul, which overwrites what it adds to, so that it copies the stream first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, axis_size, is_sharded, platform
from moec.runtime.norms import rms_norm
from moec.runtime.weights import Weight, used

Outputs = tuple[jax.Array, jax.Array]
"""The residual stream, and it normalised."""

LARGEST_WIDTH = 8192
"""What the registers of a block of threads hold: backward kernels of wider rows spill. Source: docs/log.md, 2026-11-28,
compiled for an H100."""


def fork_rms_norm(x_BSD: jax.Array, scale: Weight, *, eps: float) -> Outputs:
    """x itself, and `rms_norm(x, scale)`: by kernels on GPUs that hold whole rows of up to `LARGEST_WIDTH`.

    Shapes: x [B, S, D], scale [D].
    """
    if not _has_kernels(x_BSD):
        return x_BSD, rms_norm(x_BSD, scale, eps=eps)
    return _locally(partial(_fork, eps), 1)(x_BSD, used(scale, jnp.float32))


def add_rms_norm(x_BSD: jax.Array, added_BSD: jax.Array, scale: Weight, *, eps: float) -> Outputs:
    """`x + added`, and its `rms_norm`: by kernels where `fork_rms_norm` has them. Shapes: as there; added is as x."""
    if not _has_kernels(x_BSD):
        x_BSD = x_BSD + added_BSD
        return x_BSD, rms_norm(x_BSD, scale, eps=eps)
    return _locally(partial(_add, eps), 2)(x_BSD, added_BSD, used(scale, jnp.float32))


def _has_kernels(x_BSD: jax.Array) -> bool:
    return platform() == "gpu" and axis_size("model") == 1 and x_BSD.shape[-1] <= LARGEST_WIDTH


def _locally(norm: Callable[..., Outputs], streams: int) -> Callable[..., Any]:
    """`norm` of so many arrays like the residual stream and a scale, on each device."""
    if not is_sharded():
        return norm
    stream = PartitionSpec(BATCH_AXES, "seq", None)
    specs = (*[stream] * streams, PartitionSpec())
    return jax.shard_map(norm, in_specs=specs, out_specs=(stream, stream), check_vma=False)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fork(eps: float, x_BSD: jax.Array, scale_D: jax.Array) -> Outputs:
    from moec.runtime import triton_norm

    normed_RD = triton_norm.normalised(_rows(x_BSD), scale_D, eps=eps)
    return x_BSD, normed_RD.reshape(x_BSD.shape)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _add(eps: float, x_BSD: jax.Array, added_BSD: jax.Array, scale_D: jax.Array) -> Outputs:
    from moec.runtime import triton_norm

    both = triton_norm.added_and_normalised(_rows(x_BSD), _rows(added_BSD), scale_D, eps=eps)
    total_BSD, normed_BSD = (array_RD.reshape(x_BSD.shape) for array_RD in both)
    return total_BSD, normed_BSD


def _fork_forward(eps: float, x_BSD: jax.Array, scale_D: jax.Array) -> tuple[Outputs, tuple[jax.Array, jax.Array]]:
    return _fork(eps, x_BSD, scale_D), (x_BSD, scale_D)


def _add_forward(
    eps: float, x_BSD: jax.Array, added_BSD: jax.Array, scale_D: jax.Array
) -> tuple[Outputs, tuple[jax.Array, jax.Array]]:
    total_BSD, normed_BSD = _add(eps, x_BSD, added_BSD, scale_D)
    return (total_BSD, normed_BSD), (total_BSD, scale_D)


def _fork_backward(eps: float, saved: tuple[jax.Array, jax.Array], slopes: Outputs) -> tuple[jax.Array, jax.Array]:
    """The mean square is made again, of rows that are read anyway."""
    from moec.runtime import triton_norm

    (x_BSD, scale_D), (to_x_BSD, to_normed_BSD) = saved, slopes
    to_x_RD, to_scale_D = triton_norm.gradients(_rows(x_BSD), scale_D, _rows(to_normed_BSD), _rows(to_x_BSD), eps=eps)
    return to_x_RD.reshape(x_BSD.shape), to_scale_D


def _add_backward(
    eps: float, saved: tuple[jax.Array, jax.Array], slopes: Outputs
) -> tuple[jax.Array, jax.Array, jax.Array]:
    to_total_BSD, to_scale_D = _fork_backward(eps, saved, slopes)
    return to_total_BSD, to_total_BSD, to_scale_D


_fork.defvjp(_fork_forward, _fork_backward)
_add.defvjp(_add_forward, _add_backward)


def _rows(x_BSD: jax.Array) -> jax.Array:
    return x_BSD.reshape(-1, x_BSD.shape[-1])
