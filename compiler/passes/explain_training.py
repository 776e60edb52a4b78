"""Plan -> derivations of batch, routing, budget, schedule and losses. Every formula can be worked out from its
inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from moec.compiler.formulas.depth_routing import taken_tokens
from moec.compiler.passes.ask_law import ask_law, counted, counted_params, tokens_per_param
from moec.compiler.passes.choose_kernels import chunk_bytes
from moec.compiler.passes.set_budget import DECAY_SHARE, SECONDS_PER_HOUR, WARMUP_SHARE
from moec.compiler.passes.split_batch import BATCH_AXES
from moec.compiler.plan import Derivation, Number, Plan

WHOLE = "whole sequences, equally many for each device"
ROUNDED_UP = "budgets become whole steps, rounded up"


def explain_mesh(plan: Plan) -> Iterator[Derivation]:
    """The devices, and every axis."""
    axes = dict(plan.mesh.axes)
    formula = " * ".join(axes)
    yield Derivation("mesh.devices", plan.mesh.devices, "devices", formula, axes, "product of the axes", "mesh")
    for axis, size in axes.items():
        if plan.run.mesh.axes[axis] == "auto":
            inputs = {"devices": plan.mesh.devices, "others": plan.mesh.devices // size}
            yield Derivation(
                f"mesh.{axis}", size, "devices", "devices // others", inputs, "left over", f"mesh.axes.{axis}"
            )
        else:
            yield Derivation(f"mesh.{axis}", size, "devices", axis, {axis: size}, "written", f"mesh.axes.{axis}")


def explain_batch(plan: Plan) -> Iterator[Derivation]:
    """One step's tokens, cut up."""
    batch, seq_len = plan.batch, plan.run.model.seq_len
    tokens: Mapping[str, Number] = {"tokens": batch.tokens, "seq_len": seq_len}
    at = "batch.tokens"
    yield Derivation("batch_tokens", batch.tokens, "tokens", "tokens", {"tokens": batch.tokens}, "written", at)
    yield Derivation("sequences", batch.sequences, "sequences", "tokens // seq_len", tokens, WHOLE, at)
    cut: Mapping[str, Number] = {"micro_tokens": batch.micro_sequences * seq_len, "seq_len": seq_len}
    formula = "micro_tokens // seq_len"
    yield Derivation("micro_sequences", batch.micro_sequences, "sequences", formula, cut, WHOLE, "batch.micro")
    micro: Mapping[str, Number] = {"sequences": batch.sequences, "micro_sequences": batch.micro_sequences}
    formula = "sequences // micro_sequences"
    yield Derivation("micro_batches", batch.micro_batches, "micro-batches", formula, micro, WHOLE, "batch.micro")
    shares = {axis: plan.mesh.axes[axis] for axis in (*BATCH_AXES, "seq")}
    inputs: Mapping[str, Number] = {"tokens": batch.tokens, **shares}
    formula = f"tokens // ({' * '.join(shares)})"
    yield Derivation("tokens_per_device", batch.tokens_per_device, "tokens", formula, inputs, WHOLE, at)


def explain_chunk(plan: Plan) -> Iterator[Derivation]:
    """The tokens of one chunk of the loss."""
    chunk, sequences = plan.kernels.cross_entropy_chunk, plan.batch.micro_sequences
    inputs: Mapping[str, Number] = {"micro_sequences": sequences, "positions": chunk // sequences}
    most = chunk_bytes(plan.run, plan.mesh) // 2**20
    source = f"seq_len halved until a device's float32 logits are within {most:,} MiB"
    formula = "micro_sequences * positions"
    yield Derivation("cross_entropy_chunk", chunk, "tokens", formula, inputs, source, "model.vocab_size")


def explain_routing(plan: Plan) -> Iterator[Derivation]:
    """Groups and slots, in both conventions."""
    experts, routing = plan.run.model.experts, plan.routing
    if experts is None or routing is None:
        return
    layers = {"n_layers": plan.run.model.n_layers, "n_dense": sum(one.kind == "dense" for one in plan.stack.layers)}
    count = layers["n_layers"] - layers["n_dense"]
    yield Derivation(
        "moe_layers", count, "layers", "n_layers - n_dense", layers, "every, offset, first_dense", "model.experts.every"
    )
    if routing.capacity is None or experts.capacity_factor is None:
        return
    tokens: Mapping[str, Number] = {"micro_tokens": plan.batch.micro_sequences * plan.run.model.seq_len}
    group: Mapping[str, Number] = {"group_size": routing.group_size}
    at, factor_at = "model.experts.group_size", "model.experts.capacity_factor"
    inputs = {**tokens, **group}
    yield Derivation(
        "groups", routing.groups, "groups", "micro_tokens // group_size", inputs, "groups never span devices", at
    )
    sizes: Mapping[str, Number] = {"top_k": experts.top_k, **group, "capacity_factor": experts.capacity_factor}
    convention = "per choice, rounded up (MaxText, Megatron-LM); 1 is an even load without slack"
    formula = "ceil(top_k * group_size * capacity_factor / n_experts)"
    slots = {**sizes, "n_experts": experts.n_experts}
    yield Derivation("capacity", routing.capacity, "slots per expert and group", formula, slots, convention, factor_at)
    inputs = {"capacity": routing.capacity, "n_experts": experts.n_experts, **group}
    other = "the other convention, per token (axlearn); `top_k` is an even load without slack"
    per_token = Fraction(routing.capacity * experts.n_experts, routing.group_size)
    formula = "capacity * n_experts / group_size"
    yield Derivation("slots_per_token", per_token, "slots", formula, inputs, other, factor_at)


def explain_depth_routing(plan: Plan) -> Iterator[Derivation]:
    """How many layers are routed, and how many tokens each takes."""
    routing, n_layers = plan.run.model.depth_routing, plan.run.model.n_layers
    if routing is None:
        return
    routed = len(plan.stack.numbers_of("routed"))
    layers: Mapping[str, Number] = {"n_layers": n_layers, "n_whole": n_layers - routed}
    yield Derivation(
        "routed_layers", routed, "layers", "n_layers - n_whole", layers, "every, offset", "model.depth_routing.every"
    )
    share: Mapping[str, Number] = {"capacity": routing.capacity, "seq_len": plan.run.model.seq_len}
    taken = taken_tokens(routing.capacity, plan.run.model.seq_len)
    source, at = "Raposo et al., arXiv 2404.02258, section 3", "model.depth_routing.capacity"
    yield Derivation("taken_tokens", taken, "tokens per sequence", "capacity * seq_len", share, source, at)


def explain_losses(plan: Plan) -> Iterator[Derivation]:
    """What each term of the objective is at perfect balance, under its one formula."""
    experts = plan.run.model.experts
    if experts is None or not experts.balance_loss:
        return
    # f_e and P_e are both 1 / E at perfect balance.
    inputs: Mapping[str, Number] = {"balance_loss": experts.balance_loss, "n_experts": experts.n_experts}
    yield Derivation(
        "loss.balance_at_even_load",
        experts.balance_loss,
        "nats",
        "balance_loss * n_experts * n_experts * (1 / n_experts) * (1 / n_experts)",
        inputs,
        "balance_loss * E * sum_e f_e P_e, mean over MoE layers, global batch; Fedus et al., arXiv 2101.03961, "
        "equation 4, with f over all top_k choices",
        "model.experts.balance_loss",
    )


def explain_budget(plan: Plan) -> Iterator[Derivation]:
    """How long the run is, by whatever the budget was given in."""
    budget, batch_tokens = plan.budget, plan.batch.tokens
    formula, inputs, source, at = budget_rule(plan)
    steps_inputs = {**inputs, "batch_tokens": batch_tokens}
    yield Derivation(
        "steps", budget.steps, "steps", f"ceil({formula} / batch_tokens)", steps_inputs, f"{source}; {ROUNDED_UP}", at
    )
    both: Mapping[str, Number] = {"steps": budget.steps, "batch_tokens": batch_tokens}
    yield Derivation("tokens", budget.tokens, "tokens", "steps * batch_tokens", both, "those of the whole steps", at)
    n_params = counted_params(plan.run.budget, plan.tensors, plan.parameters)
    ratio: Mapping[str, Number] = {"tokens": budget.tokens, "n_params": n_params}
    note = f"n_params counts {counted(plan.run.budget)} parameters"
    yield Derivation(
        "tokens_per_param", budget.tokens_per_param, "tokens", "tokens / n_params", ratio, note, "budget.count"
    )
    flops: Mapping[str, Number] = {"flops_per_token": plan.flops.train_per_token, "tokens": budget.tokens}
    formula = "flops_per_token * tokens"
    yield Derivation("train_flops", budget.train_flops, "FLOPs", formula, flops, "ideal training FLOPs", at)


def budget_rule(plan: Plan) -> tuple[str, Mapping[str, Number], str, str]:
    """(formula of the wanted tokens, its inputs, source, origin)."""
    spec = plan.run.budget
    if spec.tokens is not None:
        return "wanted_tokens", {"wanted_tokens": spec.tokens}, "written", "budget.tokens"
    if spec.steps is not None:
        return "wanted_steps * batch_tokens", {"wanted_steps": spec.steps}, "written", "budget.steps"
    if spec.train_flops is not None:
        per_token: Mapping[str, Number] = {
            "train_flops": spec.train_flops,
            "flops_per_token": plan.flops.train_per_token,
        }
        return "(train_flops / flops_per_token)", per_token, "ideal training FLOPs per token", "budget.train_flops"
    if spec.hours is not None:
        seconds = {"hours": spec.hours, "seconds_per_hour": SECONDS_PER_HOUR, "step_seconds": plan.step_time.seconds}
        formula = "hours * seconds_per_hour / step_seconds * batch_tokens"
        return formula, seconds, "by the estimated step time, which is not calibrated", "budget.hours"
    answer, _ = ask_law(plan.run, plan.tensors, plan.parameters)
    assert answer is not None, "a plan has an answer wherever it has a law"
    n_params: Mapping[str, Number] = {"n_params": answer.routed.n_params}
    if answer.surface is None:
        ratio = {**n_params, "tokens_per_param": tokens_per_param(spec)}
        return "tokens_per_param * n_params", ratio, answer.law.source, "budget.law"
    formula, fit = answer.surface.formula()
    return formula, {**n_params, **fit}, answer.law.source, "budget.law"


def explain_schedule(plan: Plan) -> Iterator[Derivation]:
    """The learning-rate schedule in steps."""
    optimizer, budget = plan.run.optimizer, plan.budget
    steps = budget.steps
    rows: tuple[tuple[str, int | str, int, Fraction, str], ...] = (
        ("warmup_steps", optimizer.warmup_steps, budget.warmup_steps, WARMUP_SHARE, "a hundredth of the run"),
        (
            "decay_steps",
            optimizer.decay_steps,
            budget.decay_steps,
            DECAY_SHARE,
            "MiniCPM, arXiv 2404.06395: a tenth of the run",
        ),
    )
    for name, written, value, share, source in rows:
        at = f"optimizer.{name}"
        if name == "decay_steps" and optimizer.schedule != "warmup_stable_decay":
            yield Derivation(
                name, value, "steps", name, {name: value}, f"follows from schedule {optimizer.schedule}", at
            )
        elif written == "auto":
            inputs: Mapping[str, Number] = {"share": share, "steps": steps}
            yield Derivation(name, value, "steps", "max(1, ceil(share * steps))", inputs, source, at)
        else:
            yield Derivation(name, value, "steps", name, {name: value}, "written", at)
