"""Plan -> the docstring that opens the program: what it trains, on what, for how long, and what the file is."""

from __future__ import annotations

from moec.compiler.emit.depth_routing import routed_layers, tokens_taken_by_layers
from moec.compiler.emit.holes import Code, docstring
from moec.compiler.places import RESOLVED
from moec.compiler.plan import Plan
from moec.compiler.units import numbers_in_words, plural
from moec.spec import VERSION


def header(plan: Plan, hash_line: str | None = None) -> Code:
    """The docstring of the program; `hash_line` vouches for the program that has none."""
    run = plan.run
    own = (*run.doc.splitlines(), "") if run.doc.strip() else ()
    return docstring(
        f"Run `{run.name}`: model `{run.model.name}` on mesh `{run.mesh.name}`.",
        "",
        *own,
        _layers(plan),
        _size(plan),
        "",
        f"Written by moec {VERSION} from the {RESOLVED} beside it; line numbers in comments are that file's.",
        "It is yours: read it, change it, keep it. It needs jax, flax, optax, orbax and moec.runtime.",
        *(() if hash_line is None else (hash_line,)),
        "",
        "    python program.py train | eval | generate | prove        (each with --help)",
        indent=0,
    )


def _layers(plan: Plan) -> str:
    model = plan.run.model
    layers = f"{plural(model.n_layers, 'layer')} of width {model.d_model:,}"
    if model.depth_routing is not None:
        taken = f"{tokens_taken_by_layers(plan):,} of the {model.seq_len:,} tokens of a sequence"
        routed = routed_layers(plan)
        return f"{layers}; {routed[0].lower()}{routed[1:]} take {taken}."
    if model.experts is None:
        return f"{layers}, all dense."
    numbers = plan.stack.numbers_of("moe")
    where = "every layer" if len(numbers) == model.n_layers else f"layers {numbers_in_words(numbers)}"
    experts = f"{model.experts.n_experts:,} experts of width {model.experts.d_ff:,} in {where}"
    return f"{layers}; {experts}, {model.experts.top_k} of them per token."


def _size(plan: Plan) -> str:
    counts, budget = plan.parameters, plan.budget
    active = f", {counts.active:,} of them active per token" if counts.active != counts.total else ""
    devices = f"{plural(plan.mesh.devices, 'device')} ({plan.run.mesh.hardware.name})"
    tokens = f"{budget.tokens:,} tokens: {plural(budget.steps, 'step')} of {plan.batch.tokens:,}"
    return f"{counts.total:,} parameters{active}. {devices}. {tokens}."
