"""Loss by all parameters, tokens and the share of experts that a token leaves out."""

from __future__ import annotations

from math import inf, sqrt
from typing import Final

from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.surface import Surface, Term

A, ALPHA, B, BETA = 16612.50, 0.5962, 5455.67, 0.3954
C, LAMBDA, D, DELTA, GAMMA, FLOOR = 0.4598, -0.1666, 17.26, 0.1603, 0.1595, 0.94
"""Source: Abnar et al., arXiv 2501.12370; two secondary readings that agree."""


def surface_for(sparsity: float) -> Surface:
    """The law at one share of left-out experts."""
    kept = 1 - sparsity
    terms = (Term(A, ALPHA), Term(D / kept**DELTA, GAMMA))
    return Surface(terms, B, BETA, C / kept**LAMBDA + FLOOR)


def surface(routed: Routed) -> Surface | str:
    """The law at this model's sparsity, where the budget bounds it."""
    if routed.max_sparsity is None:
        return "without a bound it would always take the sparsest model: write `max_sparsity`"
    if routed.left_out > routed.max_sparsity:
        left_out, bound = routed.left_out, routed.max_sparsity
        return f"a token leaves out {left_out:.3g} of the experts, and `max_sparsity` allows {bound:.3g}"
    return surface_for(routed.left_out)


LAW: Final = Law(
    name="abnar",
    title="Parameters against FLOPs at a given sparsity",
    form=(
        "L = a / N**alpha + b / D**beta + c / (1 - S)**lambda + d / ((1 - S)**delta * N**gamma) + floor, "
        "S = (E - K) / E"
    ),
    coefficients={
        "a": A,
        "alpha": ALPHA,
        "b": B,
        "beta": BETA,
        "c": C,
        "lambda": LAMBDA,
        "d": D,
        "delta": DELTA,
        "gamma": GAMMA,
        "floor": FLOOR,
    },
    counts=("total",),
    n_means="all parameters",
    log_base="none",
    flop_rule="6 (1 - S) N D",
    fitted=Fitted(
        n_params=(0.0, inf),
        routing="mixtures whose tokens leave out up to 0.98 of the experts",
        left_out=(0.0, 0.98),
    ),
    provenance="secondary",
    reading="two readings that agree",
    source="Abnar et al., arXiv 2501.12370",
    surface=surface,
    rmse=sqrt(0.00056),
    notes=(
        "At equal FLOPs the optimum always lies at the largest S that is allowed, so `max_sparsity` must be written.",
    ),
)
