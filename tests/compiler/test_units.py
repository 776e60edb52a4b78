"""Numbers as people read them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from moec.compiler import units


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1_376_512, "1,376,512"),
        (2.5, "2.5"),
        (3.0, "3"),
        (1e-4, "0.0001"),
        (459e12, "4.59e14"),
        (Fraction(5, 2), "2.5"),
        (Fraction(8, 2), "4"),
        (Fraction(7, 3), "7/3"),
        (Fraction(70_000, 3), "70,000/3"),
        ("active", "active"),
    ],
)
def test_exact_numbers_are_grouped_by_three(value, shown):
    assert units.exact(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0 k"),
        (99_949, "99.9 k"),
        (99_950, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (22_077_958_656, "22.1 B"),
        (Fraction(22_077_958_656), "22.1 B"),
        (0.948, "0.948"),
        (1.5e12, "1.50 T"),
    ],
)
def test_counts_have_three_digits_and_a_decimal_prefix(value, shown):
    assert units.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 B"), (512, "512 B"), (1024, "1.00 KiB"), (95 * 10**9, "88.5 GiB"), (2**40, "1.00 TiB")]
)
def test_bytes_have_a_binary_prefix(value, shown):
    assert units.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"),
        (2.47e-5, "24.7 us"),
        (0.0009996, "1.00 ms"),
        (0.182, "182 ms"),
        (59.0, "59.0 s"),
        (77.5, "1.29 min"),
        (3600.0, "1.00 h"),
        (86_400 * 3.41, "3.41 days"),
    ],
)
def test_durations_are_in_the_unit_that_fits(value, shown):
    assert units.duration(value) == shown


def test_flops_and_shares_and_ratios():
    assert units.flops(6_930_432) == "6.93 MFLOP"
    assert units.flops(66_799_131_299_577_593_856) == "66.8 EFLOP"
    assert units.share(1, 8) == "12.5 %"
    assert units.share(1, 0) == "-"
    assert units.ratio(1.1849) == "1.18x"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((), ""),
        ((2,), "2"),
        ((1, 3), "1 and 3"),
        ((1, 2, 3), "1, 2 and 3"),
        ((1, 2, 3, 4), "1 to 4"),
        ((2, 4, 6, 8, 10, 12), "2, 4, ..., 12"),
        ((1, 2, 4, 6, 8), "1, 2, 4, 6 and 8"),
    ],
)
def test_layer_numbers_are_told_in_few_words(numbers, words):
    assert units.numbers_in_words(numbers) == words


def test_plurals():
    assert units.plural(1, "device") == "1 device"
    assert units.plural(1_000, "device") == "1,000 devices"
    assert units.plural(2, "micro-batch", "micro-batches") == "2 micro-batches"
    assert units.singular("micro-batches") == "micro-batch"
    assert units.singular("slots per expert and group") == "slot per expert and group"
    assert units.singular("") == ""
