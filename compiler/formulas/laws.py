"""Scaling laws that say how many tokens a model of a given size should see.

Each entry says what its N means, where it was fitted and where its numbers were read. A law without these is not
listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ParametricFit:
    """L(N, D) = E + a / N^alpha + b / D^beta; E does not move the optimum and is left out."""

    a: float
    b: float
    alpha: float
    beta: float


@dataclass(frozen=True, slots=True)
class Law:
    """`fit` None: tokens are a fixed number per parameter. `fitted_params` is the range of N of the fitted runs."""

    name: str
    formula: str
    fit: ParametricFit | None
    fitted_params: tuple[float, float]
    source: str


CHINCHILLA_TOKENS_PER_PARAM: Final = 20.0
"""Source: Hoffmann et al., arXiv 2203.15556, abstract and table 3 (Chinchilla: 70B parameters, 1.4T tokens)."""

FITTED_PARAMS: Final = (44e6, 16e9)
"""Dense models of 44M to 16B parameters. Source: Hoffmann et al., arXiv 2203.15556, section 3 and figure A5."""

LAWS: Final[Mapping[str, Law]] = {
    "chinchilla": Law(
        "chinchilla",
        "tokens_per_param * n_params",
        None,
        FITTED_PARAMS,
        "Hoffmann et al., arXiv 2203.15556, approaches 1 and 2: tokens grow in proportion to dense parameters",
    ),
    "hoffmann": Law(
        "hoffmann",
        "(beta * b * n_params**alpha / (alpha * a))**(1 / beta)",
        ParametricFit(a=406.4, b=410.7, alpha=0.34, beta=0.28),
        FITTED_PARAMS,
        "Hoffmann et al., arXiv 2203.15556, approach 3, rounded coefficients of the text (secondary reading); "
        "known to disagree with approaches 1 and 2",
    ),
    "besiroglu": Law(
        "besiroglu",
        "(beta * b * n_params**alpha / (alpha * a))**(1 / beta)",
        ParametricFit(a=482.01, b=2085.43, alpha=0.3478, beta=0.3658),
        FITTED_PARAMS,
        "Besiroglu et al., arXiv 2404.10102, refit of approach 3 (secondary reading; standard errors: a 124.58, "
        "b 1293.23)",
    ),
}


def fitted_tokens(fit: ParametricFit, n_params: float) -> float:
    """The D at which a model of N parameters is compute-optimal: where alpha * a / N^alpha = beta * b / D^beta.

    Source: minimum of L(N, D) at fixed N * D; Hoffmann et al., arXiv 2203.15556, equation 4.
    """
    gain = fit.beta * fit.b * n_params**fit.alpha / (fit.alpha * fit.a)
    return float(gain ** (1 / fit.beta))


def law_tokens(law: Law, n_params: float, tokens_per_param: float) -> float:
    """Tokens that `law` gives a model of `n_params`; `tokens_per_param` counts for laws without a fit only."""
    return tokens_per_param * n_params if law.fit is None else fitted_tokens(law.fit, n_params)
