"""The product of a router, in float32 whatever the dtype of its tokens.

bfloat16 tokens are multiplied in bfloat16, with weights in three parts that sum to them, so that no token is written in
float32. Products of two bfloat16 numbers are exact in float32: the logits are as good as those of float32 tokens.
Source: Henry, Tang and Heinecke 2019, arXiv 1904.06376 (a float32 number as a sum of three in bfloat16).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.mesh import BATCH_AXES, axis_size, constrain, is_sharded

STREAM = PartitionSpec(BATCH_AXES, "seq", "model")
LOGITS = PartitionSpec(BATCH_AXES, "seq", None)
WEIGHTS = PartitionSpec("model", None)


def logits_of(x_BSD: jax.Array, w_DE: jax.Array) -> jax.Array:
    """`x @ w` [B, S, E] to float32's rounding, for float32 weights, and so is the gradient of the weights.

    Shapes: x [B, S, D], w [D, E]. Rounding: the gradient of bfloat16 tokens is rounded to bfloat16, by 2^-8 of it at
    most; before that it lacks at most 3 * 2^-16 of the sum of its terms' sizes.
    """
    if x_BSD.dtype == jnp.bfloat16:
        return _of_bfloat16(x_BSD, w_DE)
    x_BSD = x_BSD.astype(jnp.float32)
    return constrain(jnp.einsum("bsd,de->bse", x_BSD, w_DE, precision=jax.lax.Precision.HIGHEST), LOGITS)


@jax.custom_vjp
def _of_bfloat16(x_BSD: jax.Array, w_DE: jax.Array) -> jax.Array:
    return _locally(_logits, (STREAM, WEIGHTS), LOGITS)(x_BSD, w_DE)


def _forward(x_BSD: jax.Array, w_DE: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _of_bfloat16(x_BSD, w_DE), (x_BSD, w_DE)


def _backward(saved: tuple[jax.Array, jax.Array], to_logits_BSE: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BSD, w_DE = saved
    to_x_BSD = _locally(_to_tokens, (LOGITS, WEIGHTS), STREAM)(to_logits_BSE, w_DE)
    return to_x_BSD, _locally(_to_weights, (STREAM, LOGITS), WEIGHTS)(x_BSD, to_logits_BSE)


_of_bfloat16.defvjp(_forward, _backward)


def _logits(x_bsd: jax.Array, w_dE: jax.Array) -> jax.Array:
    """A device's tokens by its part of the width; what is summed over the model axis is logits, not their parts."""
    w_dJ = jnp.concatenate(_parts(w_dE, 3), axis=-1)
    logits_bsJ = jnp.einsum("bsd,dj->bsj", x_bsd, w_dJ, preferred_element_type=jnp.float32)
    return _over_devices(_over_parts(logits_bsJ), ("model",))


def _to_tokens(to_logits_bsE: jax.Array, w_dE: jax.Array) -> jax.Array:
    """Of each factor two parts, whose rest is at most 2^-16 of it, without the product of their low ones, each at most
    2^-8. In one matmul, which adds up in float32 and rounds once."""
    high_bsE, low_bsE = _parts(to_logits_bsE, 2)
    w_high_dE, w_low_dE = _parts(w_dE, 2)
    to_logits_bsJ = jnp.concatenate([high_bsE, high_bsE, low_bsE], axis=-1)
    w_dJ = jnp.concatenate([w_high_dE, w_low_dE, w_high_dE], axis=-1)
    return jnp.einsum("bsj,dj->bsd", to_logits_bsJ, w_dJ)


def _to_weights(x_bsd: jax.Array, to_logits_bsE: jax.Array) -> jax.Array:
    """Of a device's own tokens, and summed over the devices that have others."""
    to_logits_bsJ = jnp.concatenate(_parts(to_logits_bsE, 3), axis=-1)
    to_w_dJ = jnp.einsum("bsd,bsj->dj", x_bsd, to_logits_bsJ, preferred_element_type=jnp.float32)
    return _over_devices(_over_parts(to_w_dJ), (*BATCH_AXES, "seq"))


def _parts(array: jax.Array, count: int) -> list[jax.Array]:
    """bfloat16 arrays, each the rounding of what those before it leave of `array`; three leave nothing of 24 bits.

    XLA may take a cast to bfloat16 and back for no change, a reduction of precision it does not.
    """
    parts = []
    for _ in range(count):
        part = jax.lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7)
        parts.append(part.astype(jnp.bfloat16))
        array = array - part
    return parts


def _over_parts(products_J: jax.Array) -> jax.Array:
    """The sum of the products of three parts that lie side by side in the last dim."""
    high, middle, low = jnp.split(products_J, 3, axis=-1)
    return high + (middle + low)


def _over_devices(array: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """The sum over those of the mesh axes that have more than one device."""
    axes = tuple(axis for axis in axes if axis_size(axis) > 1)
    return jax.lax.psum(array, axes) if axes else array


def _locally(
    function: Callable[[jax.Array, jax.Array], jax.Array], specs: tuple[PartitionSpec, ...], out_spec: PartitionSpec
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`function` on what lies on each device."""
    if not is_sharded():
        return function
    return jax.shard_map(function, in_specs=specs, out_specs=out_spec, check_vma=False)
