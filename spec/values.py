"""What an expression can be worth. Numbers are exact: `int` or `Fraction`, with a dimension; never a float."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from moec.spec.diagnostics import Diagnostic

Exact = int | Fraction


class Dimension(NamedTuple):
    """Exponents of the three base units; all 0 is a plain number (a count, a ratio)."""

    bytes: int = 0
    flops: int = 0
    seconds: int = 0


PLAIN: Final = Dimension()
BYTES: Final = Dimension(bytes=1)
FLOPS: Final = Dimension(flops=1)
SECONDS: Final = Dimension(seconds=1)
BYTES_PER_SECOND: Final = Dimension(bytes=1, seconds=-1)
FLOPS_PER_SECOND: Final = Dimension(flops=1, seconds=-1)

_NAMES: Final = {
    PLAIN: "a plain number",
    BYTES: "bytes",
    FLOPS: "FLOPs",
    SECONDS: "time",
    BYTES_PER_SECOND: "bytes per second",
    FLOPS_PER_SECOND: "FLOPs per second",
}
_UNITS: Final = {
    PLAIN: "",
    BYTES: " B",
    FLOPS: " FLOP",
    SECONDS: " s",
    BYTES_PER_SECOND: " B/s",
    FLOPS_PER_SECOND: " FLOP/s",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number of base units: bytes, FLOPs, seconds, or plain."""

    amount: Exact
    dimension: Dimension = PLAIN

    def __post_init__(self) -> None:
        if isinstance(self.amount, Fraction) and self.amount.denominator == 1:
            object.__setattr__(self, "amount", self.amount.numerator)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a field's own: `swiglu`, `auto`, `dropless`."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """What stood in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A topology."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockName:
    """A block that a field names: `model = dense`. `file` is where the block is written."""

    kind: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Many:
    """A list; its items are never lists."""

    items: tuple[Value, ...]


Value = Quantity | Word | Text | Truth | Grid | BlockName | Many


@dataclass(frozen=True, slots=True)
class Error:
    """No value. `diagnostics` say why; () where that has been told already, so that nothing follows from it."""

    diagnostics: tuple[Diagnostic, ...] = ()


def dimension_name(dimension: Dimension) -> str:
    """In words: `bytes per second`."""
    known = _NAMES.get(dimension)
    if known:
        return known
    powers = [f"{base}^{power}" for base, power in zip(dimension._fields, dimension, strict=True) if power]
    return " ".join(powers)


def describe(value: Value) -> str:
    """The kind of `value` in words, as an error names it: `a text`, `a list`, `bytes`."""
    match value:
        case Quantity():
            return dimension_name(value.dimension)
        case Word(text):
            return f"the word `{text}`"
        case Text():
            return "a text"
        case Truth():
            return "true or false"
        case Grid():
            return "a topology"
        case BlockName(kind, name):
            return f"the {kind} `{name}`"
        case Many():
            return "a list"


def show(value: Value) -> str:
    """`value` as a user reads it in a message: exact where that is short, else to 6 digits."""
    match value:
        case Quantity():
            return show_amount(value.amount) + _UNITS.get(value.dimension, f" {dimension_name(value.dimension)}")
        case Word(text):
            return text
        case Text(text):
            return f'"{text}"'
        case Truth(truth):
            return "true" if truth else "false"
        case Grid(sizes):
            return "x".join(str(size) for size in sizes)
        case BlockName(_, name):
            return name
        case Many(items):
            shown = ", ".join(show(item) for item in items[:8])
            return f"[{shown}, …]" if len(items) > 8 else f"[{shown}]"


def show_amount(amount: Exact) -> str:
    """Whole numbers up to 20 digits and short decimals in full, all else to 6 digits.

    Assumption: 20 digits is where people stop reading digits.
    """
    if isinstance(amount, int) and abs(amount) < 10**20:
        return str(amount)
    size = amount if amount >= 0 else -amount
    short = f"{float(amount):.6g}" if MIN_FLOAT < size < MAX_FLOAT else _scientific(Fraction(amount))
    return short if Fraction(short) == amount else f"≈ {short}"


MIN_FLOAT: Final = Fraction(1, 10**300)
MAX_FLOAT: Final = 10**300
"""Between these a float has all its digits. Source: IEEE 754 binary64, normal numbers from 2.2e-308 to 1.8e308."""


def _scientific(amount: Fraction) -> str:
    exponent = len(str(abs(amount.numerator))) - len(str(amount.denominator))
    scaled = amount / Fraction(10) ** exponent
    if abs(scaled) < 1:
        exponent, scaled = exponent - 1, scaled * 10
    digits = f"{float(scaled):.6g}"
    return f"{digits}e{exponent}"
