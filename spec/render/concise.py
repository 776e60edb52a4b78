"""One line per diagnostic: `tiny.moe:12:13: error[MOE3102]: …`."""

from __future__ import annotations

from collections.abc import Iterable

from moec.spec.diagnostics import Diagnostic
from moec.spec.render.visible import positions, visible
from moec.spec.source import Sources


def render_concise(diagnostics: Iterable[Diagnostic], sources: Sources) -> str:
    """A line for each of `diagnostics`, in their order."""
    return "".join(f"{_line(diagnostic, sources)}\n" for diagnostic in diagnostics)


def _line(diagnostic: Diagnostic, sources: Sources) -> str:
    start, _ = positions(diagnostic.span, sources)
    place = f"{diagnostic.span.file}:{start.line}:{start.column}"
    text = f"{place}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    return visible(text.replace("\n", " "))
