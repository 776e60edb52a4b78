"""Dense models and mixtures as one plain JAX file: dictionaries of arrays, no modules, no options. The floor of
benchmarks/step.py and benchmarks/peers.py.

It computes what the emitted programs compute (same shapes, same numbers of slots, same losses and optimizer), in the
form that XLA on a CPU is known to like: separate projections, tokens as rows of one matrix, heads before tokens, tanh
for silu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import optax
from jax import numpy as jnp

Params = dict[str, jax.Array]


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's sizes; without experts it is dense. Experts are in the last of each `every` layers."""

    vocab: int = 256
    length: int = 256
    layers: int = 4
    width: int = 128
    heads: int = 4
    kv_heads: int = 2
    d_ff: int = 344
    n_experts: int = 0
    top_k: int = 0
    capacity_factor: float = 1.25
    every: int = 1

    @property
    def d_head(self) -> int:
        """Dims of one head."""
        return self.width // self.heads

    @property
    def capacity(self) -> int:
        """Slots of one expert for one sequence."""
        return math.ceil(self.top_k * self.length * self.capacity_factor / self.n_experts)


QUICKSTART = Shape()
QUICKSTART_EXPERTS = Shape(n_experts=8, top_k=2, every=2)


def make_params(shape: Shape) -> list[Params]:
    """Embedding, head and last norm, then the layers."""
    keys = iter(jax.random.split(jax.random.key(0), 2 + 8 * shape.layers))

    def normal(*dims: int) -> jax.Array:
        return jax.random.normal(next(keys), dims) / math.sqrt(dims[-2])

    width, q_width, kv_width = shape.width, shape.heads * shape.d_head, shape.kv_heads * shape.d_head
    layers = []
    for layer in range(shape.layers):
        experts = (shape.n_experts,) if shape.n_experts and (layer + 1) % shape.every == 0 else ()
        params = {
            "norm_1": jnp.ones(width),
            "norm_2": jnp.ones(width),
            "w_q": normal(width, q_width),
            "w_k": normal(width, kv_width),
            "w_v": normal(width, kv_width),
            "w_o": normal(q_width, width),
            "w_gate": normal(*experts, width, shape.d_ff),
            "w_up": normal(*experts, width, shape.d_ff),
            "w_down": normal(*experts, shape.d_ff, width),
        }
        layers.append(params | ({"w_router": normal(width, shape.n_experts)} if experts else {}))
    return [{"embed": normal(shape.vocab, width), "head": normal(width, shape.vocab), "norm": jnp.ones(width)}, *layers]


def norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale


def rotate(shape: Shape, x_TNH: jax.Array) -> jax.Array:
    half = shape.d_head // 2
    positions = jnp.arange(x_TNH.shape[0]) % shape.length
    angles = positions[:, None, None] * 10_000.0 ** (-jnp.arange(half) / half)
    first, second = x_TNH[..., :half], x_TNH[..., half:]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def attention(shape: Shape, x_TD: jax.Array, layer: Params) -> jax.Array:
    length, kv_heads, d_head = shape.length, shape.kv_heads, shape.d_head

    def heads(x: jax.Array, n: int) -> jax.Array:
        return x.reshape(-1, length, kv_heads, n // kv_heads, d_head).transpose(0, 2, 3, 1, 4)

    q = heads(rotate(shape, (x_TD @ layer["w_q"]).reshape(-1, shape.heads, d_head)), shape.heads)
    k = heads(rotate(shape, (x_TD @ layer["w_k"]).reshape(-1, kv_heads, d_head)), kv_heads)[:, :, 0]
    v = heads((x_TD @ layer["w_v"]), kv_heads)[:, :, 0]
    scores = jnp.einsum("bgrsh,bgkh->bgrsk", q, k) / math.sqrt(d_head)
    weights = jax.nn.softmax(jnp.where(jnp.tri(length, dtype=bool), scores, -1e30))
    mixed = jnp.einsum("bgrsk,bgkh->bgrsh", weights, v).transpose(0, 3, 1, 2, 4)
    return mixed.reshape(-1, shape.heads * d_head) @ layer["w_o"]


def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    return 0.5 * gate * (1.0 + jnp.tanh(0.5 * gate)) * up


def dense(x_TD: jax.Array, layer: Params) -> jax.Array:
    return swiglu(x_TD @ layer["w_gate"], x_TD @ layer["w_up"]) @ layer["w_down"]


def experts(shape: Shape, x_TD: jax.Array, layer: Params) -> tuple[jax.Array, jax.Array]:
    """Groups of one sequence, `capacity` slots of each expert in each; the losses of the router with their weights."""
    length, top_k, n_experts, capacity = shape.length, shape.top_k, shape.n_experts, shape.capacity
    moe_layers = shape.layers // shape.every
    logits_TE = x_TD @ layer["w_router"]
    top_TK, expert_TK = jax.lax.top_k(logits_TE, top_k)
    weights_TK = jax.nn.softmax(top_TK)
    expert_GJ = expert_TK.reshape(-1, length, top_k).swapaxes(1, 2).reshape(-1, top_k * length)
    onehot_GJE = jax.nn.one_hot(expert_GJ, n_experts, dtype=jnp.int32)
    place_GJ = jnp.sum(jnp.cumsum(onehot_GJE, 1) * onehot_GJE, -1) - 1
    groups = expert_GJ.shape[0]
    slot_GJ = (expert_GJ * groups + jnp.arange(groups)[:, None]) * capacity + place_GJ
    n_slots = n_experts * groups * capacity
    slot_TK = (
        jnp.where(place_GJ < capacity, slot_GJ, n_slots).reshape(-1, top_k, length).swapaxes(1, 2).reshape(-1, top_k)
    )
    tokens = jnp.repeat(jnp.arange(x_TD.shape[0])[:, None], top_k, 1)
    token_R = jnp.zeros(n_slots, jnp.int32).at[slot_TK.reshape(-1)].set(tokens.reshape(-1), mode="drop")
    x_ERD = x_TD[token_R].reshape(n_experts, -1, shape.width)
    hidden = swiglu(
        jnp.einsum("erd,edf->erf", x_ERD, layer["w_gate"]), jnp.einsum("erd,edf->erf", x_ERD, layer["w_up"])
    )
    y_RD = jnp.einsum("erf,efd->erd", hidden, layer["w_down"]).reshape(n_slots, shape.width)
    y_TD = jnp.sum(weights_TK[..., None] * jnp.take(y_RD, slot_TK, axis=0, mode="fill", fill_value=0), 1)
    load_E = jnp.mean(onehot_GJE.astype(jnp.float32), (0, 1))
    balance = n_experts * jnp.sum(load_E * jnp.mean(jax.nn.softmax(logits_TE), 0))
    z = jnp.mean(jax.nn.logsumexp(logits_TE, -1) ** 2)
    return y_TD, 0.01 * balance / moe_layers + 0.001 * z / moe_layers


def loss(shape: Shape, params: list[Params], tokens_BS: jax.Array, targets_BS: jax.Array) -> jax.Array:
    """Cross-entropy and, with experts, the losses of the routers."""
    tables, *layers = params
    x_TD, extra = tables["embed"][tokens_BS.reshape(-1)], jnp.float32(0)
    for layer in layers:
        x_TD = x_TD + attention(shape, norm(x_TD, layer["norm_1"]), layer)
        normed = norm(x_TD, layer["norm_2"])
        if "w_router" in layer:
            y_TD, router = experts(shape, normed, layer)
            x_TD, extra = x_TD + y_TD, extra + router
        else:
            x_TD = x_TD + dense(normed, layer)
    logits_TV = norm(x_TD, tables["norm"]) @ tables["head"]
    target_T = jnp.sum(logits_TV * jax.nn.one_hot(targets_BS.reshape(-1), shape.vocab), -1)
    return jnp.mean(jax.nn.logsumexp(logits_TV, -1) - target_T) + extra


def make_step(shape: Shape, optimizer: optax.GradientTransformation):
    """The jitted step: parameters, optimizer state, tokens and targets in; the first two and the loss out."""

    def step(params, state, tokens_BS, targets_BS):
        value, gradients = jax.value_and_grad(partial(loss, shape))(params, tokens_BS, targets_BS)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    return jax.jit(step, donate_argnums=(0, 1))
