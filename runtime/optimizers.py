"""What emitted optimizers need to know about the weights of a model, and the update of router biases."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx
from jax import numpy as jnp
from optax import contrib

from moec.runtime.batch import RouterReport
from moec.runtime.initializer import RouterBias

MATRIX_DIMS = {
    "w_q": ((-3,), (-2, -1)),
    "w_k": ((-3,), (-2, -1)),
    "w_v": ((-3,), (-2, -1)),
    "w_o": ((-3, -2), (-1,)),
    "w_gate": ((-2,), (-1,)),
    "w_up": ((-2,), (-1,)),
    "w_down": ((-2,), (-1,)),
}
"""Input and output dims, counted from the last, of the weights that muon orthogonalises: matrices inside the layers.
Embedding, head, router, norms and biases are left to its AdamW (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon)."""


def decay_mask(params: nnx.State) -> nnx.State:
    """For every weight whether weight decay applies to it, as it was made: matrices yes, norms and biases no."""
    return _per_weight(params, lambda _, weight: bool(weight.get_metadata("decay")))


def matrix_dims(params: nnx.State) -> nnx.State:
    """For every weight the dims that muon treats as one matrix, None where AdamW trains it.

    Give it to `optax.contrib.muon(muon_weight_dimension_numbers=…)`; leading dims (experts, stacked layers) are a batch
    of matrices.
    """
    return _per_weight(params, lambda name, _: _dimension_numbers(name))


def nudge_router_biases(model: nnx.Module, routers: RouterReport, *, rate: float) -> None:
    """Adds `rate` to the bias of every expert that got less than the mean load, subtracts it where it got more.

    Shapes: `routers.load` [L_moe, E], in the order of the layers. Source: Wang et al. 2024, arXiv 2408.15664, algorithm
    1.
    """
    load_LE = routers.load
    step_LE = rate * jnp.sign(jnp.mean(load_LE, axis=-1, keepdims=True) - load_LE)
    found = [(path, node) for path, node in nnx.iter_graph(model) if isinstance(node, RouterBias)]
    biases = [bias for _, bias in sorted(found, key=lambda entry: entry[0])]
    alone = [bias for bias in biases if bias.ndim == 1]
    stacked = [bias for bias in biases if bias.ndim == 2]
    for layer, bias in enumerate(alone):
        bias[...] = bias[...] + step_LE[layer]
    for place, bias in enumerate(stacked):
        bias[...] = bias[...] + step_LE[len(alone) + place :: len(stacked)]


def _per_weight(params: nnx.State, fact: Callable[[str, nnx.Variable[jax.Array]], object]) -> nnx.State:
    return nnx.from_flat_state([(path, fact(str(path[-1]), weight)) for path, weight in nnx.to_flat_state(params)])


def _dimension_numbers(name: str) -> contrib.MuonDimensionNumbers | None:
    return contrib.MuonDimensionNumbers(*MATRIX_DIMS[name]) if name in MATRIX_DIMS else None
