"""The feed-forward network of each expert, over slots: equally many rows per expert, empty ones included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from moec.runtime.feed_forward import Activation, activate
from moec.runtime.grouped_matmul import GroupedMatmul, matmul_per_expert
from moec.runtime.mesh import axis_size


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """Something for each weight of the experts: the arrays, or their shardings.

    Shapes: w_gate and w_up [E, D, F], w_down [E, F, D], b_gate and b_up [E, F], b_down [E, D]. None where there is
    none.
    """

    w_gate: Any
    w_up: Any
    w_down: Any
    b_gate: Any
    b_up: Any
    b_down: Any


def on_slots(x_ERD: jax.Array, weights: ExpertWeights, activation: Activation, kernel: GroupedMatmul) -> jax.Array:
    """Each expert's outputs for its own rows [E, R, D]; partial sums over the model axis."""
    x_ERD = checkpoint_name(x_ERD, "expert_buffer")
    up_ERF = _with_bias(matmul_per_expert(x_ERD, weights.w_up, kernel), weights.b_up)
    gate_ERF = None
    if weights.w_gate is not None:
        gate_ERF = _with_bias(matmul_per_expert(x_ERD, weights.w_gate, kernel), weights.b_gate)
    hidden_ERF = checkpoint_name(activate(activation, gate_ERF, up_ERF), "expert_hidden")
    return _with_bias(matmul_per_expert(hidden_ERF, weights.w_down, kernel), on_one_device(weights.b_down))


def on_one_device(bias_ED: jax.Array | None) -> jax.Array | None:
    """The bias on the first device of the model axis, zeros on the others, whose outputs are added to the first's."""
    if bias_ED is None or axis_size("model") == 1:
        return bias_ED
    return jnp.where(jax.lax.axis_index("model") == 0, bias_ED, 0)


def _with_bias(y_ERF: jax.Array, bias_EF: jax.Array | None) -> jax.Array:
    return y_ERF if bias_EF is None else y_ERF + bias_EF[:, None]
