"""MOE61xx: budgets, schedules and laws. MOE62xx: doubts about them."""

from __future__ import annotations

from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.numbers import rounded
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE6101", "error", "a law fixes the tokens per parameter by itself"),
    CodeInfo("MOE6102", "error", "the warm-up is longer than the run"),
    CodeInfo("MOE6103", "error", "warm-up and decay are longer than the run"),
    CodeInfo("MOE6201", "warning", "the model is outside the range that a law was fitted on"),
    CodeInfo("MOE6202", "warning", "tokens per parameter are far from compute-optimal"),
)


def law_fixes_the_ratio(span: Span, law: str, law_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6101",
        "error",
        f"the law `{law}` takes no `tokens_per_param`: its ratio follows from the size of the model",
        span,
        others=(Label(law_at, "this law gives tokens for a number of parameters"),),
        helps=("remove `tokens_per_param`, or write law = chinchilla",),
    )


def warmup_longer_than_run(span: Span, warmup: int, steps: int, budget_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6102",
        "error",
        "the warm-up is longer than the run",
        span,
        f"{warmup} steps",
        others=(Label(budget_at, f"this budget gives {steps} steps"),),
        check="warmup_steps <= steps",
        helps=(f"write warmup_steps = auto, or at most {steps}",),
    )


def schedule_longer_than_run(
    span: Span, warmup: int, decay: int, steps: int, warmup_at: Span, budget_at: Span
) -> Diagnostic:
    return Diagnostic(
        "MOE6103",
        "error",
        "warm-up and decay are longer than the run",
        span,
        f"{decay} steps of decay",
        others=(Label(warmup_at, f"{warmup} steps of warm-up"), Label(budget_at, f"this budget gives {steps} steps")),
        check="warmup_steps + decay_steps <= steps",
        helps=(f"write decay_steps = auto, or at most {max(steps - warmup, 1)}",),
    )


def outside_fitted_range(span: Span, law: str, n_params: int, low: float, high: float) -> Diagnostic:
    return Diagnostic(
        "MOE6201",
        "warning",
        f"the law `{law}` was not fitted on models of this size",
        span,
        f"{n_params:,} parameters are counted",
        helps=("write `tokens` if you know better",),
        notes=(f"it was fitted on dense models of {low:,.0f} to {high:,.0f} parameters",),
    )


def ratio_far_from_law(span: Span, tokens: int, n_params: int, ratio: float, counted: str) -> Diagnostic:
    few = tokens < ratio * n_params
    what = "little training for a model of this size" if few else "much training for a model of this size"
    return Diagnostic(
        "MOE6202",
        "warning",
        f"{rounded(tokens / n_params)} tokens per {counted} parameter: {what}",
        span,
        f"{tokens:,} tokens for {n_params:,} parameters",
        helps=(f"compute-optimal is about {ratio:g}: {round(ratio * n_params):,} tokens",),
        notes=(
            "a smaller model would be better for the same compute"
            if few
            else "a larger model would be better for the same compute; a small one is cheaper to serve",
        ),
    )
