"""Two runs -> what to write into the spec of the first to get the second: `model m { experts { d_ff = 172 } }`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moec.compiler.literal import literal
from moec.compiler.run_values import path_in_table, run_values
from moec.compiler.typed import RunSpec
from moec.spec.format_value import format_expression
from moec.spec.source import Span
from moec.spec.values import Value

_NOWHERE = Span("", 0, 0)


def spec_line(before: RunSpec, after: RunSpec) -> str:
    """The fields that differ, in the blocks that hold them, as one line of a spec."""
    old, new = run_values(before), run_values(after)
    changed = {path_in_table(path): value for path, value in new.items() if old.get(path) != value}
    names = {"model": before.model.name, "mesh": before.mesh.name, "budget": before.budget.name, "run": before.name}
    return ", ".join(
        f"{kind} {names[kind]} {{ {_inside(fields)} }}" for kind, fields in _by_first(changed.items()).items()
    )


def _inside(fields: Mapping[str, Value]) -> str:
    """`experts { top_k = 1, d_ff = 688 }`: fields without a block first come as they are."""
    written = []
    for name, inner in _by_first(fields.items()).items():
        if "" in inner:
            written.append(f"{name} = {format_expression(literal(inner[''], _NOWHERE))}")
        else:
            written.append(f"{name} {{ {_inside(inner)} }}")
    return ", ".join(written)


def _by_first(fields: Iterable[tuple[str, Value]]) -> dict[str, dict[str, Value]]:
    """The fields by the first word of their path, each under the rest of it."""
    found: dict[str, dict[str, Value]] = {}
    for path, value in fields:
        first, _, rest = path.partition(".")
        found.setdefault(first, {})[rest] = value
    return found
