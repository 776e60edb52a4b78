"""ModelSpec -> the function `objective`, where each term has its name, and `after_step`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from moec.compiler.emit.holes import Code, code, comment, docstring, lines, literal
from moec.compiler.emit.layout import call, given
from moec.compiler.formula_text import mentioned
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.units import exact, plural

OF_ROUTERS: Final = ("balance_loss", "router_z_loss", "depth_router")
"""The terms that are means over the layers that have a router."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: its key in the metrics, what it is in words with its weight, its expression."""

    name: str
    words: str
    value: Code


def objective_function(plan: Plan, places: Places) -> Code:
    """The scalar to minimise, as the sum of its named terms."""
    terms = _terms(plan)
    has_routers = plan.run.model.experts is not None or plan.run.model.depth_routing is not None
    entries = [code("{name}: {value},", name=literal(term.name), value=term.value) for term in terms]
    return code(
        """
def objective(model: Model, batch: Batch) -> Objective:
    {doc}
    hidden_BSD, _, {routers} = model(batch)
    {prediction}
    return objective_of(
        {
            {entries}
        },
        {reported},
    )
""",
        doc=docstring(_describe(plan, terms, places)),
        routers=code("routers") if has_routers else code("_"),
        prediction=_prediction(plan),
        entries=lines(*entries),
        reported=code("routers") if has_routers else literal(None),
    )


def _terms(plan: Plan) -> list[Term]:
    model, experts = plan.run.model, plan.run.model.experts
    terms = [Term("cross_entropy", "cross-entropy", code("prediction.cross_entropy"))]
    if model.logits_z_loss:
        words = f"{exact(model.logits_z_loss)} x mean squared logsumexp of the logits"
        terms.append(Term("logits_z_loss", words, code("prediction.z_loss")))
    if experts is not None and experts.balance_loss:
        value = code("jnp.mean(routers.balance_loss)")
        terms.append(_weighted("balance_loss", "balance loss", experts.balance_loss, value))
    if experts is not None and experts.z_loss:
        value = code("jnp.mean(routers.z_loss)")
        terms.append(_weighted("router_z_loss", "router z-loss", experts.z_loss, value))
    if model.depth_routing is not None:
        value = code("jnp.mean(routers.aux_loss)")
        words = "binary cross-entropy of the depth routers"
        terms.append(_weighted("depth_router", words, model.depth_routing.aux_loss, value))
    return terms


def _weighted(name: str, words: str, weight: float, value: Code) -> Term:
    weighted = code("{weight} * {value}", weight=literal(weight), value=value)
    return Term(name, f"{exact(weight)} x {words}", weighted)


def _describe(plan: Plan, terms: list[Term], places: Places) -> str:
    total = " + ".join(term.words for term in terms)
    of_routers = [term for term in terms if term.name in OF_ROUTERS]
    sentence = f"{total[0].upper()}{total[1:]}"
    if not of_routers:
        return f"{sentence}."
    last = "the last" if len(of_routers) == 1 else f"the last {len(of_routers)}"
    verb = "is the mean" if len(of_routers) == 1 else "are means"
    layers, field = plural(len(plan.stack.numbers_of("moe")), "MoE layer"), "model.experts.balance_loss"
    if plan.run.model.depth_routing is not None:
        layers, field = plural(len(plan.stack.numbers_of("routed")), "routed layer"), "model.depth_routing.aux_loss"
    return f"{sentence}; {last} {verb} over {layers}{places.mention(field)}."


def _prediction(plan: Plan) -> Code:
    model = plan.run.model
    arguments = [code("hidden_BSD"), code("model.head_DV()"), code("batch")]
    tokens, why = plan.kernels.cross_entropy_chunk, None
    positions = max(1, tokens // plan.batch.micro_sequences)
    if positions < model.seq_len:
        arguments.append(given("chunk", tokens))
        chunk = mentioned(plan, "cross_entropy_chunk")
        why = comment(f"Logits of {positions:,} positions of every sequence at a time. {chunk}", 4)
    if model.logits_softcap is not None:
        arguments.append(given("softcap", model.logits_softcap))
    if model.logits_z_loss:
        arguments.append(given("z_loss", model.logits_z_loss))
    if model.dtype.logits != "float32":
        arguments.append(given("dtype", model.dtype.logits))
    return lines(why, call(code("prediction = cross_entropy"), *arguments, indent=4))


def after_step_function(plan: Plan, places: Places) -> Code | None:
    """What changes the routers' biases after each step; None where nothing does."""
    experts = plan.run.model.experts
    if experts is None or not experts.bias_update_rate:
        return None
    doc = f"Moves the bias of each expert by {exact(experts.bias_update_rate)} towards equal load."
    return code(
        """
def after_step(model: Model, routers: RouterReport) -> None:
    {doc}
    nudge_router_biases(model, routers, {rate})
""",
        doc=docstring(places.cited(doc, "model.experts.bias_update_rate")),
        rate=given("rate", experts.bias_update_rate),
    )
