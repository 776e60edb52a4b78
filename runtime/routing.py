"""The router: which experts a token goes to, with what weights, and the report on how even that was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec

from moec.runtime.batch import Batch, RouterReport
from moec.runtime.mesh import BATCH_AXES, is_sharded
from moec.runtime.router_logits import logits_of
from moec.runtime.weights import Weight, used

TINY = 1e-20
"""Keeps a division finite where all chosen sigmoid scores are zero in float32."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Routing:
    """The choices of every token, best first.

    Shapes: `experts_BSK` int32, n_experts for a padding token; `weights_BSK`, `logits_BSE` and `scores_BSE` float32,
    where the scores of a token sum to 1 over all experts; `real_BS` is False for padding. `dropless` is Batch's.
    """

    experts_BSK: jax.Array
    weights_BSK: jax.Array
    logits_BSE: jax.Array
    scores_BSE: jax.Array
    real_BS: jax.Array
    dropless: bool = field(metadata={"static": True})


def route(
    x_BSD: jax.Array,
    w_router: Weight,
    batch: Batch,
    *,
    top_k: int,
    score: Literal["softmax", "sigmoid"],
    order: Literal["topk_then_score", "score_then_topk"],
    renormalize: bool = True,
    scale: float = 1.0,
    bias: Weight | None = None,
) -> Routing:
    """The `top_k` experts of every token and the weights of their outputs, all in float32.

    `topk_then_score` chooses by logits and scores the chosen ones alone (softmax over K); `score_then_topk` scores all
    experts and chooses by score. `renormalize` makes the weights of a token sum to 1 (they do already after a softmax
    over the chosen), `scale` multiplies them. `bias` [E] is added to what the choice compares and to nothing else, and
    gets no gradient (Wang et al. 2024, arXiv 2408.15664, equation 3). A padding token is routed nowhere.
    Shapes: x [B, S, D], w_router [D, E], bias [E].
    """
    real_BS = batch.segments_BS > 0
    logits_BSE = logits_of(jnp.where(real_BS[..., None], x_BSD, 0), used(w_router, jnp.float32))
    every_BSE = jax.nn.softmax(logits_BSE) if score == "softmax" else jax.nn.sigmoid(logits_BSE)
    compared_BSE = logits_BSE if order == "topk_then_score" else every_BSE
    if bias is not None:
        compared_BSE = compared_BSE + used(bias, jnp.float32)
    experts_BSK = _best(jax.lax.stop_gradient(compared_BSE), top_k)
    chosen_BSKE = jax.nn.one_hot(experts_BSK, logits_BSE.shape[-1], dtype=jnp.float32)
    if score == "softmax" and order == "topk_then_score":
        weights_BSK = jax.nn.softmax(jnp.sum(chosen_BSKE * logits_BSE[..., None, :], axis=-1))
    else:
        weights_BSK = jnp.sum(chosen_BSKE * every_BSE[..., None, :], axis=-1)
        if renormalize:
            weights_BSK = weights_BSK / (jnp.sum(weights_BSK, axis=-1, keepdims=True) + TINY)
    return Routing(
        experts_BSK=jnp.where(real_BS[..., None], experts_BSK, logits_BSE.shape[-1]).astype(jnp.int32),
        weights_BSK=scale * jnp.where(real_BS[..., None], weights_BSK, 0.0),
        logits_BSE=logits_BSE,
        scores_BSE=every_BSE / jnp.sum(every_BSE, axis=-1, keepdims=True),
        real_BS=real_BS,
        dropless=batch.dropless,
    )


def _best(compared_BSE: jax.Array, top_k: int) -> jax.Array:
    """The experts that compare best, best first [B, S, K]. On a mesh each device looks at its own tokens: XLA for CPUs
    has no sharded top-k and would gather all tokens on every device."""

    def best(compared: jax.Array) -> jax.Array:
        return jax.lax.top_k(compared, top_k)[1]

    if not is_sharded():
        return best(compared_BSE)
    tokens = PartitionSpec(BATCH_AXES, "seq", None)
    return jax.shard_map(best, in_specs=tokens, out_specs=tokens, check_vma=False)(compared_BSE)


def report_routing(routing: Routing, dropped: jax.Array) -> RouterReport:
    """What the router did over the global batch; `dropped` is the fraction that `apply_experts` gives.

    The balance loss is E * sum_e f_e P_e: f the fractions of all choices, P the mean scores over all experts (sigmoid
    scores divided by their sum), each a mean over the global batch before the product. Source: Fedus et al. 2021,
    arXiv 2101.03961, equations 4 to 6. The z-loss is the mean of logsumexp(logits)^2: Zoph et al. 2022, arXiv
    2202.08906, equation 5.
    """
    n_experts = routing.logits_BSE.shape[-1]
    real_BS = routing.real_BS.astype(jnp.float32)
    n_tokens = jnp.maximum(jnp.sum(real_BS), 1.0)
    n_choices = n_tokens * routing.experts_BSK.shape[-1]
    load_E = jnp.sum(jax.nn.one_hot(routing.experts_BSK, n_experts, dtype=jnp.float32), axis=(0, 1, 2)) / n_choices
    mean_score_E = jnp.sum(routing.scores_BSE * real_BS[..., None], axis=(0, 1)) / n_tokens
    squares_BS = jax.nn.logsumexp(routing.logits_BSE, axis=-1) ** 2
    return RouterReport(
        balance_loss=n_experts * jnp.sum(load_E * mean_score_E),
        z_loss=jnp.sum(squares_BS * real_BS) / n_tokens,
        load=load_E,
        dropped=dropped,
    )
