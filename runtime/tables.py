"""The embedding table."""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike

from moec.runtime.mesh import BATCH_AXES, axis_size, is_sharded
from moec.runtime.weights import Weight, spec_of, used

TABLE = PartitionSpec("model", "fsdp")
"""How a table lies where it does not say it itself."""


def embed(tokens_BS: jax.Array, w_VD: Weight, dtype: DTypeLike) -> jax.Array:
    """The rows of the table that the tokens name, in `dtype`.

    On a mesh every device takes the rows of its own part of the vocabulary, and the gradient is summed over devices
    onto the shards of the table; left to itself XLA sums the whole table on every device.
    Shapes: tokens [B, S], table [V, D]; gives [B, S, D].
    """
    if not is_sharded():
        return jnp.take(used(w_VD, jnp.dtype(dtype)), tokens_BS, axis=0, mode="clip")
    spec = TABLE if isinstance(w_VD, jax.Array) else spec_of(w_VD)
    over_vocabulary, over_width = axis_size("model") > 1 and spec[0] == "model", spec[1] == "fsdp"

    def local(tokens_bs: jax.Array, w_vd: jax.Array) -> jax.Array:
        w_vD = w_vd.astype(dtype)
        if over_width and axis_size("fsdp") > 1:
            w_vD = jax.lax.all_gather(w_vD, "fsdp", axis=1, tiled=True)
        if not over_vocabulary:
            return jnp.take(w_vD, tokens_bs, axis=0, mode="clip")
        last = w_vD.shape[0] * axis_size("model") - 1
        own_bs = jnp.clip(tokens_bs, 0, last) - w_vD.shape[0] * jax.lax.axis_index("model")
        rows = jnp.take(w_vD, jnp.where(own_bs < 0, w_vD.shape[0], own_bs), axis=0, mode="fill", fill_value=0)
        return jax.lax.psum_scatter(rows, "model", scatter_dimension=2, tiled=True)

    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(BATCH_AXES, "seq"), spec),
        out_specs=PartitionSpec(BATCH_AXES, "seq", "model" if over_vocabulary else None),
        check_vma=False,
    )(tokens_BS, w_VD if isinstance(w_VD, jax.Array) else w_VD[...])
