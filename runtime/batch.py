"""What flows through an emitted program: a batch of tokens, the routers' reports, the objective and its named terms."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and what the model must know about them.

    Shapes: all [B, S]. `targets_BS` is the next token; `positions_BS` counts from 0 in each document; `segments_BS`
    numbers the documents of a row from 1, 0 is padding: tokens of different segments never see each other. `weights_BS`
    (float32) weighs each target in the loss: 0 for padding; they sum to 1 over the micro-batches of a step, averaged,
    so that the mean of the micro-batches' losses is the mean over all the tokens of the step. `dropless` lets experts
    take every token whatever their capacity, as generation does; `causal` lets depth routers decide on each token
    without those behind it, as generation and evaluation must.
    """

    tokens_BS: jax.Array
    targets_BS: jax.Array
    positions_BS: jax.Array
    segments_BS: jax.Array
    weights_BS: jax.Array
    dropless: bool = field(default=False, metadata={"static": True})
    causal: bool = field(default=False, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class RouterReport:
    """What the router of one MoE layer did over the global batch; the model stacks the layers in front.

    Shapes: `balance_loss` [] (1 at perfect balance), `z_loss` [], `load` [E] (fractions of all choices, sums to 1,
    before drops), `dropped` [] (fraction of choices that found no slot). Padding tokens do not count. All float32.
    """

    balance_loss: jax.Array
    z_loss: jax.Array
    load: jax.Array
    dropped: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class DepthReport:
    """What the router of one routed layer did over the global batch; the model stacks the layers in front.

    Shapes: `aux_loss` [] (nats), `taken_in_decoding` [] (fraction of tokens whose own score is above 0). Padding tokens
    do not count. Both float32.
    """

    aux_loss: jax.Array
    taken_in_decoding: jax.Array


Report = RouterReport | DepthReport
"""No model has both."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Objective:
    """The scalar that is minimised and the terms, already weighted, that it is the sum of.

    `routers` has the layers' reports stacked in front ([L_moe, …]), None in a model without routers.
    """

    loss: jax.Array
    terms: dict[str, jax.Array]
    routers: Report | None


def objective_of(terms: dict[str, jax.Array], routers: Report | None) -> Objective:
    """The objective whose loss is the sum of `terms`."""
    return Objective(loss=sum(terms.values(), start=jax.numpy.float32(0.0)), terms=terms, routers=routers)
