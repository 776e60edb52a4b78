"""MOE93xx: comments that allow a warning."""

from __future__ import annotations

from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE9301", "warning", "an allowance is not followed"),
    CodeInfo("MOE9302", "warning", "an allowance that nothing needs"),
)


def allowance_not_followed(span: Span, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE9301",
        "warning",
        f"this allows nothing: {why}",
        span,
        helps=("write the code of a warning and why it does not matter here: `# moec: allow MOE9102: routed by hand`",),
    )


def allowance_unused(span: Span, code: str) -> Diagnostic:
    return Diagnostic(
        "MOE9302",
        "warning",
        f"nothing tells {code} here",
        span,
        helps=("take the comment out, or put it on the line of the warning or on the one above",),
    )
