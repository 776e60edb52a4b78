"""Experts: a token's choices go to feed-forward networks of which it uses a few, and their outputs come back weighted.

On a mesh the groups of tokens lie on the expert axis before dispatch and the experts lie on it after, so that the two
re-shardings are all-to-alls inside the expert axis and nothing else (`docs/runtime.md`, section Experts).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import jax
from flax import nnx
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec

from moec.runtime.dispatch import (
    Slots,
    assign_slots,
    count_by_expert,
    fits_by_counting,
    from_slots,
    from_slots_onehot,
    sort_by_expert,
    to_slots,
    to_slots_onehot,
)
from moec.runtime.expert_network import ExpertWeights, on_slots
from moec.runtime.feed_forward import Activation
from moec.runtime.grouped_matmul import GroupedMatmul
from moec.runtime.mesh import BATCH_AXES, axis_size, is_sharded
from moec.runtime.routing import Routing, report_routing, route
from moec.runtime.sorted_rows import ROWS_OF_EXPERT, by_megablox, by_mosaic, by_triton
from moec.runtime.tiles import SPARE_ROWS, on_rows
from moec.runtime.weights import Weight, spec_of

__all__ = ["apply_experts", "report_routing", "route"]

Dispatch = Literal["sorted", "onehot", "all_gather"]

BY_ROWS: Final = {"tiles": on_rows, "megablox": by_megablox, "mosaic_gpu": by_mosaic, "triton": by_triton}
"""The kernels that take as many rows per expert as it got (rounded up to blocks on GPUs), and no empty slots."""

SHARDINGS = ExpertWeights(
    w_gate=PartitionSpec("expert", "fsdp", "model"),
    w_up=PartitionSpec("expert", "fsdp", "model"),
    w_down=PartitionSpec("expert", "model", "fsdp"),
    b_gate=PartitionSpec("expert", "model"),
    b_up=PartitionSpec("expert", "model"),
    b_down=PartitionSpec("expert", None),
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

    `group_size` consecutive tokens are a group, in which an expert has `capacity` slots; None drops nothing, and
    neither does a batch that says `dropless`. `dispatch` says how tokens reach experts on other devices: `sorted` by
    two all-to-alls of slots, `onehot` the same with slots filled by matmuls with zeros and ones, `all_gather` by
    showing all tokens of the expert axis to each of its devices. `tiles`, on a TPU `megablox`, on a GPU `mosaic_gpu`
    and `triton` compute no empty slots (where none are exchanged); without a capacity `batched` and `reference` compute
    as many rows per expert as there are tokens.
    Errors: ValueError where a group would span devices.
    """
    method = Method(activation, group_size, capacity, dispatch, grouped_matmul)
    if routing.dropless:
        kernel = grouped_matmul if grouped_matmul in BY_ROWS else "tiles"
        method = dataclasses.replace(method, capacity=None, dispatch="all_gather", grouped_matmul=kernel)
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
    if method.capacity is not None and axis_size("seq") > 1 and x_bsd.shape[1] % method.group_size:
        positions = x_bsd.shape[1]
        raise ValueError(f"{positions} positions of a sequence on a device are not whole groups of {method.group_size}")
    x_td = x_bsd.reshape(-1, x_bsd.shape[-1])
    experts_tK = experts_bsK.reshape(x_td.shape[0], -1)
    weights_tK = weights_bsK.reshape(experts_tK.shape)
    exchange = axis_size("expert") > 1 and method.dispatch != "all_gather"
    apply = _with_exchange if exchange else _in_place
    y_td, kept_tK = apply(x_td, experts_tK, weights_tK, weights, method)
    return y_td.reshape(x_bsd.shape), kept_tK.reshape(experts_bsK.shape)


def _with_exchange(
    x_td: jax.Array, experts_tK: jax.Array, weights_tK: jax.Array, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    """Own tokens into slots of all experts, slots to the experts' devices, outputs back."""
    n_experts = weights.w_up.shape[0] * axis_size("expert")
    slots = _slots(experts_tK, n_experts, method)
    x_Erd = _to(method)(x_td, slots).reshape(n_experts, -1, x_td.shape[1])
    x_erD = _gather(_exchange(x_Erd, split=0, concat=1), "model", dim=2)
    y_erd = _scatter(on_slots(x_erD, weights, method.activation, method.grouped_matmul), "model", dim=2)
    y_Rd = _exchange(y_erd, split=1, concat=0).reshape(-1, x_td.shape[1])
    return _back(method)(checkpoint_name(y_Rd, "expert_out"), weights_tK, slots), slots.kept


def _in_place(
    x_td: jax.Array, experts_tK: jax.Array, weights_tK: jax.Array, weights: ExpertWeights, method: Method
) -> tuple[jax.Array, jax.Array]:
    """The own experts for all tokens of the expert axis (its size is 1 but for `all_gather`), partial outputs summed
    back."""
    n_here, shards = weights.w_up.shape[0], axis_size("expert")
    x_TD = _gather(_gather(x_td, "model", dim=1), "expert", dim=0)
    experts_TK, weights_TK = _gather(experts_tK, "expert", dim=0), _gather(weights_tK, "expert", dim=0)
    if shards > 1:
        own_TK = experts_TK - n_here * jax.lax.axis_index("expert")
        experts_TK = jnp.where((own_TK >= 0) & (own_TK < n_here), own_TK, n_here)
    if method.grouped_matmul in BY_ROWS:
        slots, counts_E = _sorted_rows(experts_TK, n_here, method)
        y_RD = BY_ROWS[method.grouped_matmul](_to(method)(x_TD, slots), counts_E, weights, method.activation)
    else:
        slots = _slots(experts_TK, n_here, method)
        x_eRD = _to(method)(x_TD, slots).reshape(n_here, -1, x_TD.shape[1])
        y_RD = on_slots(x_eRD, weights, method.activation, method.grouped_matmul).reshape(-1, x_TD.shape[1])
    y_TD = _back(method)(checkpoint_name(y_RD, "expert_out"), weights_TK, slots)
    kept_tK = _scatter(slots.kept.astype(jnp.int32), "expert", dim=0) > 0
    return _scatter(_scatter(y_TD, "model", dim=1), "expert", dim=0), kept_tK


def _sorted_rows(experts_TK: jax.Array, n_experts: int, method: Method) -> tuple[Slots, jax.Array]:
    """The choices that fit the capacity, sorted by expert with no empty slots between, and how many each expert has."""
    by_counting = method.grouped_matmul == "tiles"
    if method.capacity is not None:
        if by_counting:
            kept_TK = fits_by_counting(_in_groups(experts_TK, method), n_experts, method.capacity)
        else:
            kept_TK = _slots(experts_TK, n_experts, method).kept
        experts_TK = jnp.where(kept_TK, experts_TK, n_experts)
    if by_counting:
        return count_by_expert(experts_TK, n_experts, spare=SPARE_ROWS)
    return sort_by_expert(experts_TK, n_experts, multiple=ROWS_OF_EXPERT.get(method.grouped_matmul, 1))


def _in_groups(experts_TK: jax.Array, method: Method) -> jax.Array:
    tokens, top_k = experts_TK.shape
    if tokens % method.group_size:
        raise ValueError(f"{tokens} tokens on a device are not whole groups of {method.group_size}")
    return experts_TK.reshape(-1, method.group_size, top_k)


def _slots(experts_TK: jax.Array, n_experts: int, method: Method) -> Slots:
    if method.capacity is None:
        return assign_slots(experts_TK[None], n_experts, experts_TK.shape[0])
    return assign_slots(_in_groups(experts_TK, method), n_experts, method.capacity)


def _to(method: Method) -> Callable[[jax.Array, Slots], jax.Array]:
    return to_slots_onehot if method.dispatch == "onehot" else to_slots


def _back(method: Method) -> Callable[[jax.Array, jax.Array, Slots], jax.Array]:
    return from_slots_onehot if method.dispatch == "onehot" else from_slots


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
