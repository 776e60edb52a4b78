"""A derivation's formula with its numbers put in, as comments of programs and reports print it."""

from __future__ import annotations

import re

from moec.compiler.plan import Derivation, Plan
from moec.compiler.units import exact, singular

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def derivation(plan: Plan, name: str) -> Derivation | None:
    """The derivation of that name, None where this plan has no such number."""
    return next((row for row in plan.derivations if row.name == name), None)


def substituted(row: Derivation) -> str:
    """`ceil(2 * 256 * 1.25 / 8)`: every input of the formula as a number."""
    return _WORD.sub(lambda word: exact(row.inputs[word[0]]) if word[0] in row.inputs else word[0], row.formula)


def worked_out(row: Derivation) -> str:
    """`ceil(top_k * S / E) = ceil(2 * 256 / 8)`; the formula alone where it says no more than the value."""
    if not row.formula or row.formula in row.inputs or not row.inputs:
        return ""
    return f"{row.formula} = {substituted(row)}"


def mentioned(plan: Plan, name: str) -> str:
    """`capacity: ceil(…) = ceil(…) is 80 slots`, "" where this plan has no such number."""
    row = derivation(plan, name)
    if row is None:
        return ""
    worked = worked_out(row)
    equation = f"{worked} is " if worked else ""
    unit = singular(row.unit) if row.value == 1 else row.unit
    return f"{name}: {equation}{exact(row.value)} {unit}".rstrip()
