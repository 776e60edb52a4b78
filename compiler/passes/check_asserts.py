"""RunSpec and derived numbers -> diagnostics: every `assert` of the run holds.

An assert may name `plan.*` (the names of `moec plan --format json`), `hardware.*` and the fields of its run; a
failure shows the value of every part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from moec.compiler.plan import Derivation, Number
from moec.compiler.run_values import run_values, words_behind
from moec.compiler.typed import AssertSpec, RunSpec
from moec.spec.codes import names as name_codes
from moec.spec.codes import run as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.expressions import Environment, evaluate, explain
from moec.spec.formatter import format_expression
from moec.spec.hardware import Hardware
from moec.spec.syntax import Reference
from moec.spec.values import (
    BYTES,
    BYTES_PER_SECOND,
    FLOPS,
    FLOPS_PER_SECOND,
    PLAIN,
    SECONDS,
    Dimension,
    Error,
    Quantity,
    Truth,
    Value,
    Word,
    describe,
    show,
)

DIMENSION_OF_UNIT: Final[Mapping[str, Dimension]] = {"bytes": BYTES, "FLOPs": FLOPS, "seconds": SECONDS}
"""Units of derivations that a spec can write; all others are plain numbers."""


def check_asserts(run: RunSpec, derivations: tuple[Derivation, ...]) -> tuple[Diagnostic, ...]:
    """Errors: MOE2004 (no such number), MOE8201, MOE8202, and those of expressions."""
    known = dict(run_values(run))
    known |= {f"plan.{name}": value for name, value in plan_values(derivations).items()}
    known |= {f"hardware.{name}": value for name, value in hardware_values(run.mesh.hardware).items()}
    environment = Environment(Finder(known).find, lambda reference: words_behind(reference.dotted))
    return tuple(told for one in run.asserts for told in check_assert(run, one, environment))


@dataclass(frozen=True, slots=True)
class Finder:
    """Gives references their values out of a table of dotted names."""

    known: Mapping[str, Value]

    def find(self, reference: Reference, depth: int) -> Value | Error:
        """The value, or an error that lists what has this beginning."""
        if reference.dotted in self.known:
            return self.known[reference.dotted]
        return Error((name_codes.unknown_name(reference.span, reference.dotted, self.known),))


def check_assert(run: RunSpec, one: AssertSpec, environment: Environment) -> Iterator[Diagnostic]:
    """Nothing if it holds."""
    value = evaluate(one.condition, environment)
    if isinstance(value, Error):
        yield from value.diagnostics
    elif not isinstance(value, Truth):
        yield codes.assert_is_no_condition(one.condition.span, describe(value))
    elif not value.value:
        text = format_expression(one.condition)
        parts = explain(one.condition, environment)
        values = tuple((part, show(worth)) for part, worth in parts if part != text)
        yield codes.assert_fails(one.condition.span, text, one.why, values, run.name)


def plan_values(derivations: tuple[Derivation, ...]) -> dict[str, Value]:
    """Every derived number under its own name."""
    return {one.name: value_of(one.value, DIMENSION_OF_UNIT.get(one.unit, PLAIN)) for one in derivations}


def exact(value: Number) -> int | Fraction:
    """The number itself; a float is the fraction that it stands for."""
    return value if isinstance(value, int) else Fraction(value)


def value_of(value: Number | str, dimension: Dimension) -> Value:
    """A number with its dimension, or a word."""
    if isinstance(value, str):
        return Word(value)
    return Quantity(exact(value), dimension)


def hardware_values(hardware: Hardware) -> dict[str, Value]:
    """What an assert may ask of the chip."""
    flops = {f"peak_flops_per_second.{dtype}": rate for dtype, rate in hardware.peak_flops_per_second.items()}
    return {
        "name": Word(hardware.name),
        "platform": Word(hardware.platform),
        "hbm": Quantity(hardware.hbm_bytes, BYTES),
        "hbm_bytes_per_second": Quantity(exact(hardware.hbm_bytes_per_second), BYTES_PER_SECOND),
        "link_bytes_per_second": Quantity(exact(hardware.link_bytes_per_second), BYTES_PER_SECOND),
        "network_bytes_per_second": Quantity(exact(hardware.network_bytes_per_second), BYTES_PER_SECOND),
        **{name: Quantity(exact(rate), FLOPS_PER_SECOND) for name, rate in flops.items()},
    }
