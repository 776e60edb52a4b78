"""A law whose coefficients the paper does not print: it works with those of the user."""

from __future__ import annotations

from math import log
from typing import Final

from moec.compiler.laws.expansion import saturated_experts
from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.surface import Surface, Term
from moec.compiler.typed import YunCoefficients


def surface_for(fit: YunCoefficients, n_experts: int) -> Surface:
    """The law for one number of experts. The interaction `d ln N ln E_hat` is a power of N before everything else."""
    experts = saturated_experts(n_experts, fit.e_start, fit.e_max)
    floor = fit.b / experts**fit.beta + fit.f
    return Surface((Term(fit.a, fit.alpha),), fit.c, fit.gamma, floor, tilt=fit.d * log(experts))


def surface(routed: Routed) -> Surface | str:
    """The law with the user's coefficients."""
    if routed.coefficients is None:
        return "the paper prints none of its coefficients: write your own in `coefficients { … }`"
    return surface_for(routed.coefficients, routed.n_experts)


LAW: Final = Law(
    name="yun",
    title="Inference-optimal mixtures",
    form="ln L = ln(a / N**alpha + b / E_hat**beta + c / D**gamma + f) + d * ln N * ln E_hat",
    coefficients={},
    counts=("dense_equivalent",),
    n_means="parameters of the corresponding dense model, one expert in each routed layer's place",
    log_base="e",
    flop_rule="6 N D",
    fitted=Fitted(
        n_params=(100e6, 730e6),
        routing="top-2, every second layer",
        n_tokens=(2.5e9, 20e9),
        n_experts=(1, 32),
        top_k=2,
        every=2,
    ),
    provenance="primary",
    reading="the form, the ranges and the error (RMSLE 3.908e-3) as printed; the coefficients are not printed",
    source="Yun et al., arXiv 2404.02852",
    surface=surface,
    notes=("No coefficients were ever published; `budget.coefficients` takes yours.",),
)
