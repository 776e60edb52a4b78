"""Expressions are worked out exactly, with units, and always soon done."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.spec.codes import names
from moec.spec.expressions import Environment, evaluate, explain, references
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.syntax import Expression, Field, Reference
from moec.spec.values import BYTES, PLAIN, SECONDS, Dimension, Error, Many, Quantity, Text, Truth, Value, Word

KNOWN: dict[str, Value] = {
    "heads": Quantity(12),
    "hbm": Quantity(80 * 10**9, BYTES),
    "kind": Word("swiglu"),
    "on": Truth(True),
    "plan.tokens": Quantity(2**20),
    "broken": Quantity(0),
}


def find(reference: Reference, depth: int) -> Value | Error:
    if reference.dotted == "broken":
        return Error()
    value = KNOWN.get(reference.dotted)
    return value or Error((names.unknown_name(reference.span, reference.dotted, KNOWN),))


def words(reference: Reference) -> tuple[str, ...]:
    return ("swiglu", "gelu") if reference.dotted == "kind" else ()


ENVIRONMENT = Environment(find, words, ("auto",))


def expression(text: str) -> Expression:
    file, diagnostics = parse(Source("a.moe", f"x = {text}\n"))
    assert diagnostics == ()
    (field,) = file.statements
    assert isinstance(field, Field)
    return field.value


def value(text: str) -> Value | Error:
    return evaluate(expression(text), ENVIRONMENT)


def codes(text: str) -> list[str]:
    result = value(text)
    assert isinstance(result, Error)
    return [told.code for told in result.diagnostics]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", Fraction(7, 2)),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("128 * heads", 1536),
        ("--3", 3),
        ("1 if heads > 3 else 2", 1),
        ("1 if heads < 3 or not on else 2", 2),
        ("min(3, 1, 2)", 1),
        ("max([3, 1, 2])", 3),
        ("ceil(7 / 2)", 4),
        ("floor(-7 / 2)", -4),
        ("round_up(1000, 128)", 1024),
        ("round_up(1024, 128)", 1024),
        ("sqrt(144)", 12),
        ("sqrt(1 / 4)", Fraction(1, 2)),
        ("log2(4096)", 12),
        ("log2(1 / 8)", -3),
        ("sum([1, 2, 3])", 6),
        ("sum([])", 0),
        ("len([1, 2, 3])", 3),
        ("8 * 10 - 4 - 3", 73),
    ],
)
def test_arithmetic_is_exact(text: str, amount: int | Fraction) -> None:
    assert value(text) == Quantity(amount)


@given(
    st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9).filter(bool), st.sampled_from(["+", "-", "*", "//", "%"])
)
def test_whole_numbers_do_as_in_python(left: int, right: int, operator: str) -> None:
    meant = {"+": left + right, "-": left - right, "*": left * right, "//": left // right, "%": left % right}[operator]
    assert value(f"({left}) {operator} ({right})") == Quantity(meant)


@given(st.integers(1, 10**12), st.integers(1, 10**6))
def test_roots_and_logarithms_are_right_to_far_behind_the_point(top: int, bottom: int) -> None:
    number = Fraction(top, bottom)
    root, power = value(f"sqrt({top} / {bottom})"), value(f"log2({top} / {bottom})")
    assert isinstance(root, Quantity)
    assert isinstance(power, Quantity)
    assert abs(Fraction(root.amount) ** 2 - number) <= number / 2**40
    assert float(power.amount) == pytest.approx(__import__("math").log2(number), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "amount", "dimension"),
    [
        ("0.9 * hbm", 72 * 10**9, BYTES),
        ("hbm / 4GB", 20, PLAIN),
        ("hbm / 2s", 40 * 10**9, Dimension(bytes=1, seconds=-1)),
        ("hbm / 2TB/s", Fraction(4, 100), SECONDS),
        ("3GB + 1GiB", 3 * 10**9 + 2**30, BYTES),
        ("sqrt(4s * 9s)", 6, SECONDS),
        ("max(1s, 1min)", 60, SECONDS),
    ],
)
def test_units_go_along(text: str, amount: int | Fraction, dimension: Dimension) -> None:
    assert value(text) == Quantity(amount, dimension)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("hbm > 79GB", True),
        ("heads == 12", True),
        ("heads != 12", False),
        ("kind == swiglu", True),
        ("gelu == kind", False),
        ('"a" == "a"', True),
        ("on and heads < 3", False),
        ("heads > 3 or missing", True),
        ("heads < 3 and missing", False),
    ],
)
def test_conditions_hold_or_do_not(text: str, truth: bool) -> None:
    assert value(text) == Truth(truth)


def test_words_of_the_place_are_words_and_texts_are_texts() -> None:
    assert value("auto") == Word("auto")
    assert value('[auto, "b"]') == Many((Word("auto"), Text("b")))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hbm + 5s", "MOE2103"),
        ("hbm < 5", "MOE2103"),
        ("hbm == 5s", "MOE2103"),
        ("min(1, 1s)", "MOE2103"),
        ("1 / (heads - 12)", "MOE2107"),
        ("1 % 0", "MOE2107"),
        ("round_up(3, 0)", "MOE2107"),
        ("1e999999999", "MOE2108"),
        ("power(2, 3)", "MOE2109"),
        ("round_up(3)", "MOE2110"),
        ("ceil(1, 2)", "MOE2110"),
        ("len(1, 2)", "MOE2110"),
        ("min()", "MOE2110"),
        ('1 + "a"', "MOE2113"),
        ("not 3", "MOE2113"),
        ("-on", "MOE2113"),
        ("1 if 3 else 2", "MOE2113"),
        ("heads and on", "MOE2113"),
        ("on and heads", "MOE2113"),
        ("sqrt(-1)", "MOE2113"),
        ("sqrt(1s)", "MOE2113"),
        ("log2(0)", "MOE2113"),
        ("len(3)", "MOE2113"),
        ("ceil(auto)", "MOE2113"),
        ("[[1]]", "MOE2114"),
        ("missing", "MOE2004"),
        ("kind == swigluu", "MOE2004"),
    ],
)
def test_what_makes_no_sense_is_told_once(text: str, code: str) -> None:
    assert codes(text) == [code]


def test_two_mistakes_are_told_both() -> None:
    assert codes("missing + power(3)") == ["MOE2004", "MOE2109"]
    assert codes("[missing, hbm + 1]") == ["MOE2004", "MOE2103"]


@pytest.mark.parametrize(
    "text", ["broken + 1", "-broken", "[broken]", "min(broken)", "broken and on", "1 if broken else 2"]
)
def test_what_follows_from_an_error_is_silent(text: str) -> None:
    assert value(text) == Error()


def test_numbers_stop_growing_before_they_hurt() -> None:
    before = time.process_time()
    assert codes(" * ".join(["1e300"] * 90)) == ["MOE2108"]
    assert codes(" / ".join(["1e-300"] * 90)) == ["MOE2108"]
    assert time.process_time() - before < 0.5


def test_a_chain_that_leans_on_itself_ends() -> None:
    def deeper(reference: Reference, depth: int) -> Value | Error:
        return evaluate(expression("x + 1"), Environment(deeper), depth)

    result = evaluate(expression("x"), Environment(deeper))
    assert isinstance(result, Error)
    assert [told.code for told in result.diagnostics] == ["MOE2112"]


def test_explaining_gives_each_part_its_value_from_the_outside_in() -> None:
    parts = explain(expression("plan.tokens < 0.9 * heads * 2"), ENVIRONMENT)
    assert parts == (
        ("plan.tokens < 0.9 * heads * 2", Truth(False)),
        ("plan.tokens", Quantity(2**20)),
        ("0.9 * heads * 2", Quantity(Fraction(108, 5))),
        ("0.9 * heads", Quantity(Fraction(54, 5))),
        ("heads", Quantity(12)),
    )


def test_references_are_found_in_order() -> None:
    found = references(expression("max(a, b.c) if d else [e, -f]"))
    assert [reference.dotted for reference in found] == ["a", "b.c", "d", "e", "f"]
