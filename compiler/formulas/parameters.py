"""How many weights a kind of tensor stands for."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from moec.compiler.plan import TensorPlan


def count_weights(tensor: TensorPlan) -> int:
    """All weights of this kind in the model: one tensor per layer that has it.

    Source: arithmetic; held against published totals in tests/compiler/test_parameters.py.
    """
    return prod(tensor.shape) * tensor.copies


def count_active_weights(tensor: TensorPlan) -> Fraction:
    """The weights of this kind that one token passes through: `top_k` of `n_experts` experts, on average
    `capacity` of a layer that depth routing has, everything else whole."""
    return count_weights(tensor) * tensor.active
