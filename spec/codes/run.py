"""MOE81xx: data and the run. MOE82xx: what a run asserts."""

from __future__ import annotations

from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE8101", "error", "the vocabulary is smaller than the tokenizer's"),
    CodeInfo("MOE8102", "error", "an evaluation does not hold one sequence"),
    CodeInfo("MOE8103", "warning", "a run evaluates less often than is written"),
    CodeInfo("MOE8104", "error", "`remat.policy = names` keeps nothing by name"),
    CodeInfo("MOE8105", "error", "an activation is kept in two places"),
    CodeInfo("MOE8106", "error", "a named activation is not in the model"),
    CodeInfo("MOE8107", "warning", "a run saves no checkpoint before its end"),
    CodeInfo("MOE8108", "warning", "a run ends before a step can be called a spike"),
    CodeInfo("MOE8201", "error", "an `assert` does not hold"),
    CodeInfo("MOE8202", "error", "an `assert` is no condition"),
)


def vocabulary_too_small(span: Span, vocab_size: int, tokenizer: str, needed: int, tokenizer_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8101",
        "error",
        f"the vocabulary is smaller than that of the tokenizer `{tokenizer}`",
        span,
        f"{vocab_size} tokens",
        others=(Label(tokenizer_at, f"it has {needed} tokens"),),
        helps=(f"write vocab_size = {needed} or more",),
    )


def eval_below_one_sequence(span: Span, tokens: int, seq_len: int, seq_len_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8102",
        "error",
        "an evaluation does not hold one sequence",
        span,
        f"{tokens} tokens",
        others=(Label(seq_len_at, f"a sequence has {seq_len}"),),
        check="eval.tokens >= seq_len",
        helps=(f"write tokens = {seq_len} or more",),
    )


def no_eval_before_end(span: Span, every: int, steps: int, budget_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8103",
        "warning",
        "the run evaluates at its end only",
        span,
        f"every {every} steps",
        others=(Label(budget_at, f"this budget gives {steps} steps"),),
        helps=(f"write every_steps = {max(1, steps // 5)}, or 0 to evaluate at the end only",),
    )


def no_checkpoint_before_end(span: Span, every: int, steps: int, budget_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8107",
        "warning",
        "the run saves no checkpoint before its end",
        span,
        f"every {every} steps",
        others=(Label(budget_at, f"this budget gives {steps} steps"),),
        helps=(f"write every_steps = {max(1, steps // 5)}, or 0 to save at the end only",),
    )


def no_spike_before_end(span: Span, enough: int, steps: int, window_at: Span, budget_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8108",
        "warning",
        "the run ends before a step can be called a spike",
        span,
        f"it acts after {enough} accepted steps",
        others=(Label(window_at, "half of this window"), Label(budget_at, f"this budget gives {steps} steps")),
        helps=(f"write window = {max(2, steps // 5)}, or spike = none",),
    )


def names_keep_nothing(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8104",
        "error",
        "`policy = names` keeps nothing: no activation is named",
        span,
        helps=("name some in `save` or `offload`, or write policy = full, which keeps nothing by design",),
    )


def kept_twice(span: Span, name: str, save_at: Span) -> Diagnostic:
    return Diagnostic(
        "MOE8105",
        "error",
        f"`{name}` is both saved and offloaded",
        span,
        others=(Label(save_at, "saved here"),),
        helps=("keep it in one of the two lists",),
    )


def activation_not_in_model(span: Span, name: str, known: tuple[str, ...], *, tiled: bool) -> Diagnostic:
    return Diagnostic(
        "MOE8106",
        "error",
        f"this model has no activation `{name}`",
        span,
        helps=(f"it has {', '.join(f'`{one}`' for one in known)}",),
        notes=("its experts multiply in tiles, which make it one tile at a time",) if tiled else (),
    )


def assert_fails(span: Span, condition: str, why: str, values: tuple[tuple[str, str], ...], run: str) -> Diagnostic:
    return Diagnostic(
        "MOE8201",
        "error",
        f"run `{run}` does not hold what it asserts: {why}" if why else f"run `{run}` does not hold what it asserts",
        span,
        "this is false",
        check=condition,
        notes=tuple(f"{text} = {value}" for text, value in values),
    )


def assert_is_no_condition(span: Span, found: str) -> Diagnostic:
    return Diagnostic(
        "MOE8202",
        "error",
        f"an `assert` needs a condition, this is {found}",
        span,
        helps=("compare it: for example `plan.steps > 1000`",),
    )
