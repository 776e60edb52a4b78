"""TensorPlan of every weight -> ParameterCounts: exact totals. Weights that are not trained do not count.

Rounding: active parameters to whole weights, where depth routing leaves a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from moec.compiler.formulas.parameters import count_active_weights, count_weights
from moec.compiler.plan import ParameterCounts, TensorPlan


def count_parameters(tensors: Iterable[TensorPlan]) -> ParameterCounts:
    """Total, active and embedding parameters, and the total by role in the order of first appearance."""
    trained = tuple(tensor for tensor in tensors if tensor.trainable)
    by_role: dict[str, int] = {}
    for tensor in trained:
        by_role[tensor.role] = by_role.get(tensor.role, 0) + count_weights(tensor)
    active = sum((count_active_weights(tensor) for tensor in trained), Fraction())
    embedding = by_role["embedding"] + by_role.get("head", 0)
    return ParameterCounts(sum(by_role.values()), round(active), embedding, by_role)
