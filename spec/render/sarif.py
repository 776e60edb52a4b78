"""Diagnostics as SARIF, which code hosts and editors read.

Source: OASIS Standard, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from moec.spec.codes.registry import CODES
from moec.spec.diagnostics import Diagnostic, Fix
from moec.spec.render.visible import positions
from moec.spec.source import Sources, Span

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(diagnostics: Iterable[Diagnostic], sources: Sources) -> str:
    """One SARIF log with one run, and a result for each of `diagnostics`, in their order."""
    told = tuple(diagnostics)
    rules = sorted({diagnostic.code for diagnostic in told})
    run = {
        "tool": {"driver": {"name": "moec", "rules": [_rule(code) for code in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, rules.index(diagnostic.code), sources) for diagnostic in told],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> dict[str, Any]:
    info = CODES.get(code)
    if info is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": info.title},
        "defaultConfiguration": {"level": info.severity},
    }


def _result(diagnostic: Diagnostic, rule: int, sources: Sources) -> dict[str, Any]:
    check = (f"check: {diagnostic.check}",) if diagnostic.check else ()
    helps = tuple(f"help: {text}" for text in diagnostic.helps)
    text = "\n".join((diagnostic.message, *check, *helps, *(f"note: {text}" for text in diagnostic.notes)))
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": text},
        "locations": [_location(diagnostic.span, sources, diagnostic.label)],
    }
    if diagnostic.others:
        result["relatedLocations"] = [_location(other.span, sources, other.text) for other in diagnostic.others]
    if diagnostic.fixes:
        result["fixes"] = [_fix(fix, sources) for fix in diagnostic.fixes]
    return result


def _location(span: Span, sources: Sources, text: str) -> dict[str, Any]:
    place = {"artifactLocation": _artifact(span), "region": _region(span, sources)}
    return {"physicalLocation": place, "message": {"text": text}} if text else {"physicalLocation": place}


def _artifact(span: Span) -> dict[str, str]:
    return {"uri": quote(span.file, errors="surrogatepass")}


def _region(span: Span, sources: Sources) -> dict[str, int]:
    start, end = positions(span, sources)
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }


def _fix(fix: Fix, sources: Sources) -> dict[str, Any]:
    replacement = {
        "deletedRegion": _region(fix.span, sources),
        "insertedContent": {"text": fix.replacement},
    }
    return {
        "description": {"text": fix.title},
        "artifactChanges": [{"artifactLocation": _artifact(fix.span), "replacements": [replacement]}],
    }
