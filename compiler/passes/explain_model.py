"""Plan -> derivations of parameters and FLOPs. Every formula can be worked out from its inputs, and a test does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from moec.compiler.formulas.parameters import count_weights
from moec.compiler.plan import Derivation, Number, Plan

EXACT = "sum over the weights that the program declares"


def add_up(parts: Mapping[str, Number]) -> str:
    """The formula that adds named parts."""
    return " + ".join(parts)


def explain_parameters(plan: Plan) -> Iterator[Derivation]:
    """Totals by role and what one token uses of them."""
    counts, tensors = plan.parameters, [tensor for tensor in plan.tensors if tensor.trainable]
    roles = dict(counts.by_role)
    yield Derivation("params.total", counts.total, "weights", add_up(roles), roles, EXACT, "model")
    experts = counts.by_role.get("experts", 0)
    spec, depth_routing = plan.run.model.experts, plan.run.model.depth_routing
    if depth_routing is not None:
        yield explain_passes(plan, depth_routing.capacity)
    elif spec is None:
        yield Derivation("params.active", counts.active, "weights", "total", {"total": counts.total}, EXACT, "model")
    else:
        inputs = {"whole": counts.total - experts, "experts": experts, "top_k": spec.top_k, "n_experts": spec.n_experts}
        formula = "whole + experts * top_k / n_experts"
        yield Derivation("params.active", counts.active, "weights", formula, inputs, EXACT, "model.experts.top_k")
    tables = {role: count for role, count in roles.items() if role in ("embedding", "head")}
    yield Derivation("params.embedding", counts.embedding, "weights", add_up(tables), tables, EXACT, "model.vocab_size")
    for role, count in roles.items():
        kinds: dict[str, Number] = {}
        for tensor in tensors:
            if tensor.role == role:
                kinds[f"{tensor.owner}_{tensor.name}"] = count_weights(tensor)
        yield Derivation(f"params.by_role.{role}", count, "weights", add_up(kinds), kinds, EXACT, "model")


def explain_passes(plan: Plan, capacity: Fraction) -> Derivation:
    """What a token uses on average of a model whose routed layers it mostly passes by."""
    routed = len(plan.stack.numbers_of("routed"))
    inside = [tensor for tensor in plan.tensors if tensor.active != 1]
    passed_by = sum(count_weights(tensor) // tensor.copies for tensor in inside) * routed
    inputs: Mapping[str, Number] = {
        "whole": plan.parameters.total - passed_by,
        "capacity": capacity,
        "routed": passed_by,
    }
    formula = "round(whole + capacity * routed)"
    source = f"{EXACT}, those of {routed} routed layers for the tokens that they take"
    origin = "model.depth_routing.capacity"
    return Derivation("params.active", plan.parameters.active, "weights", formula, inputs, source, origin)


def explain_flops(plan: Plan) -> Iterator[Derivation]:
    """The table's sums, and every convention under its name."""
    flops = plan.flops
    rows = {identifier(row.operation): row.ideal_flops_per_token for row in flops.rows}
    source = "matmuls of the forward pass, causal attention halved; Kaplan et al., arXiv 2001.08361"
    yield Derivation("flops_per_token.forward", flops.forward_per_token, "FLOPs", add_up(rows), rows, source, "model")
    forward: Mapping[str, Number] = {"forward": flops.forward_per_token}
    backward = "backward is twice forward; Kaplan et al., arXiv 2001.08361, section 2.1"
    yield Derivation("flops_per_token.train", flops.train_per_token, "FLOPs", "3 * forward", forward, backward, "model")
    executed = sum((Fraction(row.executed_flops_per_token) for row in flops.rows), Fraction())
    again = Fraction(flops.executed_train_per_token) - 3 * executed
    yield Derivation(
        "flops_per_token.executed_train",
        flops.executed_train_per_token,
        "FLOPs",
        "3 * executed_forward + recomputed",
        {"executed_forward": executed, "recomputed": again},
        "adds empty slots, one-hot dispatch, masked attention and what the backward pass makes again",
        "remat.policy",
    )
    yield from explain_conventions(plan)


def explain_conventions(plan: Plan) -> Iterator[Derivation]:
    """The same training step as other people count it."""
    model, counts, conventions = plan.run.model, plan.parameters, plan.flops.conventions
    looked_up = 0 if model.tie_embeddings else model.vocab_size * model.d_model
    matmul: Mapping[str, Number] = {"active": counts.active, "looked_up": looked_up}
    square = {
        "n_layers": model.n_layers,
        "n_heads": model.attention.n_heads,
        "d_head": model.attention.d_head,
        "seq_len": model.seq_len,
    }
    executed = sum((Fraction(row.executed_flops_per_token) for row in plan.flops.rows), Fraction())
    kaplan, palm = "Kaplan et al., arXiv 2001.08361", "Chowdhery et al. (PaLM), arXiv 2204.02311, appendix B"
    table: tuple[tuple[str, str, Mapping[str, Number], str], ...] = (
        ("6_n_active", "6 * active", {"active": counts.active}, kaplan),
        ("6_n_active_without_embedding_table", "6 * (active - looked_up)", matmul, kaplan),
        ("6_n_total", "6 * total", {"total": counts.total}, kaplan),
        ("palm", "6 * (active - looked_up) + 12 * n_layers * n_heads * d_head * seq_len", {**matmul, **square}, palm),
        ("ideal_causal", "3 * forward", {"forward": plan.flops.forward_per_token}, kaplan),
        ("padded", "3 * executed_forward", {"executed_forward": executed}, kaplan),
        ("executed", "train", {"train": plan.flops.executed_train_per_token}, kaplan),
    )
    for name, formula, inputs, source in table:
        yield Derivation(
            f"flops_per_token.conventions.{name}", conventions[name], "FLOPs", formula, inputs, source, "model"
        )


def identifier(text: str) -> str:
    """Words as one name that a formula can use."""
    return text.replace(",", "").replace(" ", "_")
