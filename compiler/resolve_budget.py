"""budget block -> BudgetSpec."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import BudgetSpec
from moec.spec.codes import types as codes
from moec.spec.fields.budget import HOUR_SECONDS
from moec.spec.syntax import Reference

CHINCHILLA_TOKENS_PER_PARAM: Final = 20.0
"""Source: Hoffmann et al. 2022, arXiv:2203.15556, table 3: about 20 tokens per parameter are compute-optimal."""


def resolve_budget(scope: Scope, place: Place) -> BudgetSpec | None:
    """The budget, None where something is wrong with it.

    Errors: MOE2116, and those of `resolve_block`.
    """
    written = place.written("count")
    if written and isinstance(written.value, Reference) and written.value.dotted == "step_time":
        scope.diagnostics.append(codes.step_time_count(written.value.span))
        return None
    values = resolve_block(scope, place)
    if values is None:
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
    )


def _tokens_per_param(values: Values) -> float | None:
    if "law" not in values:
        return None
    if "tokens_per_param" in values:
        return values.real("tokens_per_param")
    return CHINCHILLA_TOKENS_PER_PARAM if values.is_word("law", "chinchilla") else None


def _integer(values: Values, name: str) -> int | None:
    return values.integer(name) if name in values else None
