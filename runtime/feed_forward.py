"""The position-wise half of a block: projections and activations."""

from __future__ import annotations

from typing import Literal

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

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


def project_out(x: jax.Array, w: Weight, bias: Weight | None = None) -> jax.Array:
    """`project`, for the last projection of a feed-forward layer: remat calls its result `ffn_out`."""
    return checkpoint_name(project(x, w, bias), "ffn_out")


def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """`silu(gate) * up`; remat calls it `ffn_hidden`, as all activations here.

    Source: Shazeer 2020, arXiv 2002.05202, equation 6.
    """
    return _hidden("swiglu", gate, up)


def geglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """`gelu(gate) * up` with the tanh form of gelu. Source: Shazeer 2020, arXiv 2002.05202, equation 6."""
    return _hidden("geglu", gate, up)


def gelu(x: jax.Array) -> jax.Array:
    """The tanh form of the Gaussian error linear unit. Source: Hendrycks and Gimpel 2016, arXiv 1606.08415."""
    return _hidden("gelu", None, x)


def relu2(x: jax.Array) -> jax.Array:
    """`max(x, 0)^2`. Source: So et al. 2021 (Primer), arXiv 2109.08668."""
    return _hidden("relu2", None, x)


def activate(name: Activation, gate: jax.Array | None, up: jax.Array) -> jax.Array:
    """The activation by name; `gate` is None exactly for those without a gate, gelu and relu2."""
    if name == "swiglu" and gate is not None:
        return _silu_times(gate, up)
    if name == "geglu" and gate is not None:
        return jax.nn.gelu(gate, approximate=True) * up
    if name == "gelu" and gate is None:
        return jax.nn.gelu(up, approximate=True)
    if name == "relu2" and gate is None:
        return jnp.square(jnp.maximum(up, 0))
    raise ValueError(f"no activation {name!r} {'without' if gate is None else 'with'} a gate")


def silu(x: jax.Array) -> jax.Array:
    """`x * sigmoid(x)`, as `x/2 * (1 + tanh(x/2))`: the same function, and faster on a CPU."""
    return x * _sigmoid(x)


def _sigmoid(x: jax.Array) -> jax.Array:
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)


@jax.custom_vjp
def _silu_times(gate: jax.Array, up: jax.Array) -> jax.Array:
    """`silu(gate) * up`, computed in float32 and rounded once. Its gradient is written out so that the backward pass
    reads what the matmuls gave and keeps nothing else."""
    return _silu_times_forward(gate, up)[0]


def _silu_times_forward(gate: jax.Array, up: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    hidden = silu(gate.astype(jnp.float32)) * up.astype(jnp.float32)
    return hidden.astype(gate.dtype), (gate, up)


def _silu_times_backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    gate, up, to_hidden = (array.astype(jnp.float32) for array in (*jax.lax.optimization_barrier(kept), gradient))
    share = _sigmoid(gate)
    passed = gate * share
    to_gate = to_hidden * up * (share + passed * (1.0 - share))
    return to_gate.astype(gradient.dtype), (to_hidden * passed).astype(gradient.dtype)


_silu_times.defvjp(_silu_times_forward, _silu_times_backward)


def _hidden(name: Activation, gate: jax.Array | None, up: jax.Array) -> jax.Array:
    return checkpoint_name(activate(name, gate, up), "ffn_hidden")
