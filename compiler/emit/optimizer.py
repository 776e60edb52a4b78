"""OptimizerSpec, BudgetPlan -> the functions `learning_rate`, a schedule, and `optimizer`, a chain of optax."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, docstring, lines, listed, literal
from moec.compiler.emit.layout import call, exploded, given, keyword
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.typed import OptimizerSpec
from moec.compiler.units import exact, plural

BODY_INDENT = 4
RETURN_INDENT = BODY_INDENT + len("return ")
OPTIMIZER_IN_WORDS = {"adamw": "AdamW", "adafactor": "Adafactor", "lion": "Lion", "muon": "Muon"}


def learning_rate_function(plan: Plan, places: Places) -> Code:
    """The schedule of the learning rate, of the number of steps already taken."""
    return code(
        """
def learning_rate() -> optax.Schedule:
    {doc}
    return {schedule}
""",
        doc=docstring(places.cited(_describe_rate(plan), "optimizer.schedule")),
        schedule=_schedule(plan),
    )


def optimizer_function(plan: Plan, places: Places) -> Code:
    """The optimizer of the run."""
    spec = plan.run.optimizer
    return code(
        """
def optimizer() -> optax.GradientTransformation:
    {doc}
    return {chain}
""",
        doc=docstring(places.cited(_describe(spec), "optimizer")),
        chain=exploded(code("optax.chain"), *_clip(spec), *_update(spec)),
    )


def _describe(spec: OptimizerSpec) -> str:
    clip = f" after clipping the global norm at {exact(spec.clip_norm)}" if spec.clip_norm is not None else ""
    return f"{OPTIMIZER_IN_WORDS[spec.kind]}{clip}, weight decay {exact(spec.weight_decay)}."


def _describe_rate(plan: Plan) -> str:
    spec, budget = plan.run.optimizer, plan.budget
    peak, final = exact(spec.peak_lr), exact(_final_lr(spec))
    warmup = f" after {plural(budget.warmup_steps, 'warm-up step')}" if budget.warmup_steps else ""
    decay = plural(budget.decay_steps, "step")
    rates = {
        "cosine": f"A half cosine from {peak} to {final}{warmup}",
        "warmup_stable_decay": f"Level at {peak}{warmup}, down to {final} in the last {decay}",
        "constant": f"Level at {peak}{warmup}",
    }
    return f"{rates[spec.schedule]}."


def _final_lr(spec: OptimizerSpec) -> float:
    return float(f"{spec.peak_lr * spec.final_lr_ratio:.12g}")


def _schedule(plan: Plan) -> Code:
    schedules = {"cosine": _cosine, "warmup_stable_decay": _warmup_stable_decay, "constant": _constant}
    return schedules[plan.run.optimizer.schedule](plan)


def _cosine(plan: Plan) -> Code:
    spec, budget = plan.run.optimizer, plan.budget
    if not budget.warmup_steps:
        return call(
            code("optax.cosine_decay_schedule"),
            literal(spec.peak_lr),
            given("decay_steps", budget.steps),
            given("alpha", spec.final_lr_ratio),
            indent=RETURN_INDENT,
        )
    return call(
        code("optax.warmup_cosine_decay_schedule"),
        literal(0.0),
        literal(spec.peak_lr),
        given("warmup_steps", budget.warmup_steps),
        given("decay_steps", budget.steps),
        given("end_value", _final_lr(spec)),
        indent=RETURN_INDENT,
    )


def _warmup_stable_decay(plan: Plan) -> Code:
    spec, budget = plan.run.optimizer, plan.budget
    decay = _linear(spec.peak_lr, _final_lr(spec), budget.decay_steps)
    return _joined(
        (_linear(0.0, spec.peak_lr, budget.warmup_steps), _flat(spec), decay),
        (budget.warmup_steps, budget.steps - budget.decay_steps),
    )


def _constant(plan: Plan) -> Code:
    spec, budget = plan.run.optimizer, plan.budget
    if not budget.warmup_steps:
        return _flat(spec)
    return _joined((_linear(0.0, spec.peak_lr, budget.warmup_steps), _flat(spec)), (budget.warmup_steps,))


def _linear(start: float, end: float, steps: int) -> Code:
    return code(
        "optax.linear_schedule({start}, {end}, {steps})",
        start=literal(start),
        end=literal(end),
        steps=given("transition_steps", steps),
    )


def _flat(spec: OptimizerSpec) -> Code:
    return code("optax.constant_schedule({rate})", rate=literal(spec.peak_lr))


def _joined(schedules: tuple[Code, ...], boundaries: tuple[int, ...]) -> Code:
    return code(
        """
optax.join_schedules(
    [
        {schedules}
    ],
    boundaries=[{boundaries}],
)
""",
        schedules=lines(*(code("{schedule},", schedule=schedule) for schedule in schedules)),
        boundaries=listed(*(literal(number) for number in boundaries)),
    )


def _clip(spec: OptimizerSpec) -> tuple[Code, ...]:
    if spec.clip_norm is None:
        return ()
    return (code("optax.clip_by_global_norm({norm})", norm=literal(spec.clip_norm)),)


def _update(spec: OptimizerSpec) -> tuple[Code, ...]:
    updates = {"adamw": _adamw, "adafactor": _adafactor, "lion": _lion, "muon": _muon}
    return updates[spec.kind](spec)


def _adamw(spec: OptimizerSpec) -> tuple[Code, ...]:
    betas = (given("b1", spec.b1), given("b2", spec.b2), given("eps", spec.eps))
    decay = (given("weight_decay", spec.weight_decay), keyword("mask", code("decay_mask")))
    return (call(code("optax.adamw"), code("learning_rate()"), *betas, *decay, indent=BODY_INDENT + 4),)


def _lion(spec: OptimizerSpec) -> tuple[Code, ...]:
    betas = (given("b1", spec.b1), given("b2", spec.b2))
    decay = (given("weight_decay", spec.weight_decay), keyword("mask", code("decay_mask")))
    return (call(code("optax.lion"), code("learning_rate()"), *betas, *decay, indent=BODY_INDENT + 4),)


def _adafactor(spec: OptimizerSpec) -> tuple[Code, ...]:
    """In parts, because optax.adafactor does not scale its weight decay by the learning rate.

    Source: Shazeer and Stern 2018, arXiv 1804.04235, algorithm 4.
    """
    return (
        code("optax.scale_by_factored_rms()"),
        code("optax.clip_by_block_rms({threshold})", threshold=literal(1.0)),
        code("optax.scale_by_param_block_rms()"),
        code("optax.add_decayed_weights({decay}, mask=decay_mask)", decay=literal(spec.weight_decay)),
        code("optax.scale_by_learning_rate(learning_rate())"),
    )


def _muon(spec: OptimizerSpec) -> tuple[Code, ...]:
    update = exploded(
        code("optax.contrib.muon"),
        code("learning_rate()"),
        given("beta", spec.b1),
        given("eps", spec.eps),
        given("weight_decay", spec.weight_decay),
        given("adam_b1", spec.b1),
        given("adam_b2", spec.b2),
        given("adam_weight_decay", spec.weight_decay),
        keyword("weight_decay_mask", code("decay_mask")),
        keyword("muon_weight_dimension_numbers", code("matrix_dims")),
    )
    return (update,)
