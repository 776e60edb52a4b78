"""MOE21xx: values, their types, units and ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Fix, Label
from moec.spec.near import nearest
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE2101", "error", "a field holds the wrong kind of value"),
    CodeInfo("MOE2102", "error", "a number has the wrong unit for its field"),
    CodeInfo("MOE2103", "error", "two units do not go together"),
    CodeInfo("MOE2104", "error", "a number is out of range"),
    CodeInfo("MOE2105", "error", "a number is not whole"),
    CodeInfo("MOE2106", "error", "a word is not among those that a field knows"),
    CodeInfo("MOE2107", "error", "division by zero"),
    CodeInfo("MOE2108", "error", "a number is too large to work with"),
    CodeInfo("MOE2109", "error", "a function is unknown"),
    CodeInfo("MOE2110", "error", "a function is given the wrong number of values"),
    CodeInfo("MOE2111", "warning", "a decimal suffix stands where a binary one is usual"),
    CodeInfo("MOE2112", "error", "an expression leans on too many others"),
    CodeInfo("MOE2113", "error", "an operator does not take such a value"),
    CodeInfo("MOE2114", "error", "a list stands inside a list"),
    CodeInfo("MOE2115", "error", "a list has the wrong length"),
    CodeInfo("MOE2117", "error", "the hardware is unknown"),
    CodeInfo("MOE2118", "error", "`devices` and `topology` disagree"),
    CodeInfo("MOE2119", "error", "a hardware file cannot be used"),
    CodeInfo("MOE2120", "error", "shares do not sum to 1"),
    CodeInfo("MOE2121", "error", "a value is given twice in a list"),
    CodeInfo("MOE2122", "error", "no topology of the hardware has so many devices"),
)


def listed(names: Iterable[str]) -> str:
    """`a`, `b` or `c`, each in backticks."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1] if quoted else "nothing"


def wrong_type(span: Span, field: str, wanted: str, found: str, example: str) -> Diagnostic:
    helps = (f"for example `{field} = {example}`",) if example else ()
    return Diagnostic(
        "MOE2101", "error", f"`{field}` takes {wanted}, not {found}", span, f"this is {found}", helps=helps
    )


def wrong_unit(span: Span, field: str, wanted: str, found: str, example: str) -> Diagnostic:
    helps = (f"for example `{field} = {example}`",) if example else ()
    return Diagnostic(
        "MOE2102", "error", f"`{field}` takes {wanted}, this is {found}", span, f"in {found}", helps=helps
    )


def units_differ(span: Span, operator: str, left: str, right: str, sides: tuple[Span, Span]) -> Diagnostic:
    labels = (Label(sides[0], left), Label(sides[1], right))
    return Diagnostic("MOE2103", "error", f"`{operator}` cannot join {left} and {right}", span, others=labels)


def out_of_range(span: Span, field: str, value: str, rule: str) -> Diagnostic:
    return Diagnostic("MOE2104", "error", f"`{field}` must be {rule}, not {value}", span, f"this is {value}")


def not_whole(span: Span, field: str, value: str, nearby: tuple[str, str]) -> Diagnostic:
    message = f"`{field}` must be a whole number, not {value}"
    helps = (f"nearest values: {nearby[0]} or {nearby[1]}; `//`, `floor`, `ceil` and `round_up` give whole numbers",)
    return Diagnostic("MOE2105", "error", message, span, f"this is {value}", helps=helps)


def unknown_word(span: Span, field: str, word: str, words: tuple[str, ...]) -> Diagnostic:
    near = nearest(word, words)
    fixes = (Fix(f"write `{near}`", span, near),) if near else ()
    helps = (f"did you mean `{near}`?",) if near else ()
    message = f"`{field}` does not know `{word}`"
    return Diagnostic("MOE2106", "error", message, span, helps=(*helps, f"it is {listed(words)}"), fixes=fixes)


def division_by_zero(span: Span, divisor: Span) -> Diagnostic:
    return Diagnostic("MOE2107", "error", "this divides by zero", span, others=(Label(divisor, "this is 0"),))


def too_large(span: Span) -> Diagnostic:
    notes = ("numbers are exact, and hold at most 4096 bits above and below the fraction line",)
    return Diagnostic("MOE2108", "error", "this number is too large or too fine to work with", span, notes=notes)


def unknown_function(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    known = tuple(known)
    near = nearest(name, known)
    fixes = (Fix(f"write `{near}`", span, near),) if near else ()
    helps = (f"did you mean `{near}`?",) if near else ()
    return Diagnostic(
        "MOE2109",
        "error",
        f"there is no function `{name}`",
        span,
        helps=(*helps, f"there are {listed(known)}"),
        fixes=fixes,
    )


def wrong_arguments(span: Span, name: str, wanted: str, given: int) -> Diagnostic:
    return Diagnostic("MOE2110", "error", f"`{name}` takes {wanted}, not {given}", span)


def decimal_suffix(span: Span, field: str, written: str, value: int, binary: str, binary_value: int) -> Diagnostic:
    return Diagnostic(
        "MOE2111",
        "warning",
        f"`{written}` is {value}; did you mean `{binary}`, {binary_value}?",
        span,
        helps=(f"write `{field} = {value}` if {value} is meant",),
        fixes=(Fix(f"write `{binary}`", span, binary),),
    )


def chain_too_long(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2112", "error", "this expression leans on too long a chain of others", span, helps=("write the value out",)
    )


def wrong_operand(span: Span, operator: str, wanted: str, found: str) -> Diagnostic:
    return Diagnostic("MOE2113", "error", f"`{operator}` takes {wanted}, not {found}", span, f"this is {found}")


def nested_list(span: Span) -> Diagnostic:
    return Diagnostic("MOE2114", "error", "a list cannot hold a list", span)


def wrong_length(span: Span, field: str, wanted: str, found: int, other: Label | None = None) -> Diagnostic:
    others = (other,) if other else ()
    return Diagnostic("MOE2115", "error", f"`{field}` takes {wanted}, here are {found}", span, others=others)


def unknown_hardware(span: Span, name: str, known: tuple[str, ...]) -> Diagnostic:
    near = nearest(name, known)
    fixes = (Fix(f"write `{near}`", span, near),) if near else ()
    helps = (f"did you mean `{near}`?",) if near else ()
    listing = f'there are {listed(known)}; a file of your own is `hardware = "my_chip.yaml"`'
    return Diagnostic("MOE2117", "error", f"there is no hardware `{name}`", span, helps=(*helps, listing), fixes=fixes)


def devices_conflict(span: Span, devices: int, formula: str, found: int, topology: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2118",
        "error",
        f"`devices = {devices}` does not agree with the topology, which has {found}",
        span,
        f"{devices} here",
        (Label(topology, f"{found} from here"),),
        check=f"{formula} == {found}",
        helps=("leave `devices` out: it follows from the topology",),
    )


def bad_hardware_file(span: Span, path: str, why: str) -> Diagnostic:
    return Diagnostic(
        "MOE2119",
        "error",
        f"the hardware file `{path}` cannot be used: {why}",
        span,
        helps=("`moec explain mesh.hardware` tells what such a file holds",),
    )


def shares_do_not_sum(span: Span, field: str, total: str) -> Diagnostic:
    return Diagnostic("MOE2120", "error", f"`{field}` must sum to 1, not {total}", span)


def repeated_item(span: Span, value: str, first: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2121", "error", f"`{value}` is in this list already", span, others=(Label(first, "first here"),)
    )


def no_such_topology(span: Span, hardware: str, devices: int, near: tuple[int, ...]) -> Diagnostic:
    nearby = " or ".join(str(count) for count in near)
    return Diagnostic(
        "MOE2122",
        "error",
        f"no topology of `{hardware}` has {devices} devices",
        span,
        helps=(f"nearest values: {nearby}; or write the `topology`",),
    )
