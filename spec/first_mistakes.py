"""Many diagnostics -> as many as a person reads. Past the limit more mistakes only hide the first ones."""

from __future__ import annotations

from collections.abc import Iterable

from moec.spec.codes import syntax as codes
from moec.spec.codes.names import FOLLOW_FROM_BROKEN_TEXT
from moec.spec.diagnostics import Diagnostic, in_order
from moec.spec.limits import MAX_DIAGNOSTICS


def without_followers(diagnostics: Iterable[Diagnostic], broken: bool) -> tuple[Diagnostic, ...]:
    """`diagnostics`, without those that may only repeat a mistake in the text where that is `broken`: what could not be
    read is then missing, or never used.
    """
    return tuple(one for one in diagnostics if not (broken and one.code in FOLLOW_FROM_BROKEN_TEXT))


def first_mistakes(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """`diagnostics` in order: the first MAX_DIAGNOSTICS errors, and as many warnings.

    Errors: MOE1039 in place of further errors.
    """
    told = in_order(diagnostics)
    errors = [one for one in told if one.severity == "error"]
    warnings = [one for one in told if one.severity == "warning"][:MAX_DIAGNOSTICS]
    if len(errors) > MAX_DIAGNOSTICS:
        errors = [*errors[:MAX_DIAGNOSTICS], codes.too_many_mistakes(errors[MAX_DIAGNOSTICS - 1].span)]
    return in_order((*errors, *warnings))
