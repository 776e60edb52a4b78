"""What is known of a code before any spec is read."""

from __future__ import annotations

from dataclasses import dataclass

from moec.spec.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """A code, never reused, with how grave it is and a title for lists."""

    code: str
    severity: Severity
    title: str
