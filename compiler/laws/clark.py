"""What routing gains at a fixed number of tokens: equivalent sizes, never an allocation of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log10
from typing import Final

from moec.compiler.laws.expansion import saturated_experts
from moec.compiler.laws.law import Fitted, Law, Routed


@dataclass(frozen=True, slots=True)
class RoutingFit:
    """`log10 L = a log10 N + b log10 E_hat + c log10 N log10 E_hat + d`; beyond `cutoff` parameters routing gains
    nothing."""

    a: float
    b: float
    c: float
    d: float
    start: float
    end: float
    cutoff: float

    def slope(self, experts: float) -> float:
        """How log10 L falls with log10 N at this many (saturated) experts."""
        return self.a + self.c * log10(experts)


REFIT: Final[Mapping[str, RoutingFit]] = {
    "s_base": RoutingFit(-0.0830, -0.1180, 0.0099, 1.1136, 2.075, 238.7, 780e9),
    "rl_r": RoutingFit(-0.0827, -0.1234, 0.0112, 1.1070, 1.722, 470.1, 97e9),
    "hash": RoutingFit(-0.0874, -0.1384, 0.0126, 1.1595, 4.269, 427.3, 89e9),
}
"""Refit of the released runs that chose one expert in every second layer (seed 42, last step; 56 to 59 runs per router,
dense ones included), rmse of log10 L about 0.003.

Source: google-deepmind/scaling_laws_for_routing, data/curves.csv.gz, CC-BY."""

PUBLISHED: Final[Mapping[str, RoutingFit]] = {
    "s_base": RoutingFit(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478, 937e9),
    "rl_r": RoutingFit(-0.083, -0.126, 0.012, 1.111, 1.880, 469.982, 85e9),
    "hash": RoutingFit(-0.087, -0.136, 0.012, 1.157, 4.175, 477.741, 83e9),
}
"""The paper's rounded coefficients, which err by 0.7 to 1.5 % on those runs.

Source: Clark et al., arXiv 2202.01169, table of fits."""


def log10_loss(fit: RoutingFit, n_params: float, n_experts: float) -> float:
    """log10 of the validation loss after 130B tokens of a base model of N parameters with E experts."""
    experts = log10(saturated_experts(n_experts, fit.start, fit.end))
    size = log10(n_params)
    return fit.a * size + fit.b * experts + fit.c * size * experts + fit.d


def effective_parameters(fit: RoutingFit, n_params: float, n_experts: float) -> float:
    """The parameters of the dense model that is as good as N with E experts.

    Source: Clark et al., arXiv 2202.01169, section 5 (effective parameter count).
    """
    experts = saturated_experts(n_experts, fit.start, fit.end)
    dense = fit.slope(fit.start)
    return float(n_params ** (fit.slope(experts) / dense) * (experts / fit.start) ** (fit.b / dense))


def surface(_: Routed) -> str:
    """Never one."""
    return "all its runs saw 130B tokens, so it has no D: it tells what routing gains, not how long to train"


LAW: Final = Law(
    name="clark",
    title="Unified scaling laws for routed models, refit",
    form="log10 L = a log10 N + b log10 E_hat + c log10 N * log10 E_hat + d, at D = 130B",
    coefficients=asdict(REFIT["s_base"]),
    counts=("dense_equivalent",),
    n_means="parameters of the dense base model, one expert in each routed layer's place",
    log_base="10",
    flop_rule="none: D is fixed",
    fitted=Fitted(
        n_params=(5e6, 1.3e9),
        routing="top-1, every second layer; S-BASE, reinforcement-learned and hash routers",
        n_tokens=(130e9, 130e9),
        n_experts=(1, 512),
        top_k=1,
        every=2,
    ),
    provenance="primary",
    reading=("our refit of the released runs for S-BASE (rmse of log10 L about 0.003); the range of N is from memory"),
    source="Clark et al., arXiv 2202.01169; data of google-deepmind/scaling_laws_for_routing",
    surface=surface,
    notes=(
        "Cannot set tokens. It gives effective parameters: N**(a(E_hat) / a(E_start)) * (E_hat / E_start)**(b / "
        "a(E_start)), a(x) = a + c log10 x.",
    ),
)
