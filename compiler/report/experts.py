"""The section on experts: capacity in both conventions, dispatch, and each loss with its value at perfect balance."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from moec.compiler.places import Places
from moec.compiler.plan import Plan, RoutingPlan
from moec.compiler.report.document import Column, Paragraph, Section, Table
from moec.compiler.report.facts import facts
from moec.compiler.typed import ExpertsSpec
from moec.compiler.units import exact, plural, share


def experts_section(plan: Plan, places: Places) -> Section | None:
    """None in a dense model."""
    spec, routing = plan.run.model.experts, plan.routing
    if spec is None or routing is None:
        return None
    losses = tuple(_losses(spec))
    parts = (
        Paragraph(_routing(spec, routing)),
        Paragraph(_capacity(spec, routing)),
        Paragraph(f"Dispatch: {routing.dispatch}; matmul: {routing.grouped_matmul}. {_overhead(plan)}"),
        *facts(plan, places, "moe_layers", "groups", "capacity", "slots_per_token", "loss."),
        *((Table(_LOSS_COLUMNS, losses),) if losses else (Paragraph("No loss acts on the routers."),)),
    )
    return Section("Experts", parts)


def _routing(spec: ExpertsSpec, routing: RoutingPlan) -> str:
    shared = f" and {plural(spec.n_shared_experts, 'shared expert')}" if spec.n_shared_experts else ""
    groups = f"{plural(routing.groups, 'group')} of {routing.group_size:,} tokens in a micro-batch"
    return f"Each token goes to {spec.top_k} of {spec.n_experts:,} experts{shared}, in {groups}."


def _capacity(spec: ExpertsSpec, routing: RoutingPlan) -> str:
    if routing.capacity is None or spec.capacity_factor is None or routing.slots_per_token is None:
        return "Dropless: no capacity, no choice is dropped."
    return (
        f"Capacity: {routing.capacity:,} slots per expert and group. Factor {exact(spec.capacity_factor)} per choice "
        f"(MaxText, Megatron); the same is {exact(routing.slots_per_token)} slots per token (axlearn)."
    )


def _overhead(plan: Plan) -> str:
    """What executed expert FLOPs are beyond the ideal ones."""
    rows = [row for row in plan.flops.rows if row.operation in ("experts", "dispatch, combine")]
    ideal = sum(row.ideal_flops_per_token for row in rows)
    extra = sum(row.executed_flops_per_token for row in rows) - ideal
    return f"Empty slots and dispatch add {share(extra, ideal)} to the experts' FLOPs."


_LOSS_COLUMNS = (
    Column("loss"),
    Column("weight", "right"),
    Column("formula", is_code=True),
    Column("at perfect balance", "right"),
    Column("source"),
)


def _losses(spec: ExpertsSpec) -> Iterator[tuple[str, ...]]:
    """Each term of the objective that acts on the routers."""
    if spec.balance_loss:
        formula = "weight * E * sum_e f_e * P_e"
        yield "balance_loss", exact(spec.balance_loss), formula, exact(spec.balance_loss), "arXiv 2101.03961, eq. 4"
    if spec.z_loss:
        even = spec.z_loss * log(spec.n_experts) ** 2
        yield "router_z_loss", exact(spec.z_loss), "weight * mean(logsumexp^2)", exact(even), "arXiv 2202.08906, eq. 5"
    if spec.bias_update_rate:
        formula = "bias_e += rate * sign(mean load - load_e)"
        yield "router bias", exact(spec.bias_update_rate), formula, "no change", "arXiv 2408.15664, alg. 1"
