"""Derivation -> Fact: a derived number as reports print it."""

from __future__ import annotations

from collections.abc import Iterable

from moec.compiler.places import Places
from moec.compiler.plan import Derivation, Plan
from moec.compiler.report.document import Fact, Facts
from moec.compiler.units import Number, count, duration, exact, flops, size

_FROM_HERE_ON = 10_000
"""Counts from here on are also printed short."""


def facts(plan: Plan, places: Places, prefixes: Iterable[str]) -> tuple[Facts, ...]:
    """The derivations whose names begin with one of `prefixes`, as one part; () where there are none."""
    starts = tuple(prefixes)
    found = tuple(fact(row, places) for row in plan.derivations if row.name.startswith(starts))
    return (Facts(found),) if found else ()


def fact(row: Derivation, places: Places) -> Fact:
    """Name, value with unit, formula with its inputs, source, place."""
    place = places.of(row.origin)
    return Fact(row.name, value(row.value, row.unit), _formula(row), row.source, str(place) if place else "")


def value(number: Number | str, unit: str) -> str:
    """The exact number with its unit and, where that helps, the short form: `1,376,512 parameters (1.38 M)`."""
    if isinstance(number, str):
        return f"{number} {unit}".rstrip()
    short = _short(number, unit)
    shown = f"{exact(number)} {unit}".rstrip()
    return f"{shown} ({short})" if short else shown


def _short(number: Number, unit: str) -> str:
    if unit.startswith("byte") and abs(number) >= 1024:
        return size(number)
    if unit in ("s", "seconds"):
        return duration(float(number))
    if abs(number) < _FROM_HERE_ON:
        return ""
    return flops(number) if unit.upper().startswith("FLOP") else count(number)


def _formula(row: Derivation) -> str:
    inputs = ", ".join(f"{name} = {exact(given)}" for name, given in row.inputs.items())
    return f"{row.formula}  with {inputs}" if inputs and row.formula else row.formula or inputs
