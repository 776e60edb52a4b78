"""Numbers are exact, and their suffixes mean what the language says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.spec.quantities import (
    MAX_BITS,
    SUFFIX_VALUES,
    fits,
    product_fits,
    read_number,
    write_float,
    write_number,
)
from moec.spec.values import (
    BYTES,
    BYTES_PER_SECOND,
    FLOPS,
    FLOPS_PER_SECOND,
    PLAIN,
    SECONDS,
    Dimension,
    Quantity,
    dimension_name,
    show,
)


@pytest.mark.parametrize(
    ("text", "amount", "dimension"),
    [
        ("128_256", 128_256, PLAIN),
        ("7B", 7 * 10**9, PLAIN),
        ("1.5T", 15 * 10**11, PLAIN),
        ("32k", 32_000, PLAIN),
        ("4Ki", 4096, PLAIN),
        ("3Ti", 3 * 2**40, PLAIN),
        ("0.1", Fraction(1, 10), PLAIN),
        ("1e-4", Fraction(1, 10**4), PLAIN),
        ("1.25e3", 1250, PLAIN),
        ("80GiB", 80 * 2**30, BYTES),
        ("96GB", 96 * 10**9, BYTES),
        ("1kB", 1000, BYTES),
        ("1PiB", 2**50, BYTES),
        ("3.35TB/s", 335 * 10**10, BYTES_PER_SECOND),
        ("989TFLOP/s", 989 * 10**12, FLOPS_PER_SECOND),
        ("2ZFLOP", 2 * 10**21, FLOPS),
        ("5ms", Fraction(5, 1000), SECONDS),
        ("20min", 1200, SECONDS),
        ("3d", 3 * 86_400, SECONDS),
    ],
)
def test_a_number_is_read_exactly(text: str, amount: int | Fraction, dimension: Dimension) -> None:
    assert read_number(text) == Quantity(amount, dimension)


@pytest.mark.parametrize("text", ["", "k", "4ki", "4KI", "1.", ".5", "0x10", "1e", "4 Ki", "inf", "nan", "1e5e5"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e401", "9" * 500, "0." + "1" * 500])
def test_a_number_out_of_all_bounds_is_refused_before_it_is_worked_out(text: str) -> None:
    assert read_number(text) is None


def test_a_bare_b_is_billions_and_bytes_have_a_prefix() -> None:
    assert SUFFIX_VALUES["B"] == Quantity(10**9)
    of_bytes = {suffix for suffix, one in SUFFIX_VALUES.items() if one.dimension == BYTES}
    assert all(suffix.endswith("B") and len(suffix) > 1 for suffix in of_bytes)


@given(st.fractions(min_value=-(10**30), max_value=10**30, max_denominator=10**12))
def test_a_written_number_reads_back_as_itself(amount: Fraction) -> None:
    parts = write_number(Quantity(amount).amount).removeprefix("-").split(" / ")
    numbers = [read_number(part) for part in parts]
    values = [Fraction(number.amount) for number in numbers if number is not None]
    assert values[0] / (values[1] if len(values) == 2 else 1) == abs(amount)


@given(st.floats(min_value=1e-40, max_value=1e40))
def test_a_written_float_reads_back_as_the_same_float(amount: float) -> None:
    number = read_number(write_float(amount))
    assert number is not None
    assert float(number.amount) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [(4096, "4096"), (10**21, "1e21"), (Fraction(5, 4), "1.25"), (Fraction(1, 10**4), "1e-4"), (-7, "-7")],
)
def test_numbers_are_written_as_people_write_them(amount: int | Fraction, text: str) -> None:
    assert write_number(amount) == text


def test_a_product_is_judged_by_its_factors_alone() -> None:
    half = 2 ** (MAX_BITS // 2)
    assert product_fits(half // 2, half // 2)
    assert not product_fits(half, half)
    assert fits(2**MAX_BITS - 1)
    assert not fits(2**MAX_BITS)
    assert not fits(Fraction(1, 2**MAX_BITS))


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Quantity(4096), "4096"),
        (Quantity(Fraction(1, 3)), "≈ 0.333333"),
        (Quantity(Fraction(5, 4)), "1.25"),
        (Quantity(10**30 + 1), "≈ 1e+30"),
        (Quantity(3, BYTES_PER_SECOND), "3 B/s"),
        (Quantity(3, Dimension(bytes=2)), "3 bytes^2"),
        (Quantity(Fraction(1, 7**400)), "≈ 9.13659e-339"),
    ],
)
def test_values_are_shown_short(quantity: Quantity, text: str) -> None:
    assert show(quantity) == text


def test_dimensions_have_names() -> None:
    assert dimension_name(BYTES) == "bytes"
    assert dimension_name(Dimension(1, 0, -2)) == "bytes^1 seconds^-2"
