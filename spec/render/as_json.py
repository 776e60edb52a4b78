"""Diagnostics for programs: a JSON list with the keys that `docs/language.md` fixes.

Lines and columns count from 1, columns in code points; `end` is the place behind the last character.
What a label says at its place, and the rule that was checked, are among the notes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from moec.spec.diagnostics import Diagnostic, Fix
from moec.spec.render.visible import positions
from moec.spec.source import Sources, Span


def render_json(diagnostics: Iterable[Diagnostic], sources: Sources) -> str:
    """A JSON list with an object for each of `diagnostics`, in their order."""
    return json.dumps([as_object(diagnostic, sources) for diagnostic in diagnostics], indent=2) + "\n"


def as_object(diagnostic: Diagnostic, sources: Sources) -> dict[str, Any]:
    """`diagnostic` in plain values."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": diagnostic.span.file,
        **_range(diagnostic.span, sources),
        "notes": [*_label_notes(diagnostic, sources), *diagnostic.notes],
        "help": list(diagnostic.helps),
        "fixes": [_fix(fix, sources) for fix in diagnostic.fixes],
    }


def _label_notes(diagnostic: Diagnostic, sources: Sources) -> list[str]:
    notes = [diagnostic.label] if diagnostic.label else []
    for other in diagnostic.others:
        start, _ = positions(other.span, sources)
        notes.append(f"{other.span.file}:{start.line}:{start.column}: {other.text}")
    if diagnostic.check:
        notes.append(f"check: {diagnostic.check}")
    return notes


def _fix(fix: Fix, sources: Sources) -> dict[str, Any]:
    return {
        "title": fix.title,
        "file": fix.span.file,
        **_range(fix.span, sources),
        "replacement": fix.replacement,
    }


def _range(span: Span, sources: Sources) -> dict[str, Any]:
    start, end = positions(span, sources)
    return {
        "start": {"line": start.line, "column": start.column},
        "end": {"line": end.line, "column": end.column},
    }
