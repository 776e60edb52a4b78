"""Text from a trained model: the prompt at once, then token by token with a cache of keys and values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp
from jax.sharding import Mesh

from moec.runtime.batch import Batch
from moec.runtime.cache_room import CacheRoom
from moec.runtime.mesh import BATCH_AXES, MeshShape, replicated
from moec.runtime.state import Layout, Weights


@dataclass(frozen=True, slots=True)
class Sampling:
    """`temperature` 0 takes the likeliest token, `top_k` 0 draws from all of them; the same seed, the same text."""

    tokens: int
    temperature: float
    top_k: int
    seed: int


def generation_mesh(shape: MeshShape) -> MeshShape:
    """The mesh of training with its seq axis given to data: one token at a time has no positions to spread."""
    return dataclasses.replace(shape, data=shape.data * shape.seq, seq=1)


def generate(layout: Layout, weights: Weights, prompt: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The ids that continue `prompt`. Experts take every token whatever their capacity (`Batch.dropless`).

    Shapes: `prompt` [n], n >= 1; gives [sampling.tokens]. Each batch shard of the mesh computes the same row.
    """
    rows = _batch_shards(layout.mesh)
    prompt_BS = np.broadcast_to(np.asarray(prompt, np.int32), (rows, len(prompt)))
    with jax.set_mesh(layout.mesh):
        run = jax.jit(_continuation, static_argnums=(0, 3), out_shardings=replicated(layout.mesh))
        ids_BT = run(layout.graph, weights, prompt_BS, sampling, jax.random.key(sampling.seed))
    return np.asarray(ids_BT[0])


def _continuation(
    graph: nnx.GraphDef, weights: Weights, prompt_BS: jax.Array, sampling: Sampling, key: jax.Array
) -> jax.Array:
    """The continuation of every row; all rows draw the same numbers. Shapes: prompt [B, S], gives [B, T]."""
    rows, length = prompt_BS.shape
    model = nnx.merge(graph, weights.params, weights.untrained)
    keys = jax.random.split(key, sampling.tokens)
    room = CacheRoom(length + sampling.tokens)
    positions_BS = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (rows, length))
    output = model(_as_batch(prompt_BS, positions_BS), room)
    first_B = _draw(_next_logits(model, output.hidden_BSD), keys[0], sampling)

    def step(carry: tuple[jax.Array, jax.Array, object], key: jax.Array) -> tuple[object, jax.Array]:
        token_B, position, caches = carry
        positions_B1 = jnp.full((rows, 1), position)
        output = nnx.merge(graph, weights.params, weights.untrained)(_as_batch(token_B[:, None], positions_B1), caches)
        next_B = _draw(_next_logits(model, output.hidden_BSD), key, sampling)
        return (next_B, position + 1, output.caches), next_B

    _, later_TB = jax.lax.scan(step, (first_B, jnp.int32(length), output.caches), keys[1:])
    return jnp.concatenate([first_B[:, None], later_TB.T], axis=1)


def _as_batch(tokens_BS: jax.Array, positions_BS: jax.Array) -> Batch:
    ones = jnp.ones_like(tokens_BS)
    return Batch(
        tokens_BS=tokens_BS,
        targets_BS=jnp.zeros_like(tokens_BS),
        positions_BS=positions_BS,
        segments_BS=ones,
        weights_BS=ones.astype(jnp.float32),
        dropless=True,
        causal=True,
    )


def _next_logits(model: nnx.Module, hidden_BSD: jax.Array) -> jax.Array:
    """The scores of the token after the last one, in float32 because they decide between near equals."""
    last_BD = hidden_BSD[:, -1].astype(jnp.float32)
    return last_BD @ model.head_DV().astype(jnp.float32)


def _draw(logits_BV: jax.Array, key: jax.Array, sampling: Sampling) -> jax.Array:
    """The next token of each row."""
    if sampling.temperature == 0:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
    if 0 < sampling.top_k < logits_BV.shape[-1]:
        least_B1 = jax.lax.top_k(logits_BV, sampling.top_k)[0][:, -1:]
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    noise_V = jax.random.gumbel(key, logits_BV.shape[-1:])
    return jnp.argmax(logits_BV / sampling.temperature + noise_V, axis=-1).astype(jnp.int32)


def _batch_shards(mesh: Mesh) -> int:
    return int(np.prod([mesh.shape[axis] for axis in BATCH_AXES]))
