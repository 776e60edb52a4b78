"""Plan -> PROGRAM, what the program hands to the runtime: plain facts and the functions that it defines."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, comment, literal
from moec.compiler.emit.layout import call, exploded, given, keyword
from moec.compiler.formula_text import derivation, mentioned
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.typed import DataSpec
from moec.compiler.units import plural


def program(plan: Plan, places: Places, identity: str) -> Code:
    """The assignment to PROGRAM, and what runs the file as a script."""
    fields = (
        given("name", plan.run.name),
        given("identity", identity),
        keyword("mesh", code("MESH")),
        keyword("model", code("Model")),
        keyword("objective", code("objective")),
        keyword("optimizer", code("optimizer")),
        keyword("after_step", _after_step(plan)),
        keyword("data", literal(None) if plan.run.data is None else _data(plan.run.data, plan.run.model.vocab_size)),
        keyword("training", _training(plan)),
        keyword("checkpoints", _checkpoints(plan)),
        keyword("evaluation", _evaluation(plan)),
        keyword("expectations", _expectations(plan)),
        keyword("learning_rate", code("learning_rate")),
        keyword("guard", _guard(plan)),
    )
    return code(
        """
{steps}
{batch}
{program}

if __name__ == "__main__":
    main(PROGRAM)
""",
        steps=comment(mentioned(plan, "steps") + places.mention(_budget_origin(plan))),
        batch=comment(_batch(plan) + places.mention("batch.tokens")),
        program=exploded(code("PROGRAM = Program"), *fields),
    )


def _budget_origin(plan: Plan) -> str:
    row = derivation(plan, "steps")
    return row.origin if row else "budget"


def _batch(plan: Plan) -> str:
    batch = plan.batch
    pieces = plural(batch.micro_batches, "micro-batch", "micro-batches")
    size = f"{plural(batch.micro_sequences, 'sequence')} of {plan.run.model.seq_len:,}"
    return f"batch: {batch.tokens:,} tokens = {pieces} of {size}"


def _after_step(plan: Plan) -> Code:
    experts = plan.run.model.experts
    return code("after_step") if experts is not None and experts.bias_update_rate else literal(None)


def _data(data: DataSpec, vocab_size: int) -> Code:
    return exploded(
        code("TextData"),
        given("sources", data.sources),
        given("mixture", data.mixture),
        given("format", data.format),
        given("text_field", data.text_field),
        given("tokenizer", data.tokenizer),
        given("vocab_size", vocab_size),
        given("split", data.split),
        given("packing", data.packing),
        given("seed", data.seed),
    )


def _training(plan: Plan) -> Code:
    batch = plan.batch
    return call(
        code("Training"),
        given("steps", plan.budget.steps),
        given("seq_len", plan.run.model.seq_len),
        given("micro_batches", batch.micro_batches),
        given("micro_sequences", batch.micro_sequences),
        given("seed", plan.run.seed),
        indent=4,
    )


def _checkpoints(plan: Plan) -> Code:
    spec = plan.run.checkpoint
    return call(code("Checkpoints"), given("every_steps", spec.every_steps), given("keep", spec.keep))


def _guard(plan: Plan) -> Code:
    spec = plan.run.guard
    return call(
        code("Guard"), given("spike", spec.spike), given("window", spec.window), given("max_skips", spec.max_skips)
    )


def _evaluation(plan: Plan) -> Code:
    spec = plan.run.eval
    return call(code("Evaluation"), given("every_steps", spec.every_steps), given("tokens", spec.tokens))


def _expectations(plan: Plan) -> Code:
    compute = plan.run.model.dtype.compute
    return exploded(
        code("Expectations"),
        given("params", plan.parameters.total),
        given("active_params", plan.parameters.active),
        given("train_flops_per_token", float(plan.flops.train_per_token)),
        given("peak_flops_per_second", float(plan.run.mesh.hardware.peak_flops_per_second.get(compute, 0.0))),
    )
