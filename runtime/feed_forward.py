"""The position-wise half of a block: projections and activations."""

from __future__ import annotations

from typing import Literal

import jax
from jax import numpy as jnp
from moec.runtime.mesh import is_sharded
from moec.runtime.weights import Weight, used

Activation = Literal["swiglu", "geglu", "gelu", "relu2"]


def project(x: jax.Array, w: Weight, bias: Weight | None = None) -> jax.Array:
    """`x @ w + bias` in the dtype of `x`.

    Shapes: x [B, S, D], w [D, F], bias [F]; gives [B, S, F].
    """
    y = matmul(x, used(w, x.dtype))
    return y if bias is None else y + used(bias, x.dtype)


def matmul(x: jax.Array, w: jax.Array) -> jax.Array:
    """`x @ w` over the last dim of `x` and the first of `w`.

    On one device all the tokens are rows of one matrix, which XLA multiplies faster on a CPU; on a mesh the dims stay
    apart, because a merged dim of batch and sequence cannot be sharded over both.
    """
    if is_sharded() or x.ndim == 2:
        return x @ w
    return (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], w.shape[-1])


def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """`silu(gate) * up`, with `silu(a) = a/2 * (1 + tanh(a/2))`, which is the same function and faster on a CPU.

    Source: Shazeer 2020, arXiv 2002.05202, equation 5.
    """
    half = 0.5 * gate
    return half * (1.0 + jnp.tanh(half)) * up


def geglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """`gelu(gate) * up` with the tanh form of gelu. Source: Shazeer 2020, arXiv 2002.05202, equation 5."""
    return gelu(gate) * up


def gelu(x: jax.Array) -> jax.Array:
    """The tanh form of the Gaussian error linear unit. Source: Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2."""
    return jax.nn.gelu(x, approximate=True)


def relu2(x: jax.Array) -> jax.Array:
    """`max(x, 0)^2`. Source: So et al. 2021 (Primer), arXiv 2109.08668, section 3."""
    positive = jnp.maximum(x, 0)
    return positive * positive


def activate(name: Activation, gate: jax.Array | None, up: jax.Array) -> jax.Array:
    """The activation by name; `gate` is None exactly for those without a gate, gelu and relu2."""
    gated = {"swiglu": swiglu, "geglu": geglu}
    plain = {"gelu": gelu, "relu2": relu2}
    if name in gated and gate is not None:
        return gated[name](gate, up)
    if name in plain and gate is None:
        return plain[name](up)
    raise ValueError(f"activation {name!r} {'needs' if name in gated else 'has no'} gate, or is unknown")
