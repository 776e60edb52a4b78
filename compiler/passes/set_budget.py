"""RunSpec, counts and step time -> BudgetPlan: tokens in whole steps, and the learning-rate schedule in steps.

Whatever the budget is given in, it becomes tokens, then steps, rounded up; the plan's tokens are those of the whole
steps.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final

from moec.compiler.laws.chinchilla import FITTED, TOKENS_PER_PARAM
from moec.compiler.passes.ask_law import LawAnswer, ask_law, check_fitted, counted, counted_params
from moec.compiler.passes.places import place
from moec.compiler.plan import BudgetPlan, FlopCounts, ParameterCounts, StepTimePlan, TensorPlan
from moec.compiler.typed import BudgetSpec, RunSpec
from moec.spec.codes import budget as codes
from moec.spec.diagnostics import Diagnostic, has_errors

SECONDS_PER_HOUR: Final = 3600
WARMUP_SHARE: Final = Fraction(1, 100)
"""Assumption: a hundredth of the run warms up where `warmup_steps` is `auto`."""
DECAY_SHARE: Final = Fraction(1, 10)
"""Source: Hu et al. (MiniCPM), arXiv 2404.06395, section 4: about a tenth of the steps decay in warmup-stable-decay."""

FAR_FACTOR: Final = 18
"""Tokens per parameter that are off by this factor cost twice the compute for an equal loss: cosh(x/2 ln 18)^(2/x) = 2
with x = 0.35, the exponents of the refit. Source: Besiroglu et al., arXiv 2404.10102, with alpha = beta."""


def set_budget(
    run: RunSpec,
    tensors: tuple[TensorPlan, ...],
    parameters: ParameterCounts,
    flops: FlopCounts,
    step_time: StepTimePlan,
) -> tuple[BudgetPlan | None, tuple[Diagnostic, ...]]:
    """The length of training. Errors: MOE6101 to MOE6104. Warnings: MOE6201, MOE6202."""
    answer, told = ask_law(run, tensors, parameters)
    if has_errors(told):
        return None, told
    n_params, batch_tokens = counted_params(run.budget, tensors, parameters), run.batch.tokens
    steps = max(1, ceil(wanted_tokens(run, answer, flops, step_time) / batch_tokens))
    tokens = steps * batch_tokens
    warmup, decay = warmup_steps(run, steps), decay_steps(run, steps)
    told = (*told, *(check_fitted(run, answer, tokens) if answer else ()))
    told = (*told, *check_schedule(run, steps, warmup, decay), *check_ratio(run, tokens, n_params))
    if has_errors(told):
        return None, told
    return BudgetPlan(tokens, steps, tokens / n_params, flops.train_per_token * tokens, warmup, decay), told


def wanted_tokens(run: RunSpec, answer: LawAnswer | None, flops: FlopCounts, step_time: StepTimePlan) -> Fraction:
    """Tokens before they are rounded to whole steps."""
    budget = run.budget
    if budget.tokens is not None:
        return Fraction(budget.tokens)
    if budget.steps is not None:
        return Fraction(budget.steps * run.batch.tokens)
    if budget.train_flops is not None:
        return budget.train_flops / Fraction(flops.train_per_token)
    if budget.hours is not None:
        return Fraction(budget.hours) * SECONDS_PER_HOUR / Fraction(step_time.seconds) * run.batch.tokens
    assert answer is not None, "resolve gives every budget exactly one quantity"
    return Fraction(answer.tokens)


def warmup_steps(run: RunSpec, steps: int) -> int:
    """As written, or a hundredth of the run, at least one."""
    written = run.optimizer.warmup_steps
    return max(1, ceil(WARMUP_SHARE * steps)) if written == "auto" else written


def decay_steps(run: RunSpec, steps: int) -> int:
    """Steps at the end over which a warmup-stable-decay schedule falls; the whole run for cosine, none for constant."""
    if run.optimizer.schedule == "constant":
        return 0
    if run.optimizer.schedule == "cosine":
        return steps
    written = run.optimizer.decay_steps
    return max(1, ceil(DECAY_SHARE * steps)) if written == "auto" else written


def check_schedule(run: RunSpec, steps: int, warmup: int, decay: int) -> tuple[Diagnostic, ...]:
    """Warm-up and decay fit into the run."""
    at, steps_at = place(run, "optimizer.warmup_steps"), place(run, budget_path(run.budget))
    if warmup > steps:
        return (codes.warmup_longer_than_run(at, warmup, steps, steps_at),)
    if run.optimizer.schedule == "warmup_stable_decay" and warmup + decay > steps:
        return (
            codes.schedule_longer_than_run(place(run, "optimizer.decay_steps"), warmup, decay, steps, at, steps_at),
        )
    return ()


def budget_path(budget: BudgetSpec) -> str:
    """The path of the one quantity that the budget is given in."""
    given = {
        "tokens": budget.tokens,
        "steps": budget.steps,
        "train_flops": budget.train_flops,
        "hours": budget.hours,
        "law": budget.law,
    }
    return next(f"budget.{name}" for name, value in given.items() if value is not None)


def check_ratio(run: RunSpec, tokens: int, n_params: int) -> tuple[Diagnostic, ...]:
    """A warning where tokens per parameter are far from compute-optimal, for models of a size that this is known of."""
    ratio, (low, high) = tokens / n_params, FITTED.n_params
    near = TOKENS_PER_PARAM / FAR_FACTOR <= ratio <= TOKENS_PER_PARAM * FAR_FACTOR
    if near or not low <= n_params <= high:
        return ()
    at = place(run, budget_path(run.budget))
    name = counted(run.budget).replace("_", "-")
    return (codes.ratio_far_from_law(at, tokens, n_params, TOKENS_PER_PARAM, name),)
