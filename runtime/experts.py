"""Experts: a token's choices go to feed-forward networks of which it uses a few, and their outputs come back weighted.

On a mesh the groups of tokens lie on the expert axis before dispatch and the experts lie on it after, so that the two
re-shardings are all-to-alls inside the expert axis and nothing else (`docs/runtime.md`, section Experts).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import jax
from flax import nnx
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec
from moec.runtime.dispatch import assign_slots, from_slots, from_slots_onehot, to_slots, to_slots_onehot
from moec.runtime.feed_forward import Activation, activate
from moec.runtime.grouped_matmul import GroupedMatmul, matmul_per_expert
from moec.runtime.mesh import BATCH_AXES, axis_size, is_sharded
from moec.runtime.routing import Routing, report_routing, route
from moec.runtime.weights import Weight, spec_of

__all__ = ["apply_experts", "report_routing", "route"]

Dispatch = Literal["sorted", "onehot", "all_gather"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """Something for each weight of the experts: the arrays, or their shardings.

    Shapes: w_gate and w_up [E, D, F], w_down [E, F, D], b_gate and b_up [E, F], b_down [E, D]. None where there is none.
    """

    w_gate: Any
    w_up: Any
    w_down: Any
    b_gate: Any
    b_up: Any
    b_down: Any


SHARDINGS = ExpertWeights(
    w_gate=PartitionSpec("expert", "fsdp", "model"),
    w_up=PartitionSpec("expert", "fsdp", "model"),
    w_down=PartitionSpec("expert", "model", "fsdp"),
    b_gate=PartitionSpec("expert", "model"),
    b_up=PartitionSpec("expert", "model"),
    b_down=PartitionSpec("expert", "model"),
)
"""How weights lie where they do not say it themselves; biases lie so inside the layer whatever they say."""


@dataclass(frozen=True, slots=True)
class Method:
    """How the experts are applied: the static arguments of `apply_experts`."""

    activation: Activation
    group_size: int
    capacity: int | None
    dispatch: Dispatch
    grouped_matmul: GroupedMatmul

    def __post_init__(self) -> None:
        if self.capacity is None and self.dispatch == "onehot":
            raise ValueError("dispatch onehot needs a capacity")
        if self.capacity is not None and self.dispatch == "all_gather":
            raise ValueError("dispatch all_gather drops nothing: capacity must be None")
        if self.capacity is not None and self.grouped_matmul == "tiles":
            raise ValueError("grouped matmul tiles drops nothing: capacity must be None")


def apply_experts(
    x_BSD: jax.Array,
    routing: Routing,
    *,
    w_gate: Weight | None,
    w_up: Weight,
    w_down: Weight,
    b_gate: Weight | None = None,
    b_up: Weight | None = None,
    b_down: Weight | None = None,
    activation: Activation,
    group_size: int,
    capacity: int | None,
    dispatch: Dispatch,
    grouped_matmul: GroupedMatmul,
) -> tuple[jax.Array, jax.Array]:
    """The weighted outputs of each token's experts [B, S, D] and the fraction of choices that were dropped [].

    `group_size` consecutive tokens are a group, in which an expert has `capacity` slots; None drops nothing. A batch that
    says `dropless` drops nothing either.
    Errors: ValueError for tokens on a device that are not whole groups, and for names that do not go together.
    """
    method = Method(activation, group_size, capacity, dispatch, grouped_matmul)
    if routing.dropless:
        method = dataclasses.replace(method, capacity=None, dispatch="sorted", grouped_matmul="tiles")
    weights = ExpertWeights(w_gate, w_up, w_down, b_gate, b_up, b_down)
    if not is_sharded():
        arrays = jax.tree.map(lambda weight: weight[...].astype(x_BSD.dtype), weights, is_leaf=_is_weight)
        y_BSD, kept_BSK = _apply_locally(x_BSD, routing.experts_BSK, routing.weights_BSK, arrays, method)
    else:
        y_BSD, kept_BSK = _apply_on_mesh(x_BSD, routing, weights, method)
    asked = jnp.sum(routing.real_BS) * routing.experts_BSK.shape[-1]
    return y_BSD, 1.0 - jnp.sum(kept_BSK, dtype=jnp.float32) / jnp.maximum(asked, 1)


def _apply_on_mesh(
    x_BSD: jax.Array, routing: Routing, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    shardings = ExpertWeights(
        *(_sharding(getattr(weights, name.name), getattr(SHARDINGS, name.name)) for name in dataclasses.fields(weights))
    )
    stream = PartitionSpec(BATCH_AXES, "seq", "model")
    whole = PartitionSpec(BATCH_AXES, "seq", None)

    def local(
        x_bsd: jax.Array, experts_bsK: jax.Array, weights_bsK: jax.Array, shards: ExpertWeights
    ) -> tuple[jax.Array, jax.Array]:
        gathered = jax.tree.map(lambda shard, spec: _over_fsdp(shard.astype(x_bsd.dtype), spec), shards, shardings)
        return _apply_locally(x_bsd, experts_bsK, weights_bsK, gathered, method)

    arrays = jax.tree.map(lambda weight: weight[...], weights, is_leaf=_is_weight)
    return jax.shard_map(local, in_specs=(stream, whole, whole, shardings), out_specs=(stream, whole), check_vma=False)(
        x_BSD, routing.experts_BSK, routing.weights_BSK, arrays
    )


def _apply_locally(
    x_bsd: jax.Array, experts_bsK: jax.Array, weights_bsK: jax.Array, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    """The share of one device: `x` has its part of the width, `weights` the experts of its place on the expert axis and
    its part of their width. Gives y like `x` and which choices were kept [b, s, K]."""
    x_td = x_bsd.reshape(-1, x_bsd.shape[-1])
    experts_tK = experts_bsK.reshape(x_td.shape[0], -1)
    weights_tK = weights_bsK.reshape(experts_tK.shape)
    apply = _within_capacity if method.capacity is not None else _dropless
    y_td, kept_tK = apply(x_td, experts_tK, weights_tK, weights, method)
    return y_td.reshape(x_bsd.shape), kept_tK.reshape(experts_bsK.shape)


def _within_capacity(
    x_td: jax.Array, experts_tK: jax.Array, weights_tK: jax.Array, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    tokens, top_k = experts_tK.shape
    if tokens % method.group_size:
        raise ValueError(f"{tokens} tokens on a device are not whole groups of {method.group_size}")
    assert method.capacity is not None
    n_experts = weights.w_up.shape[0] * axis_size("expert")
    groups_GSK = experts_tK.reshape(-1, method.group_size, top_k)
    slots = assign_slots(groups_GSK, n_experts, method.capacity)
    to, back = (to_slots_onehot, from_slots_onehot) if method.dispatch == "onehot" else (to_slots, from_slots)

    x_Erd = to(x_td, slots).reshape(n_experts, -1, x_td.shape[1])
    x_erD = _gather(_exchange(x_Erd, split=0, concat=1), "model", dim=2)
    y_erD = _feed_forward(checkpoint_name(x_erD, "expert_input"), weights, method)
    y_erd = checkpoint_name(_scatter(y_erD, "model", dim=2), "expert_output")
    if weights.b_down is not None:
        y_erd = y_erd + weights.b_down[:, None]
    y_Erd = _exchange(y_erd, split=1, concat=0)
    return back(y_Erd.reshape(-1, x_td.shape[1]), weights_tK, slots), slots.kept_TK


def _dropless(
    x_td: jax.Array, experts_tK: jax.Array, weights_tK: jax.Array, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    here = weights.w_up.shape[0]
    n_experts = here * axis_size("expert")
    x_TD = _gather(_gather(x_td, "model", dim=1), "expert", dim=0)
    experts_TK, weights_TK = _gather(experts_tK, "expert", dim=0), _gather(weights_tK, "expert", dim=0)
    if axis_size("expert") > 1:
        own = experts_TK - here * jax.lax.axis_index("expert")
        experts_TK = jnp.where((own >= 0) & (own < here), own, here)
    slots = assign_slots(experts_TK[None], here, x_TD.shape[0])
    x_eTD = to_slots(x_TD, slots).reshape(here, -1, x_TD.shape[1])
    y_eTD = _feed_forward(x_eTD, weights, method)
    y_TD = from_slots(y_eTD.reshape(-1, x_TD.shape[1]), weights_TK, slots)
    return _scatter(_scatter(y_TD, "model", dim=1), "expert", dim=0), experts_tK < n_experts


def _feed_forward(x_eRD: jax.Array, weights: ExpertWeights, method: Method) -> jax.Array:
    """Each expert's network on its own rows, without the last bias; partial sums over the model axis."""
    up_eRF = _with_bias(matmul_per_expert(x_eRD, weights.w_up, method.grouped_matmul), weights.b_up)
    gate_eRF = None
    if weights.w_gate is not None:
        gate_eRF = _with_bias(matmul_per_expert(x_eRD, weights.w_gate, method.grouped_matmul), weights.b_gate)
    hidden_eRF = checkpoint_name(activate(method.activation, gate_eRF, up_eRF), "expert_hidden")
    return matmul_per_expert(hidden_eRF, weights.w_down, method.grouped_matmul)


def _with_bias(y_eRF: jax.Array, bias_eF: jax.Array | None) -> jax.Array:
    return y_eRF if bias_eF is None else y_eRF + bias_eF[:, None]


def _exchange(x_Erd: jax.Array, *, split: int, concat: int) -> jax.Array:
    """The all-to-all inside the expert axis: whole groups of all experts for all groups of own experts, or back."""
    if axis_size("expert") == 1:
        return x_Erd
    return jax.lax.all_to_all(x_Erd, "expert", split_axis=split, concat_axis=concat, tiled=True)


def _gather(x: jax.Array, axis: str, *, dim: int) -> jax.Array:
    return x if axis_size(axis) == 1 else jax.lax.all_gather(x, axis, axis=dim, tiled=True)


def _scatter(x: jax.Array, axis: str, *, dim: int) -> jax.Array:
    return x if axis_size(axis) == 1 else jax.lax.psum_scatter(x, axis, scatter_dimension=dim, tiled=True)


def _over_fsdp(shard: jax.Array, spec: PartitionSpec) -> jax.Array:
    """The shard with the dim that lies on fsdp whole; its gradient is reduce-scattered."""
    dims = [dim for dim, entry in enumerate(spec) if entry == "fsdp"]
    return _gather(shard, "fsdp", dim=dims[0]) if dims else shard


def _sharding(weight: Weight | None, default: PartitionSpec) -> PartitionSpec | None:
    if weight is None:
        return None
    is_matrix = len(default) == 3 and isinstance(weight, nnx.Variable)
    return spec_of(weight) if is_matrix else default


def _is_weight(node: object) -> bool:
    return isinstance(node, nnx.Variable)
