"""Loss of dense and Mixture-of-Experts models by active parameters, tokens and experts."""

from __future__ import annotations

from math import log
from typing import Final

from moec.compiler.laws.expansion import saturated_experts
from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.surface import Surface, Term

A, ALPHA, DELTA, GAMMA = 35.91, -0.1889, -0.2285, 0.0098
B, BETA, OMEGA, ZETA = 35.98, -0.1775, 0.5529, -0.0259
START, END, FLOOR = 2.0732, 290.4521, 1.3637
"""Source: Ludziejewski et al., arXiv 2502.05172, table of fitted coefficients, with these signs."""


def surface_for(n_experts: int) -> Surface:
    """The law for one number of experts, whose exponents are negative in the paper and positive here."""
    experts = saturated_experts(n_experts, START, END)
    of_params = Term(A * experts**DELTA, -(ALPHA + GAMMA * log(experts)))
    return Surface((of_params,), B * experts**OMEGA, -(BETA + ZETA * log(experts)), FLOOR)


def surface(routed: Routed) -> Surface:
    """The law for this model's experts."""
    return surface_for(routed.n_experts)


LAW: Final = Law(
    name="joint_moe",
    title="The joint law of dense and Mixture-of-Experts models",
    form=(
        "L = a * E_hat**delta * N**(alpha + gamma * ln(E_hat)) + b * E_hat**omega * D**(beta + zeta * ln(E_hat)) "
        "+ floor, 1 / E_hat = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max"
    ),
    coefficients={
        "a": A,
        "alpha": ALPHA,
        "delta": DELTA,
        "gamma": GAMMA,
        "b": B,
        "beta": BETA,
        "omega": OMEGA,
        "zeta": ZETA,
        "E_start": START,
        "E_max": END,
        "floor": FLOOR,
    },
    counts=("active",),
    n_means="active parameters, embeddings included",
    log_base="e",
    flop_rule="6 N_active D",
    fitted=Fitted(n_params=(0.0, 2.7e9), routing="Switch, top-1, every layer", n_experts=(1, 32), top_k=1, every=1),
    provenance="primary",
    reading="four digits, as printed",
    source="Ludziejewski et al., arXiv 2502.05172",
    surface=surface,
    rmse=0.0039,
    notes=("Needs no E of its own: a dense model is E = 1.",),
)
