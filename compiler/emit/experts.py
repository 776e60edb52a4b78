"""ExpertsSpec, RoutingPlan, tensors -> class Experts: router, dispatch, the experts' matmuls."""

from __future__ import annotations

from moec.compiler.emit.feed_forward import ACTIVATION_IN_WORDS
from moec.compiler.emit.holes import Code, code, comment, docstring, identifier, literal
from moec.compiler.emit.layout import call, exploded, given, keyword
from moec.compiler.emit.weights import BODY_INDENT, has_weight, weights
from moec.compiler.places import Places
from moec.compiler.plan import Plan, RoutingPlan
from moec.compiler.typed import ExpertsSpec
from moec.compiler.units import exact, plural


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
        doc=docstring(_describe(spec) + places.mention("model.experts")),
        weights=weights(plan, "Experts"),
        route=_route(plan, spec),
        capacity=comment(_capacity(spec, routing) + places.mention("model.experts.capacity_factor")),
        apply=_apply(plan, spec, routing),
    )


def _describe(spec: ExpertsSpec) -> str:
    experts = f"{spec.n_experts:,} {ACTIVATION_IN_WORDS[spec.activation]} experts of width {spec.d_ff:,}"
    return f"{experts}; each token goes to {spec.top_k} of them, weighted by {_weighting(spec)}."


def _weighting(spec: ExpertsSpec) -> str:
    over = "their own logits" if spec.order == "topk_then_score" else f"the logits of all {spec.n_experts:,}"
    score = f"the {spec.score} of {over}"
    scaled = f", times {exact(spec.scale)}" if spec.scale != 1 else ""
    return score + (", made to sum to 1" if spec.renormalize else "") + scaled


def _route(plan: Plan, spec: ExpertsSpec) -> Code:
    arguments = [
        code("x_BSD, self.w_router, batch"),
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


def _capacity(spec: ExpertsSpec, routing: RoutingPlan) -> str:
    if routing.capacity is None or spec.capacity_factor is None or routing.slots_per_token is None:
        return f"Dropless: an expert takes every token that chose it, in groups of {routing.group_size:,}"
    choices = plural(spec.top_k, "choice")
    formula = f"ceil({choices} x {routing.group_size:,} tokens x {exact(spec.capacity_factor)} / {spec.n_experts:,} experts)"
    return f"capacity: {formula} slots per expert and group; {exact(routing.slots_per_token)} per token"


def _apply(plan: Plan, spec: ExpertsSpec, routing: RoutingPlan) -> Code:
    names = ("w_gate", "w_up", "w_down", "b_gate", "b_up", "b_down")
    mine = [name for name in names if has_weight(plan, "Experts", name)]
    return exploded(
        code("y_BSD, dropped = apply_experts"),
        code("x_BSD"),
        code("routing"),
        *(keyword(name, _own(name)) for name in mine),
        given("activation", spec.activation),
        given("group_size", routing.group_size),
        keyword("capacity", literal(routing.capacity)),
        given("dispatch", routing.dispatch),
        given("grouped_matmul", routing.grouped_matmul),
    )


def _own(name: str) -> Code:
    return code("self.{name}", name=identifier(name))
