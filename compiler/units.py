"""Numbers as people read them, in reports, comments and docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

Number = int | float | Fraction

_DECIMAL = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("P", 10**15), ("E", 10**18))
_COUNT = {"G": "B"}
_ROUNDS_UP = Fraction(9995, 10_000)
"""From this share of the next prefix on, three digits are 1,000 of the smaller one."""
_BINARY = (("B", 1), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40), ("PiB", 2**50))
_TIME = (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0))


def exact(value: Number | str) -> str:
    """`value` with thousands separated: `1,376,512`, `2.5`, `7/3`, `0.0883883`; whole fractions and floats as integers.

    Rounding: a float to six significant digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Fraction):
        return _fraction(value)
    if isinstance(value, float):
        return f"{int(value):,}" if value.is_integer() and abs(value) < 1e9 else f"{value:.6g}".replace("e+", "e")
    return f"{value:,}"


def _fraction(value: Fraction) -> str:
    if value.denominator == 1:
        return f"{value.numerator:,}"
    as_float = float(value)
    terminates = Fraction(repr(as_float)) == value
    return f"{as_float:,}" if terminates else f"{value.numerator:,}/{value.denominator:,}"


def count(value: Number) -> str:
    """A count to three digits with a decimal prefix: `1.38 M`, `22.1 B`, `245`.

    Rounding: half to even, at the third significant digit.
    """
    if isinstance(value, int) and abs(value) < 10_000:
        return f"{value:,}"
    prefix, scaled = _scaled(value, _DECIMAL)
    return f"{_three_digits(scaled)} {_COUNT.get(prefix, prefix)}".rstrip()


def flops(value: Number) -> str:
    """FLOPs to three digits with an SI prefix: `3.96 MFLOP`."""
    prefix, scaled = _scaled(value, _DECIMAL)
    return f"{_three_digits(scaled)} {prefix}FLOP"


def rate(value: Number, unit: str) -> str:
    """A rate to three digits with an SI prefix: `459 TFLOP/s`."""
    prefix, scaled = _scaled(value, _DECIMAL)
    return f"{_three_digits(scaled)} {prefix}{unit}"


def size(value: Number) -> str:
    """Bytes to three digits with a binary prefix: `4.20 GiB`."""
    prefix, scaled = _scaled(value, _BINARY)
    return f"{_three_digits(scaled)} {prefix}"


def duration(value: float) -> str:
    """Seconds to three digits in the unit that fits: `182 ms`, `3.41 days`."""
    if value == 0:
        return "0 s"
    unit, step = _TIME[0]
    for name, seconds in _TIME:
        if value >= seconds * float(_ROUNDS_UP):
            unit, step = name, seconds
    return f"{_three_digits(value / step)} {unit}"


def share(part: Number, whole: Number) -> str:
    """`part` of `whole` in per cent, `-` where there is no whole: `42.4 %`."""
    return f"{100 * float(part) / float(whole):.1f} %" if whole else "-"


def ratio(value: float) -> str:
    """A factor: `1.18x`."""
    return f"{value:,.2f}x"


def _scaled(value: Number, prefixes: Sequence[tuple[str, int]]) -> tuple[str, float]:
    amount = Fraction(value)
    name, step = prefixes[0]
    for candidate, size_of in prefixes:
        if abs(amount) >= size_of * _ROUNDS_UP:
            name, step = candidate, size_of
    return name, float(amount / step)


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.3g}" if abs(value) < 0.995 else f"{value:.2f}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 device`, `8 devices`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def singular(unit: str) -> str:
    """A unit in the plural as it stands behind 1: `slots per expert` becomes `slot per expert`."""
    first, space, rest = unit.partition(" ")
    ending = "es" if first.endswith("ches") else "s"
    return f"{first.removesuffix(ending)}{space}{rest}"


def numbers_in_words(numbers: Sequence[int]) -> str:
    """A sorted list of numbers, short: `2`, `1 and 3`, `1 to 12`, `2, 4, ..., 12`, `1, 2 and 7`."""
    listed = [str(number) for number in numbers]
    if len(numbers) > 3 and _is_run(numbers, 1):
        return f"{listed[0]} to {listed[-1]}"
    if len(numbers) > 4 and _is_run(numbers, numbers[1] - numbers[0]):
        return f"{listed[0]}, {listed[1]}, ..., {listed[-1]}"
    return join_words(listed)


def layers_in_words(numbers: Sequence[int]) -> str:
    """The layers of these numbers, at the start of a sentence: `Layer 2`, `Layers 1 and 3`."""
    return f"{'Layer' if len(numbers) == 1 else 'Layers'} {numbers_in_words(numbers)}"


def _is_run(numbers: Sequence[int], step: int) -> bool:
    return all(after - before == step for before, after in pairwise(numbers))


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
