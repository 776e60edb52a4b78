"""RunSpec, counts -> LawAnswer: what the budget's law makes of this model.

A law that does not define what it is asked is refused; one that was not fitted on such a model is doubted. Non-goals:
the size of the model (compiler/planner/scale.py), whole steps (set_budget).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from moec.compiler.formulas.parameters import count_weights
from moec.compiler.laws.chinchilla import TOKENS_PER_PARAM
from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.registry import LAWS
from moec.compiler.laws.surface import Surface
from moec.compiler.passes.places import place
from moec.compiler.plan import ParameterCounts, TensorPlan
from moec.compiler.typed import BudgetSpec, Counted, RunSpec
from moec.compiler.units import count
from moec.spec.codes import budget as codes
from moec.spec.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class LawAnswer:
    """`surface` None: the law is a ratio. `tokens` are not yet whole steps."""

    law: Law
    routed: Routed
    surface: Surface | None
    tokens: float


def ask_law(
    run: RunSpec, tensors: tuple[TensorPlan, ...], parameters: ParameterCounts
) -> tuple[LawAnswer | None, tuple[Diagnostic, ...]]:
    """The tokens that the law gives; None without a law or with errors. Errors: MOE6101, MOE6104, MOE6108."""
    budget = run.budget
    if budget.law is None:
        return None, ()
    law, at = LAWS[budget.law], place(run, "budget.law")
    if budget.train_flops is not None:
        told = codes.law_beside_flops(at, place(run, "budget.train_flops"), place(run, "model.scale"))
        return None, (told,)
    routed = routed_of(run, tensors, parameters)
    if law.surface is None:
        return LawAnswer(law, routed, None, tokens_per_param(budget) * routed.n_params), ()
    if budget.tokens_per_param is not None:
        return None, (codes.law_fixes_the_ratio(place(run, "budget.tokens_per_param"), law.name, at),)
    surface = law.surface(routed)
    if isinstance(surface, str):
        return None, (codes.law_says_nothing(at, law.name, surface, WHAT_ELSE),)
    tokens = surface.optimal_tokens(routed.n_params)
    if tokens is None:
        why = f"at {routed.n_params:,} parameters no number of tokens makes this size the best one"
        return None, (codes.law_says_nothing(at, law.name, why, WHAT_ELSE),)
    return LawAnswer(law, routed, surface, tokens), ()


WHAT_ELSE = ("write `tokens`, or take a law that covers the model: `moec explain law` says what each does",)


def routed_of(run: RunSpec, tensors: tuple[TensorPlan, ...], parameters: ParameterCounts) -> Routed:
    """The model as laws see it."""
    experts, budget = run.model.experts, run.budget
    return Routed(
        n_params=counted_params(budget, tensors, parameters),
        n_experts=experts.n_experts if experts else 1,
        top_k=experts.top_k if experts else 1,
        every=experts.every if experts else 1,
        granularity=4 * run.model.d_model / experts.d_ff if experts else 1.0,
        sparsity=budget.sparsity or 0.0,
        max_sparsity=budget.max_sparsity,
        coefficients=budget.coefficients,
    )


def counted(budget: BudgetSpec) -> Counted:
    """What the budget means by the number of parameters: what it writes, else what its law was fitted with first."""
    if budget.count is not None and budget.count != "step_time":
        return budget.count
    return LAWS[budget.law].counts[0] if budget.law is not None else "active"


def counted_params(budget: BudgetSpec, tensors: tuple[TensorPlan, ...], parameters: ParameterCounts) -> int:
    """The N of the law. `dense_equivalent` has one expert in each expert layer's place.

    Rounding: `nonzero` to whole weights. Source: Clark et al., arXiv 2202.01169 (the base model of a routed one).
    """
    match counted(budget):
        case "active":
            return parameters.active
        case "total":
            return parameters.total
        case "total_non_embedding":
            return parameters.total - parameters.embedding
        case "nonzero":
            return round((1 - (budget.sparsity or 0.0)) * parameters.total)
        case "dense_equivalent":
            return dense_equivalent(tensors)


def dense_equivalent(tensors: tuple[TensorPlan, ...]) -> int:
    """The parameters with one expert in each routed layer's place, and no router."""
    routed = ("experts", "router", "shared_experts")
    dense = sum(count_weights(tensor) for tensor in tensors if tensor.role not in routed)
    return dense + sum(count_weights(tensor) // tensor.shape[0] for tensor in tensors if tensor.role == "experts")


def tokens_per_param(budget: BudgetSpec) -> float:
    """The ratio that the budget asks for, Chinchilla's where it writes none."""
    return TOKENS_PER_PARAM if budget.tokens_per_param is None else budget.tokens_per_param


def check_fitted(run: RunSpec, answer: LawAnswer, n_tokens: int) -> tuple[Diagnostic, ...]:
    """Doubts where the law was fitted on other models. Warnings: MOE6201, MOE6203."""
    at, law = place(run, "budget.law"), answer.law
    told = []
    if run.model.depth_routing is not None:
        routing_at = place(run, "model.depth_routing.capacity")
        told.append(codes.law_without_depth_routing(at, law.name, counted(run.budget), routing_at))
    outside = tuple(outside_fit(law.fitted, answer.routed, n_tokens))
    if outside:
        told.append(codes.outside_fitted_range(at, law.name, law.fitted.routing, outside))
    return tuple(told)


def outside_fit(fitted: Fitted, routed: Routed, n_tokens: int) -> Iterator[str]:
    """Each thing in which the model lies outside, with what was fitted."""
    for what, value, (low, high) in (
        ("parameters are counted", routed.n_params, fitted.n_params),
        ("experts", routed.n_experts, fitted.n_experts),
        ("tokens", n_tokens, fitted.n_tokens),
    ):
        if not low <= value <= high:
            yield f"{value:,} {what}; fitted {_range(low, high)}"
    if routed.is_dense:
        return
    for what, share, (low, high) in (
        ("granularity", routed.granularity, fitted.granularity),
        ("share of experts left out", routed.left_out, fitted.left_out),
    ):
        if not low <= share <= high:
            yield f"{what} {share:.3g}; fitted up to {high:g}"
    if fitted.top_k is not None and routed.top_k != fitted.top_k:
        yield f"top_k = {routed.top_k}; fitted with {fitted.top_k}"
    if fitted.every is not None and routed.every != fitted.every:
        yield f"experts in every {routed.every}. layer; fitted with every {fitted.every}."


def _range(low: float, high: float) -> str:
    if high == inf:
        return f"from {count(low)}"
    return f"up to {count(high)}" if low <= 1 else f"from {count(low)} to {count(high)}"
