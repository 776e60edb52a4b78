"""The sections on how long training is: the batch, the budget, the learning rate."""

from __future__ import annotations

from moec.compiler.passes.ask_law import counted
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.report.document import Paragraph, Section
from moec.compiler.report.facts import facts
from moec.compiler.units import count, exact, flops, plural

_BATCH_FACTS = (
    "batch_tokens",
    "sequences",
    "micro_batches",
    "micro_sequences",
    "tokens_per_device",
    "cross_entropy_chunk",
)
_BUDGET_FACTS = ("steps", "tokens", "tokens_per_param", "train_flops", "law.loss", "warmup_steps", "decay_steps")


def batch_section(plan: Plan, places: Places) -> Section:
    """Tokens of a step and how they are cut."""
    batch = plan.batch
    pieces = plural(batch.micro_batches, "micro-batch", "micro-batches")
    text = (
        f"{batch.tokens:,} tokens per step = {pieces} of {plural(batch.micro_sequences, 'sequence')} of "
        f"{plan.run.model.seq_len:,} tokens; {batch.tokens_per_device:,} tokens per device."
    )
    return Section("Batch", (Paragraph(text), *facts(plan, places, *_BATCH_FACTS)))


def budget_section(plan: Plan, places: Places) -> Section:
    """Tokens, steps and FLOPs, and what set them."""
    budget, spec = plan.budget, plan.run.budget
    text = (
        f"{budget.tokens:,} tokens ({count(budget.tokens)}) in {plural(budget.steps, 'step')}, "
        f"{exact(budget.tokens_per_param)} per parameter{_counted(plan)}; {flops(budget.train_flops)} of training."
    )
    law = (Paragraph(f"Set by the law `{spec.law}`, counting {counted(spec)} parameters."),) if spec.law else ()
    optimizer = Paragraph(_learning_rate(plan))
    return Section("Budget", (Paragraph(text), *law, optimizer, *facts(plan, places, *_BUDGET_FACTS)))


def _counted(plan: Plan) -> str:
    return f" ({counted(plan.run.budget)})" if plan.run.model.experts else ""


def _learning_rate(plan: Plan) -> str:
    spec, budget = plan.run.optimizer, plan.budget
    warmup = f", {plural(budget.warmup_steps, 'step')} of warm-up"
    decay = f", {plural(budget.decay_steps, 'step')} of decay" if spec.schedule == "warmup_stable_decay" else ""
    final = f", down to {exact(spec.peak_lr * spec.final_lr_ratio)}" if spec.schedule != "constant" else ""
    return (
        f"Optimizer {spec.kind}: learning rate {exact(spec.peak_lr)}{final}, schedule {spec.schedule}{warmup}{decay}."
    )
