"""Numbers as people write them: `128_256`, `7B`, `4Ki`, `80GiB`, `3.35TB/s`, `1e-4`. Read exactly, into base units.

Units: bytes, FLOPs, seconds. Bytes end in `B` after a prefix; a bare `B` is billions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

from moec.spec.values import (
    BYTES,
    BYTES_PER_SECOND,
    FLOPS,
    FLOPS_PER_SECOND,
    PLAIN,
    SECONDS,
    Dimension,
    Exact,
    Quantity,
)

MAX_BITS: Final = 4096
"""Numerators and denominators hold no more bits than this. Assumption: no count of this world needs 1,233 digits."""

MAX_EXPONENT: Final = 400
"""Of a written `1e400`, whatever its sign. Assumption: past the range of a 64-bit float on both sides."""

_NUMBER: Final = re.compile(r"(\d[\d_]*)(?:\.(\d[\d_]*))?(?:[eE]([+-]?\d[\d_]*))?([A-Za-z]*(?:/s)?)", re.ASCII)
_DECIMAL: Final = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}


def _all_suffixes() -> Mapping[str, Quantity]:
    suffixes = {"": Quantity(1), "B": Quantity(10**9)}
    suffixes |= {name: Quantity(10 ** _DECIMAL[name]) for name in "kMT"}
    suffixes |= {name: Quantity(2**power) for name, power in _BINARY.items() if name != "Pi"}
    work = {f"{name}B": Quantity(10 ** _DECIMAL[name], BYTES) for name in "kMGTP"}
    work |= {f"{name}B": Quantity(2**power, BYTES) for name, power in _BINARY.items()}
    work |= {f"{name}FLOP": Quantity(10 ** _DECIMAL[name], FLOPS) for name in ("", "G", "T", "P", "E", "Z")}
    rates = {BYTES: BYTES_PER_SECOND, FLOPS: FLOPS_PER_SECOND}
    suffixes |= work
    suffixes |= {f"{name}/s": Quantity(one.amount, rates[one.dimension]) for name, one in work.items()}
    times: Mapping[str, Exact] = {"ms": Fraction(1, 1000), "s": 1, "min": 60, "h": 3600, "d": 86_400}
    return suffixes | {name: Quantity(amount, SECONDS) for name, amount in times.items()}


SUFFIX_VALUES: Final = _all_suffixes()
"""What one of each suffix is worth; "" is a number without one."""


@lru_cache(maxsize=1024)
def read_number(text: str) -> Quantity | None:
    """The exact value of `text`, or None where it is no number or too large or too fine to work with."""
    match = _NUMBER.fullmatch(text)
    if match is None or match[4] not in SUFFIX_VALUES:
        return None
    whole, decimals, exponent = (part.replace("_", "") for part in (match[1], match[2] or "", match[3] or "0"))
    if len(whole) + len(decimals) > MAX_EXPONENT or len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT:
        return None
    unit = SUFFIX_VALUES[match[4]]
    amount = int(whole + decimals) * Fraction(10) ** (int(exponent) - len(decimals)) * unit.amount
    return Quantity(amount, unit.dimension)


def suffix_of(text: str) -> str:
    """The suffix that the number `text` is written with, "" where it has none."""
    match = _NUMBER.fullmatch(text)
    return match[4] if match else ""


def fits(amount: int | Fraction) -> bool:
    """Whether `amount` is small enough to work with: both of its parts within MAX_BITS."""
    return amount.numerator.bit_length() <= MAX_BITS and amount.denominator.bit_length() <= MAX_BITS


def product_fits(left: int | Fraction, right: int | Fraction) -> bool:
    """Whether `left * right` is certain to fit, told from the sizes alone, before multiplying."""
    top = left.numerator.bit_length() + right.numerator.bit_length()
    bottom = left.denominator.bit_length() + right.denominator.bit_length()
    return max(top, bottom) <= MAX_BITS


def write_number(amount: int | Fraction) -> str:
    """`amount` as a spec writes it, exactly: `4096`, `1.25`, `1e-4`, `4 / 3`."""
    if amount.denominator == 1:
        return _write_whole(amount.numerator)
    twos, fives, rest = 0, 0, amount.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    places = max(twos, fives)
    if rest != 1 or places > 60:
        return f"{amount.numerator} / {amount.denominator}"
    return _write_decimal(Fraction(amount), places)


def write_float(amount: float) -> str:
    """The shortest text that reads back as the same float: `0.01`, `1e-5`, `3e20`."""
    return write_number(Fraction(repr(amount)))


def _write_whole(amount: int) -> str:
    text = str(abs(amount))
    digits = text.rstrip("0")
    sign = "-" if amount < 0 else ""
    if len(text) > 18 and len(digits) < 18:
        return f"{sign}{digits}e{len(text) - len(digits)}"
    return sign + text


def _write_decimal(amount: Fraction, places: int) -> str:
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount.numerator) * 10**places // amount.denominator)
    if len(digits) + 3 <= places:
        point = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        return f"{sign}{point}e-{places - len(digits) + 1}"
    digits = digits.zfill(places + 1)
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def dimension_of(suffix: str) -> Dimension:
    """The dimension that `suffix` gives a number."""
    return SUFFIX_VALUES[suffix].dimension if suffix in SUFFIX_VALUES else PLAIN
