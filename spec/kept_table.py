"""The LALR table kept between processes: to work it out costs a quarter of a short `moec check`."""

from __future__ import annotations

from moec.spec.kept import keep, read_kept
from moec.spec.table import Reduction, Table

NAME = "grammar.json"


def read_table(grammar: str) -> Table | None:
    """The table that was kept for just this grammar, or none."""
    try:
        kept = read_kept(NAME, grammar)
        actions = {
            int(state): {symbol: _action(told) for symbol, told in row.items()} for state, row in kept["actions"]
        }
        return Table(actions, int(kept["start"]), int(kept["end"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def keep_table(grammar: str, table: Table) -> None:
    """Keeps the table for later processes."""
    actions = list(table.actions.items())
    keep(NAME, grammar, {"start": table.start, "end": table.end, "actions": actions})


def _action(told: object) -> int | Reduction:
    match told:
        case int():
            return told
        case [int(size), str(origin), str() | None as build]:
            return Reduction(size, origin, build)
    raise ValueError(told)
