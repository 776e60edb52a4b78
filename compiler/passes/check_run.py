"""RunSpec, BudgetPlan, RoutingPlan -> diagnostics: data, evaluation, checkpoints and re-computation fit the model and
the length of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.compiler.passes.places import place
from moec.compiler.passes.set_budget import budget_path
from moec.compiler.plan import BudgetPlan, RoutingPlan
from moec.compiler.typed import ModelSpec, RunSpec
from moec.spec.codes import run as codes
from moec.spec.diagnostics import Diagnostic

BYTE_TOKENS: Final = 256
"""Source: a byte has 256 values."""


def check_run(run: RunSpec, budget: BudgetPlan, routing: RoutingPlan | None) -> tuple[Diagnostic, ...]:
    """Errors: MOE8101, MOE8102, MOE8104 to MOE8106. Warnings: MOE8103, MOE8107, MOE8108."""
    return (*check_data(run), *check_rhythm(run, budget), *check_guard(run, budget), *check_remat(run, routing))


def check_data(run: RunSpec) -> Iterator[Diagnostic]:
    """The byte tokenizer's tokens all have a row, and an evaluation reads something."""
    model, data = run.model, run.data
    if data is None:
        return
    if data.tokenizer == "bytes" and model.vocab_size < BYTE_TOKENS:
        at, tokenizer = place(run, "model.vocab_size"), place(run, "data.tokenizer")
        yield codes.vocabulary_too_small(at, model.vocab_size, "bytes", BYTE_TOKENS, tokenizer)
    if run.eval.tokens < model.seq_len:
        at, seq_len = place(run, "eval.tokens"), place(run, "model.seq_len")
        yield codes.eval_below_one_sequence(at, run.eval.tokens, model.seq_len, seq_len)


def check_rhythm(run: RunSpec, budget: BudgetPlan) -> Iterator[Diagnostic]:
    """Evaluations and checkpoints that are asked for happen."""
    budget_at = place(run, budget_path(run.budget))
    if run.checkpoint.every_steps > budget.steps and "checkpoint.every_steps" in run.written:
        at = place(run, "checkpoint.every_steps")
        yield codes.no_checkpoint_before_end(at, run.checkpoint.every_steps, budget.steps, budget_at)
    if run.eval.every_steps > budget.steps:
        at = place(run, "eval.every_steps")
        yield codes.no_eval_before_end(at, run.eval.every_steps, budget.steps, budget_at)


def check_guard(run: RunSpec, budget: BudgetPlan) -> Iterator[Diagnostic]:
    """The guard has seen enough steps before the last to know a spike."""
    enough = run.guard.window // 2
    if run.guard.spike is not None and enough >= budget.steps:
        at, window = place(run, "guard.spike"), place(run, "guard.window")
        yield codes.no_spike_before_end(at, enough, budget.steps, window, place(run, budget_path(run.budget)))


def check_remat(run: RunSpec, routing: RoutingPlan | None) -> Iterator[Diagnostic]:
    """Named activations exist, and each is kept in one place."""
    if run.remat.policy != "names":
        return
    if not run.remat.save and not run.remat.offload:
        yield codes.names_keep_nothing(place(run, "remat.policy"))
    for name in run.remat.offload:
        if name in run.remat.save:
            yield codes.kept_twice(place(run, "remat.offload"), name, place(run, "remat.save"))
    known = named_activations(run.model, routing)
    for field, names in (("save", run.remat.save), ("offload", run.remat.offload)):
        for name in names:
            if name not in known:
                tiled = name in named_activations(run.model, None)
                yield codes.activation_not_in_model(place(run, f"remat.{field}"), name, known, tiled=tiled)


def named_activations(model: ModelSpec, routing: RoutingPlan | None) -> tuple[str, ...]:
    """The names that `remat.save` may hold for this model; experts in tiles never have a whole `expert_hidden`."""
    ffn = ("ffn_hidden", "ffn_out") if model.ffn else ()
    hidden = () if routing and routing.grouped_matmul == "tiles" else ("expert_hidden",)
    experts = ("expert_buffer", *hidden, "expert_out") if model.experts else ()
    return ("attention_out", *ffn, *experts)
