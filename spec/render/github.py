"""Workflow commands that GitHub shows as annotations of a pull request.

Source: GitHub Docs, "Workflow commands for GitHub Actions", `::error` and `::warning`; escapes as in actions/toolkit.
"""

from __future__ import annotations

from collections.abc import Iterable

from moec.spec.diagnostics import Diagnostic
from moec.spec.render.visible import positions, visible
from moec.spec.source import Sources


def render_github(diagnostics: Iterable[Diagnostic], sources: Sources) -> str:
    """A line for each of `diagnostics`, in their order."""
    return "".join(f"{_command(diagnostic, sources)}\n" for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic, sources: Sources) -> str:
    start, end = positions(diagnostic.span, sources)
    properties = {
        "file": diagnostic.span.file,
        "line": str(start.line),
        "col": str(start.column),
        "endLine": str(end.line),
        "endColumn": str(end.column),
        "title": diagnostic.code,
    }
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    text = "\n".join((diagnostic.message, *(f"help: {text}" for text in diagnostic.helps)))
    return f"::{diagnostic.severity} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
