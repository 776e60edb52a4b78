"""The norm before a residual branch, whose gradient and the residual stream's come together in one kernel on a GPU.

XLA makes two passes over x to normalise it, and two over x and the gradients to go back.
"""

from __future__ import annotations

from functools import partial

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, axis_size, is_sharded, platform
from moec.runtime.norms import rms_norm
from moec.runtime.weights import Weight, used

LARGEST_WIDTH = 8192
"""What the registers of a block of threads hold: backward kernels of wider rows spill. Source: docs/log.md, 2026-11-28,
compiled for an H100."""


def fork_rms_norm(x_BSD: jax.Array, scale: Weight, *, eps: float) -> tuple[jax.Array, jax.Array]:
    """x itself, and `rms_norm(x, scale)`: by kernels on GPUs that hold whole rows of up to `LARGEST_WIDTH`.

    Shapes: x [B, S, D], scale [D].
    """
    if platform() != "gpu" or axis_size("model") > 1 or x_BSD.shape[-1] > LARGEST_WIDTH:
        return x_BSD, rms_norm(x_BSD, scale, eps=eps)
    scale_D = used(scale, jnp.float32)
    if not is_sharded():
        return _fork(x_BSD, scale_D, eps)
    stream = PartitionSpec(BATCH_AXES, "seq", None)
    return jax.shard_map(
        lambda x_bsD, scale_D: _fork(x_bsD, scale_D, eps),
        in_specs=(stream, PartitionSpec()),
        out_specs=(stream, stream),
        check_vma=False,
    )(x_BSD, scale_D)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fork(x_BSD: jax.Array, scale_D: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    from moec.runtime import triton_norm

    normed_RD = triton_norm.normalised(_rows(x_BSD), scale_D, eps=eps)
    return x_BSD, normed_RD.reshape(x_BSD.shape)


def _forward(
    x_BSD: jax.Array, scale_D: jax.Array, eps: float
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    return _fork(x_BSD, scale_D, eps), (x_BSD, scale_D)


def _backward(
    eps: float, saved: tuple[jax.Array, jax.Array], slopes: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The mean square is made again, of rows that are read anyway."""
    from moec.runtime import triton_norm

    (x_BSD, scale_D), (to_x_BSD, to_normed_BSD) = saved, slopes
    to_x_RD, to_scale_D = triton_norm.gradients(_rows(x_BSD), scale_D, _rows(to_normed_BSD), _rows(to_x_BSD), eps=eps)
    return to_x_RD.reshape(x_BSD.shape), to_scale_D


_fork.defvjp(_forward, _backward)


def _rows(x_BSD: jax.Array) -> jax.Array:
    return x_BSD.reshape(-1, x_BSD.shape[-1])
