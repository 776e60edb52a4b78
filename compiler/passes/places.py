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


def is_written(run: RunSpec, path: str) -> bool:
    """Whether the field at `path` is written and not a default: a default has the span of the block that would hold it,
    which is that of other defaults too, or lies around what is written there.
    """
    span, block = run.origins.get(path), path.rpartition(".")[0]
    if span is None:
        return False
    beside = [other for name, other in run.origins.items() if name != path and name.rpartition(".")[0] == block]
    return not any(span.start <= other.start and other.end <= span.end for other in beside)
