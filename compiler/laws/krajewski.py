"""Loss of fine-grained mixtures by all parameters, tokens and granularity, with the router's FLOPs."""

from __future__ import annotations

from math import isclose
from typing import Final

from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.surface import Surface, Term

A, ALPHA, B, BETA = 18.1, 0.115, 30.8, 0.147
G_SCALE, G_POWER, FLOOR = 2.1, 0.58, 0.47
DENSE: Final = Surface((Term(16.3, 0.126),), 26.7, 0.127, 0.47)
EXPANSION: Final = 64
FLOPS_PER_WEIGHT, FLOPS_PER_ROUTE = 6, 14
WIDTH_PER_BLOCK: Final = 64
"""Source: Krajewski et al., arXiv 2402.07871 (c_f, c_r, E = 64, d = 64 * n_blocks); secondary readings that agree."""


def surface_for(granularity: float, n_params: float) -> Surface:
    """The law for one granularity, near models of `n_params` parameters."""
    factor = G_SCALE / granularity**G_POWER + A
    return Surface((Term(factor, ALPHA),), B, BETA, FLOOR, elasticity=elasticity(n_params, granularity))


def n_blocks_of(n_params: float) -> float:
    """The depth of the paper's models with N parameters: per block 4 d^2 of attention and 8 E d^2 of experts, d = 64
    blocks."""
    return float((n_params / ((4 + 8 * EXPANSION) * WIDTH_PER_BLOCK**2)) ** (1 / 3))


def flops_per_token(n_params: float, granularity: float) -> float:
    """`(12 d^2 c_f + d E G c_r) * n_blocks`: the second part is the router, which keeps G from growing."""
    blocks = n_blocks_of(n_params)
    d_model = WIDTH_PER_BLOCK * blocks
    weights = 12 * d_model**2 * FLOPS_PER_WEIGHT
    return (weights + d_model * EXPANSION * granularity * FLOPS_PER_ROUTE) * blocks


def elasticity(n_params: float, granularity: float) -> float:
    """How FLOPs per token grow with N: weights as N, the router as N**(2/3)."""
    blocks = n_blocks_of(n_params)
    weights = 12 * (WIDTH_PER_BLOCK * blocks) ** 2 * FLOPS_PER_WEIGHT * blocks
    routes = WIDTH_PER_BLOCK * blocks * EXPANSION * granularity * FLOPS_PER_ROUTE * blocks
    return (weights + 2 / 3 * routes) / (weights + routes)


def surface(routed: Routed) -> Surface | str:
    """The dense fit for a dense model; else the law at this granularity, for experts worth 64 dense layers."""
    if routed.is_dense:
        return DENSE
    expansion = routed.n_experts / routed.granularity
    if not isclose(expansion, EXPANSION, rel_tol=0.05):
        return (
            f"it has no number of experts: it was fitted with {EXPANSION} times the weights of a dense layer, and "
            f"{routed.n_experts} experts of granularity {routed.granularity:.3g} have {expansion:.3g} times"
        )
    return surface_for(routed.granularity, routed.n_params)


LAW: Final = Law(
    name="krajewski",
    title="Fine-grained mixtures",
    form="L = floor + (g / G**gamma + a) / N**alpha + b / D**beta",
    coefficients={"a": A, "alpha": ALPHA, "b": B, "beta": BETA, "g": G_SCALE, "gamma": G_POWER, "floor": FLOOR},
    counts=("total_non_embedding",),
    n_means="all parameters but the embeddings, all experts included",
    log_base="none",
    flop_rule="(12 d**2 * 6 + d * 64 G * 14) * n_blocks * D: weights, and the router",
    fitted=Fitted(
        n_params=(129e6, 3.7e9),
        routing="expert choice in groups of 256, 64 times the weights of a dense layer, granularity up to 16",
        n_tokens=(16e9, 130e9),
        granularity=(1, 16),
    ),
    provenance="secondary",
    reading="rounded coefficients, in three readings that agree",
    source="Krajewski et al., arXiv 2402.07871",
    surface=surface,
    notes=(
        "G is 4 * d_model over the width of one expert.",
        "Its experts chose their tokens; here tokens choose their experts.",
        "For dense models: a 16.3, alpha 0.126, b 26.7, beta 0.127.",
    ),
)
