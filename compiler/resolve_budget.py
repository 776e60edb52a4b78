"""budget block -> BudgetSpec."""

from __future__ import annotations

from fractions import Fraction

from moec.compiler.laws.chinchilla import TOKENS_PER_PARAM
from moec.compiler.laws.registry import LAWS
from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import BudgetSpec, YunCoefficients
from moec.spec.codes import budget as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.budget import COEFFICIENTS, HOUR_SECONDS
from moec.spec.values import BlockName


def resolve_budget(scope: Scope, place: Place) -> BudgetSpec | None:
    """The budget, None where something is wrong with it.

    Errors: MOE6105 to MOE6107, and those of `resolve_block`.
    """
    values = resolve_block(scope, place)
    inside = place.inside("coefficients")
    coefficients = resolve_block(scope, inside) if inside.block else None
    if values is None or (inside.block and coefficients is None):
        return None
    told = _check_law(values, coefficients)
    if told is not None:
        scope.diagnostics.append(told)
        return None
    return BudgetSpec(
        name=place.root.name,
        doc=place.root.doc,
        tokens=_integer(values, "tokens"),
        steps=_integer(values, "steps"),
        train_flops=_integer(values, "train_flops"),
        hours=float(Fraction(values.exact("hours")) / HOUR_SECONDS) if "hours" in values else None,
        law=values.word("law") if "law" in values else None,
        count=values.word("count") if "count" in values and "law" in values else None,
        tokens_per_param=_tokens_per_param(values),
        sparsity=_real(values, "sparsity"),
        max_sparsity=_real(values, "max_sparsity"),
        equal_to=_run_name(values),
        coefficients=_coefficients(coefficients) if coefficients else None,
    )


def _check_law(values: Values, coefficients: Values | None) -> Diagnostic | None:
    """The law counts what it was fitted with, and has coefficients, its own or the user's."""
    if "law" not in values:
        return codes.coefficients_in_vain(coefficients.place.span, None) if coefficients else None
    law, count = LAWS[values.word("law")], values.word("count")
    if count not in (*law.counts, "step_time"):
        return codes.law_counts_otherwise(values.span("count"), law.name, count, law.counts, law.n_means)
    if law.coefficients and coefficients:
        return codes.coefficients_in_vain(coefficients.place.span, law.name)
    if not law.coefficients and not coefficients:
        return codes.no_coefficients(values.span("law"), law.name, law.source)
    return None


def _run_name(values: Values) -> str | None:
    named = values.fields.get("equal_to")
    return named.name if isinstance(named, BlockName) else None


def _coefficients(values: Values) -> YunCoefficients:
    return YunCoefficients(**{info.name: values.real(info.name) for info in COEFFICIENTS.fields})


def _real(values: Values, name: str) -> float | None:
    return values.real(name) if name in values else None


def _tokens_per_param(values: Values) -> float | None:
    if "law" not in values:
        return None
    if "tokens_per_param" in values:
        return values.real("tokens_per_param")
    return TOKENS_PER_PARAM if values.is_word("law", "chinchilla") else None


def _integer(values: Values, name: str) -> int | None:
    return values.integer(name) if name in values else None
