"""ExpertsSpec, RoutingPlan, tensors -> class Experts: router, dispatch, the experts' matmuls."""

from __future__ import annotations

from moec.compiler.emit.feed_forward import ACTIVATION_IN_WORDS
from moec.compiler.emit.holes import Code, code, comment, docstring, identifier, literal
from moec.compiler.emit.layout import call, exploded, given, keyword
from moec.compiler.emit.weights import BODY_INDENT, has_weight, weights
from moec.compiler.formula_text import mentioned
from moec.compiler.places import Places
from moec.compiler.plan import Plan, RoutingPlan
from moec.compiler.typed import ExpertsSpec
from moec.compiler.units import exact


def experts_class(plan: Plan, places: Places) -> Code:
    """The routed experts of a MoE block."""
    spec, routing = plan.run.model.experts, plan.routing
    assert spec is not None
    assert routing is not None
    return code(
        """
class Experts(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {weights}

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        {route}
        {capacity}
        {apply}
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)
""",
        doc=docstring(places.cited(_describe(spec), "model.experts")),
        weights=weights(plan, "Experts"),
        route=_route(plan, spec),
        capacity=comment(_capacity(plan, routing) + places.mention("model.experts.capacity_factor"), BODY_INDENT),
        apply=_apply(plan, spec, routing),
    )


def _describe(spec: ExpertsSpec) -> str:
    experts = f"{spec.n_experts:,} {ACTIVATION_IN_WORDS[spec.activation]} experts of width {spec.d_ff:,}"
    return f"{experts}; each token goes to {spec.top_k} of them, weighted by {_weighting(spec)}."


def _weighting(spec: ExpertsSpec) -> str:
    of_chosen = spec.order == "topk_then_score"
    score = f"the {spec.score} of {f'their {spec.top_k}' if of_chosen else f'all {spec.n_experts:,}'} logits"
    sums_to_one = spec.score == "softmax" and of_chosen
    renormalized = ", made to sum to 1" if spec.renormalize and not sums_to_one else ""
    return score + renormalized + (f", times {exact(spec.scale)}" if spec.scale != 1 else "")


def _route(plan: Plan, spec: ExpertsSpec) -> Code:
    arguments = [
        code("x_BSD"),
        code("self.w_router"),
        code("batch"),
        given("top_k", spec.top_k),
        given("score", spec.score),
        given("order", spec.order),
        given("renormalize", spec.renormalize),
    ]
    if spec.scale != 1:
        arguments.append(given("scale", spec.scale))
    if has_weight(plan, "Experts", "router_bias"):
        arguments.append(keyword("bias", code("self.router_bias")))
    return call(code("routing = route"), *arguments, indent=BODY_INDENT)


def _capacity(plan: Plan, routing: RoutingPlan) -> str:
    if routing.slots_per_token is None:
        return f"Dropless: an expert takes every token that chose it, in groups of {routing.group_size:,}"
    return f"{mentioned(plan, 'capacity')}, {exact(routing.slots_per_token)} per token"


def _apply(plan: Plan, spec: ExpertsSpec, routing: RoutingPlan) -> Code:
    biases = [name for name in ("b_gate", "b_up", "b_down") if has_weight(plan, "Experts", name)]
    gate = _own("w_gate") if has_weight(plan, "Experts", "w_gate") else literal(None)
    return exploded(
        code("y_BSD, dropped = apply_experts"),
        code("x_BSD"),
        code("routing"),
        keyword("w_gate", gate),
        *(keyword(name, _own(name)) for name in ("w_up", "w_down", *biases)),
        given("activation", spec.activation),
        given("group_size", routing.group_size),
        keyword("capacity", literal(routing.capacity)),
        given("dispatch", routing.dispatch),
        given("grouped_matmul", routing.grouped_matmul),
    )


def _own(name: str) -> Code:
    return code("self.{name}", name=identifier(name))
