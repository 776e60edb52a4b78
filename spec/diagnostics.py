"""What moec tells a user about a spec. Constructors live in `spec/codes/`, one per code; printing in `spec/render/`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from moec.spec.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that matters, with a few words on why."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A textual mend that a tool may apply: replace `span` by `replacement`."""

    title: str
    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake or doubt: stable `code`, what is wrong, the smallest span at fault, and how to mend it."""

    code: str
    severity: Severity
    message: str
    span: Span
    label: str = ""
    others: tuple[Label, ...] = ()
    check: str = ""
    helps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of `diagnostics` forbids going on to compile."""
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by file and place, each told once."""
    unique = dict.fromkeys(diagnostics)
    return tuple(sorted(unique, key=lambda d: (d.span.file, d.span.start, d.code, d.message)))
