"""Where in the user's text a field of a run was written."""

from __future__ import annotations

from moec.compiler.typed import RunSpec
from moec.spec.source import Span


def place(run: RunSpec, path: str) -> Span:
    """The span that gave the field at the dotted `path`; that of the nearest block around it where the field is
    not known."""
    while path:
        if path in run.origins:
            return run.origins[path]
        path = path.rpartition(".")[0]
    return run.span
