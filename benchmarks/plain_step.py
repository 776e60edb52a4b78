"""The quickstart's two models as one plain JAX file: dictionaries of arrays, no modules, no options. The floor of
benchmarks/step.py.

It computes what the emitted programs compute (same shapes, same numbers of slots, same losses and optimizer), in the
form that XLA on a CPU is known to like: separate projections, tokens as rows of one matrix, heads before tokens, tanh
for silu.
"""

from __future__ import annotations

import math

import jax
import optax
from jax import numpy as jnp

VOCAB, LENGTH, LAYERS, WIDTH, HEADS, KV_HEADS, D_HEAD, D_FF = 256, 256, 4, 128, 4, 2, 32, 344
N_EXPERTS, TOP_K, CAPACITY = 8, 2, 80

Params = dict[str, jax.Array]


def make_params(*, moe: bool) -> list[Params]:
    """Embedding, head and last norm, then the layers."""
    keys = iter(jax.random.split(jax.random.key(0), 64))

    def normal(*shape: int) -> jax.Array:
        return jax.random.normal(next(keys), shape) / math.sqrt(shape[-2])

    layers = []
    for layer in range(LAYERS):
        experts = (N_EXPERTS,) if moe and layer % 2 else ()
        params = {
            "norm_1": jnp.ones(WIDTH),
            "norm_2": jnp.ones(WIDTH),
            "w_q": normal(WIDTH, HEADS * D_HEAD),
            "w_k": normal(WIDTH, KV_HEADS * D_HEAD),
            "w_v": normal(WIDTH, KV_HEADS * D_HEAD),
            "w_o": normal(HEADS * D_HEAD, WIDTH),
            "w_gate": normal(*experts, WIDTH, D_FF),
            "w_up": normal(*experts, WIDTH, D_FF),
            "w_down": normal(*experts, D_FF, WIDTH),
        }
        layers.append(params | ({"w_router": normal(WIDTH, N_EXPERTS)} if experts else {}))
    return [{"embed": normal(VOCAB, WIDTH), "head": normal(WIDTH, VOCAB), "norm": jnp.ones(WIDTH)}, *layers]


def norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale


def rotate(x_TNH: jax.Array) -> jax.Array:
    half = D_HEAD // 2
    positions = jnp.arange(x_TNH.shape[0]) % LENGTH
    angles = positions[:, None, None] * 10_000.0 ** (-jnp.arange(half) / half)
    first, second = x_TNH[..., :half], x_TNH[..., half:]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def attention(x_TD: jax.Array, layer: Params) -> jax.Array:
    def heads(x: jax.Array, n: int) -> jax.Array:
        return x.reshape(-1, LENGTH, KV_HEADS, n // KV_HEADS, D_HEAD).transpose(0, 2, 3, 1, 4)

    q = heads(rotate((x_TD @ layer["w_q"]).reshape(-1, HEADS, D_HEAD)), HEADS)
    k = heads(rotate((x_TD @ layer["w_k"]).reshape(-1, KV_HEADS, D_HEAD)), KV_HEADS)[:, :, 0]
    v = heads((x_TD @ layer["w_v"]), KV_HEADS)[:, :, 0]
    scores = jnp.einsum("bgrsh,bgkh->bgrsk", q, k) / math.sqrt(D_HEAD)
    weights = jax.nn.softmax(jnp.where(jnp.tri(LENGTH, dtype=bool), scores, -1e30))
    mixed = jnp.einsum("bgrsk,bgkh->bgrsh", weights, v).transpose(0, 3, 1, 2, 4)
    return mixed.reshape(-1, HEADS * D_HEAD) @ layer["w_o"]


def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    return 0.5 * gate * (1.0 + jnp.tanh(0.5 * gate)) * up


def dense(x_TD: jax.Array, layer: Params) -> jax.Array:
    return swiglu(x_TD @ layer["w_gate"], x_TD @ layer["w_up"]) @ layer["w_down"]


def experts(x_TD: jax.Array, layer: Params) -> tuple[jax.Array, jax.Array]:
    """Groups of one sequence, `CAPACITY` slots of each expert in each; the losses of the router with their weights."""
    logits_TE = x_TD @ layer["w_router"]
    top_TK, expert_TK = jax.lax.top_k(logits_TE, TOP_K)
    weights_TK = jax.nn.softmax(top_TK)
    expert_GJ = expert_TK.reshape(-1, LENGTH, TOP_K).swapaxes(1, 2).reshape(-1, TOP_K * LENGTH)
    onehot_GJE = jax.nn.one_hot(expert_GJ, N_EXPERTS, dtype=jnp.int32)
    place_GJ = jnp.sum(jnp.cumsum(onehot_GJE, 1) * onehot_GJE, -1) - 1
    groups = expert_GJ.shape[0]
    slot_GJ = (expert_GJ * groups + jnp.arange(groups)[:, None]) * CAPACITY + place_GJ
    n_slots = N_EXPERTS * groups * CAPACITY
    slot_TK = (
        jnp.where(place_GJ < CAPACITY, slot_GJ, n_slots).reshape(-1, TOP_K, LENGTH).swapaxes(1, 2).reshape(-1, TOP_K)
    )
    tokens = jnp.repeat(jnp.arange(x_TD.shape[0])[:, None], TOP_K, 1)
    token_R = jnp.zeros(n_slots, jnp.int32).at[slot_TK.reshape(-1)].set(tokens.reshape(-1), mode="drop")
    x_ERD = x_TD[token_R].reshape(N_EXPERTS, -1, WIDTH)
    hidden = swiglu(
        jnp.einsum("erd,edf->erf", x_ERD, layer["w_gate"]), jnp.einsum("erd,edf->erf", x_ERD, layer["w_up"])
    )
    y_RD = jnp.einsum("erf,efd->erd", hidden, layer["w_down"]).reshape(n_slots, WIDTH)
    y_TD = jnp.sum(weights_TK[..., None] * jnp.take(y_RD, slot_TK, axis=0, mode="fill", fill_value=0), 1)
    load_E = jnp.mean(onehot_GJE.astype(jnp.float32), (0, 1))
    balance = N_EXPERTS * jnp.sum(load_E * jnp.mean(jax.nn.softmax(logits_TE), 0))
    z = jnp.mean(jax.nn.logsumexp(logits_TE, -1) ** 2)
    return y_TD, 0.01 * balance / 2 + 0.001 * z / 2


def loss(params: list[Params], tokens_BS: jax.Array, targets_BS: jax.Array) -> jax.Array:
    """Cross-entropy and, with experts, the losses of the routers."""
    tables, *layers = params
    x_TD, extra = tables["embed"][tokens_BS.reshape(-1)], jnp.float32(0)
    for layer in layers:
        x_TD = x_TD + attention(norm(x_TD, layer["norm_1"]), layer)
        normed = norm(x_TD, layer["norm_2"])
        if "w_router" in layer:
            y_TD, router = experts(normed, layer)
            x_TD, extra = x_TD + y_TD, extra + router
        else:
            x_TD = x_TD + dense(normed, layer)
    logits_TV = norm(x_TD, tables["norm"]) @ tables["head"]
    target_T = jnp.sum(logits_TV * jax.nn.one_hot(targets_BS.reshape(-1), VOCAB), -1)
    return jnp.mean(jax.nn.logsumexp(logits_TV, -1) - target_T) + extra


def make_step(optimizer: optax.GradientTransformation):
    """The jitted step: parameters, optimizer state, tokens and targets in; the first two and the loss out."""

    def step(params, state, tokens_BS, targets_BS):
        value, gradients = jax.value_and_grad(loss)(params, tokens_BS, targets_BS)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    return jax.jit(step, donate_argnums=(0, 1))
