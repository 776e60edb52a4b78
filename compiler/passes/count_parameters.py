"""TensorPlan of every weight -> ParameterCounts: exact totals. Weights that are not trained do not count."""

from __future__ import annotations

from collections.abc import Iterable

from moec.compiler.formulas.parameters import count_active_weights, count_weights
from moec.compiler.plan import ParameterCounts, TensorPlan


def count_parameters(tensors: Iterable[TensorPlan]) -> ParameterCounts:
    """Total, active and embedding parameters, and the total by role in the order of first appearance."""
    trained = tuple(tensor for tensor in tensors if tensor.trainable)
    by_role: dict[str, int] = {}
    for tensor in trained:
        by_role[tensor.role] = by_role.get(tensor.role, 0) + count_weights(tensor)
    active = sum(count_active_weights(tensor) for tensor in trained)
    assert active.denominator == 1, "top_k of n_experts equal experts is a whole number of weights"
    embedding = by_role["embedding"] + by_role.get("head", 0)
    return ParameterCounts(sum(by_role.values()), int(active), embedding, by_role)
