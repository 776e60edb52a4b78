"""Normalisation over the width of a token, computed in float32 whatever the dtype of the input."""

from __future__ import annotations

import jax
from jax import numpy as jnp

from moec.runtime.weights import Weight, used


def rms_norm(x: jax.Array, scale: Weight, *, eps: float) -> jax.Array:
    """`x / sqrt(mean(x^2) + eps) * scale` over the last dim, in the dtype of `x`.

    Shapes: x [..., D], scale [D]. Source: Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
    """
    wide = x.astype(jnp.float32)
    inverse = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + eps)
    return (wide * inverse * used(scale, jnp.float32)).astype(x.dtype)


def layer_norm(x: jax.Array, scale: Weight, bias: Weight | None = None, *, eps: float) -> jax.Array:
    """`(x - mean) / sqrt(variance + eps) * scale + bias` over the last dim, in the dtype of `x`.

    Shapes: x [..., D], scale and bias [D]. Source: Ba, Kiros and Hinton 2016, arXiv 1607.06450, equation 4.
    """
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    normed = centred * inverse * used(scale, jnp.float32)
    if bias is not None:
        normed = normed + used(bias, jnp.float32)
    return normed.astype(x.dtype)
