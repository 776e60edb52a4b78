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
    CodeInfo("MOE6104", "error", "a law says nothing about this model"),
    CodeInfo("MOE6105", "error", "a law has no published coefficients"),
    CodeInfo("MOE6106", "error", "coefficients for a law that has its own"),
    CodeInfo("MOE6107", "error", "a law counts other parameters"),
    CodeInfo("MOE6108", "error", "a law beside FLOPs, and nothing to scale"),
    CodeInfo("MOE6109", "error", "the scale is open, and nothing sets it"),
    CodeInfo("MOE6110", "error", "a run is measured against one that is measured itself"),
    CodeInfo("MOE6111", "error", "the run to be measured against has no plan, or experts"),
    CodeInfo("MOE6112", "error", "no size fits the budget, the mesh and the memory"),
    CodeInfo("MOE6201", "warning", "a model or its tokens are outside what a law was fitted on"),
    CodeInfo("MOE6202", "warning", "tokens per parameter are far from compute-optimal"),
    CodeInfo("MOE6203", "warning", "no law covers depth routing"),
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


def law_says_nothing(span: Span, law: str, why: str, helps: tuple[str, ...]) -> Diagnostic:
    """The law is asked outside what it defines."""
    return Diagnostic(
        "MOE6104",
        "error",
        f"the law `{law}` says nothing about how long to train this model",
        span,
        helps=helps,
        notes=(why,),
    )


def no_coefficients(span: Span, law: str, source: str) -> Diagnostic:
    return Diagnostic(
        "MOE6105",
        "error",
        f"the law `{law}` has no published coefficients",
        span,
        helps=("write your own in `coefficients { … }`, or take joint_moe, which covers the same models",),
        notes=(f"{source} prints its form and none of its numbers",),
    )


def coefficients_in_vain(span: Span, law: str | None) -> Diagnostic:
    which = f"the law `{law}` has its own" if law else "the budget asks no law"
    return Diagnostic(
        "MOE6106", "error", f"`coefficients` have no effect: {which}", span, helps=("remove them, or write law = yun",)
    )


def law_counts_otherwise(span: Span, law: str, count: str, counts: tuple[str, ...], meaning: str) -> Diagnostic:
    wanted = " or ".join(counts)
    return Diagnostic(
        "MOE6107",
        "error",
        f"the law `{law}` does not count {count.replace('_', '-')} parameters",
        span,
        helps=(f"write count = {wanted}",),
        notes=(f"its N is {meaning}",),
    )


def law_beside_flops(span: Span, flops_at: Span, scale_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6108",
        "error",
        "`law` and `train_flops` both say how long to train this model",
        span,
        others=(Label(flops_at, "given here too"), Label(scale_at, "the model's sizes are written")),
        helps=("remove one of the two, or write scale = auto in the model, which needs both",),
    )


def scale_without_law(span: Span, budget_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6109",
        "error",
        "`scale = auto` needs a budget that says how large the model may be",
        span,
        others=(Label(budget_at, "this budget does not"),),
        helps=("write `train_flops`, `law` and `count` in the budget, or sizes in the model and scale = written",),
    )


def reference_is_measured(span: Span, name: str, run_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6110",
        "error",
        f"the run `{name}` is measured against another run itself",
        span,
        others=(Label(run_at, "its budget names a third run, or leads back"),),
        helps=("let the dense run be `equal_to` itself, or give it a budget of its own",),
    )


def bad_reference(span: Span, name: str, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE6111",
        "error",
        f"nothing can be measured against the run `{name}`: it {why}",
        span,
        helps=("name the dense twin of this run, one that `moec plan` can plan",),
    )


def no_scale(span: Span, tried: int, why: str, budget_at: Span) -> Diagnostic:
    """`why` is the message of what was wrong with the best size."""
    return Diagnostic(
        "MOE6112",
        "error",
        "no size that the law gives for these FLOPs can be trained here",
        span,
        f"{tried} sizes tried" if tried else "no shape with these proportions is near what the law asks for",
        others=(Label(budget_at, "for this budget"),),
        helps=("write other FLOPs, a larger mesh, or the sizes themselves",),
        notes=(f"the best of them: {why}",) if why else (),
    )


def outside_fitted_range(span: Span, law: str, routing: str, outside: tuple[str, ...]) -> Diagnostic:
    """`outside` says for each thing what it is, and what was fitted."""
    return Diagnostic(
        "MOE6201",
        "warning",
        f"the law `{law}` was not fitted on such a model",
        span,
        outside[0],
        helps=("take what it says as a guess, or write `tokens` if you know better",),
        notes=(*outside[1:], f"fitted on: {routing}"),
    )


def law_without_depth_routing(span: Span, law: str, counted: str, routing_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE6203",
        "warning",
        f"the law `{law}` knows no layers that tokens pass by; no published law does",
        span,
        f"it is asked with {counted} parameters",
        others=(Label(routing_at, "depth routing"),),
        helps=("take what it says as a guess, or write `tokens`",),
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
