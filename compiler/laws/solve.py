"""A law and a number of FLOPs -> the size and the tokens that lose least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from typing import Final

from moec.compiler.laws.surface import Surface

LEAST_PARAMS: Final = 1e3
MOST_PARAMS: Final = 1e18
HALVINGS: Final = 200
"""Enough to leave nothing of the interval that a double could tell apart."""


def six_n(n_params: float) -> float:
    """Training FLOPs per token. Source: Kaplan et al., arXiv 2001.08361, section 2.1."""
    return 6 * n_params


def unit_elasticity(_: float) -> float:
    """Of FLOPs that are proportional to N."""
    return 1.0


def compute_optimal(
    surface: Surface,
    train_flops: float,
    flops_per_token: Callable[[float], float] = six_n,
    elasticity: Callable[[float], float] = unit_elasticity,
) -> tuple[float, float] | None:
    """(N, D) with `flops_per_token(N) * D = train_flops` and the least loss; None where no N from 1e3 to 1e18 has it.

    Halves an interval of ln N by the sign of dL/dln N at fixed FLOPs, which `Surface.optimal_tokens` has the root of.
    """

    def too_large(n_params: float) -> bool:
        wanted = replace(surface, elasticity=elasticity(n_params)).optimal_tokens(n_params)
        return wanted is None or wanted * flops_per_token(n_params) > train_flops

    low, high = log(LEAST_PARAMS), log(MOST_PARAMS)
    if too_large(exp(low)) or not too_large(exp(high)):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if too_large(exp(middle)) else (middle, high)
    n_params = exp(low)
    return n_params, train_flops / flops_per_token(n_params)
