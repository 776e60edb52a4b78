"""Derivation -> Fact: a derived number as reports print it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from moec.compiler.formula_text import worked_out
from moec.compiler.places import Places
from moec.compiler.plan import Derivation, Plan
from moec.compiler.report.document import Fact, Facts
from moec.compiler.units import Number, count, duration, exact, flops, singular, size

_FROM_HERE_ON = 10_000
"""Counts from here on are also printed short."""


def facts(plan: Plan, places: Places, *names: str) -> tuple[Facts, ...]:
    """The derivations of these names as one part; a name that ends in a dot stands for all that begin with it."""
    found = tuple(fact(row, places) for name in names for row in plan.derivations if _is_named(row, name))
    return (Facts(found),) if found else ()


def _is_named(row: Derivation, name: str) -> bool:
    return row.name.startswith(name) if name.endswith(".") else row.name == name


def fact(row: Derivation, places: Places) -> Fact:
    """Name, value with unit, formula with its numbers, source, place."""
    place = places.of(row.origin)
    return Fact(row.name, value(row.value, row.unit), worked_out(row), row.source, str(place) if place else "")


def value(number: Number | str, unit: str) -> str:
    """The exact number with its unit and, where that helps, the short form: `1,376,512 parameters (1.38 M)`."""
    if isinstance(number, str):
        return f"{number} {unit}".rstrip()
    short = _short(number, unit)
    shown = f"{exact(number)} {unit if number != 1 else singular(unit)}".rstrip()
    return f"{shown} ({short})" if short else shown


def _short(number: Number, unit: str) -> str:
    magnitude = abs(Fraction(number))
    if unit.startswith("byte") and magnitude >= 1024:
        return size(number)
    if unit in ("s", "seconds"):
        return duration(float(number))
    if magnitude < _FROM_HERE_ON:
        return ""
    return flops(number) if unit.upper().startswith("FLOP") else count(number)


def sources(rows: Iterable[Derivation]) -> str:
    """The sources of `rows`, each once."""
    return "; ".join(dict.fromkeys(row.source for row in rows if row.source))
