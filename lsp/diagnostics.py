"""moec's diagnostics -> the editor's."""

from __future__ import annotations

from importlib import resources
from typing import Final

from lsprotocol import types

from moec.lsp.view import View
from moec.spec.diagnostics import Diagnostic

SOURCE: Final = "moec"
_SEVERITIES: Final = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}
_IDLE: Final = frozenset(("MOE2015", "MOE2016", "MOE2017"))
"""Codes of what can be taken away: editors fade it."""


def as_lsp(told: Diagnostic, view: View) -> types.Diagnostic:
    """`told` for the editor: the message with its help below, the page of its code, the other places that matter."""
    return types.Diagnostic(
        range=view.range(told.span),
        message=message_of(told),
        severity=_SEVERITIES[told.severity],
        code=told.code,
        code_description=types.CodeDescription(page_uri(told.code)),
        source=SOURCE,
        tags=[types.DiagnosticTag.Unnecessary] if told.code in _IDLE else None,
        related_information=[
            types.DiagnosticRelatedInformation(view.location(other.span), other.text or "see here")
            for other in told.others
        ],
    )


def message_of(told: Diagnostic) -> str:
    """What is wrong, what was found, the rule, and how to mend it: a line each."""
    lines = [told.message]
    lines += [told.label] if told.label not in ("", "here") else []  # the editor underlines the place itself
    lines += [f"check: {told.check}"] if told.check else []
    lines += [f"help: {text}" for text in told.helps]
    lines += [f"note: {text}" for text in told.notes]
    return "\n".join(lines)


def page_uri(code: str) -> str:
    """Where the page on `code` is on this machine."""
    return f"file://{resources.files('moec.docs').joinpath('errors', f'{code}.md')}"


def by_file(told: tuple[Diagnostic, ...], view: View) -> dict[str, list[types.Diagnostic]]:
    """The editor's diagnostics by the name of their file; the main file has an entry in any case."""
    found: dict[str, list[types.Diagnostic]] = {view.name: []}
    for one in told:
        found.setdefault(view.front.real(one.span).file, []).append(as_lsp(one, view))
    for group in found.values():
        group.sort(key=lambda one: (one.range.start.line, one.range.start.character))
    return found
