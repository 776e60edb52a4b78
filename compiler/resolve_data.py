"""data block -> DataSpec."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import DataSpec
from moec.spec.codes import types as codes
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.values import Quantity, show

SHARE_TOLERANCE: Final = Fraction(1, 10**9)
"""How far shares may be from 1 together. Assumption: lets thirds be written as decimals of a 64-bit float."""


def resolve_data(scope: Scope, place: Place) -> DataSpec | None:
    """The data, None where something is wrong with it.

    Errors: MOE2115, MOE2120, and those of `resolve_block`.
    """
    values = resolve_block(scope, place)
    if values is None:
        return None
    mixture = _mixture(values)
    if isinstance(mixture, Diagnostic):
        scope.diagnostics.append(mixture)
        return None
    return DataSpec(
        name=place.root.name,
        doc=place.root.doc,
        sources=values.texts("source"),
        mixture=mixture,
        format=values.word("format"),
        text_field=values.text("text_field"),
        tokenizer=values.text("tokenizer"),
        split=values.real("split"),
        packing=values.word("packing"),
        seed=values.integer("seed"),
    )


def _mixture(values: Values) -> tuple[float, ...] | Diagnostic:
    """The shares as written, or equal ones."""
    sources = len(values.items("source"))
    if "mixture" not in values:
        return (1 / sources,) * sources
    shares = [item.amount for item in values.items("mixture") if isinstance(item, Quantity)]
    span = values.span("mixture")
    if len(shares) != sources:
        other = Label(values.span("source"), f"{sources} here")
        return codes.wrong_length(span, "mixture", f"one share for each `source`, {sources}", len(shares), other)
    total = Fraction(sum(shares))
    if abs(total - 1) > SHARE_TOLERANCE:
        return codes.shares_do_not_sum(span, "mixture", show(Quantity(total)))
    return tuple(float(share) for share in shares)
