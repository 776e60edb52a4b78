"""The types that a field can have. Each says in words what it takes; `convert.py` holds a value against one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from moec.spec.values import PLAIN, Dimension, Exact, dimension_name

MAX_COUNT: Final = 2**63 - 1
"""Counts stay in what a signed 64-bit integer holds. Assumption: so do all tools that read a plan."""

MAX_REAL: Final = 10**40
MIN_REAL: Final = Fraction(1, 10**40)
"""Numbers that are not counts lie between these, or are 0. Assumption: past any FLOP budget, inside a 64-bit float."""


@dataclass(frozen=True, slots=True)
class NumberType:
    """A number of `dimension`, or one of `words`. `above` and `below` are bounds that the number itself cannot have.

    Where `bare` is given, a number without a unit is taken as that many base units: `hours = 12`.
    """

    whole: bool = True
    words: tuple[str, ...] = ()
    dimension: Dimension = PLAIN
    bare: Exact | None = None
    minimum: Exact | None = None
    above: Exact | None = None
    maximum: Exact | None = None
    below: Exact | None = None


@dataclass(frozen=True, slots=True)
class ChoiceType:
    """One of `words`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BooleanType:
    """`true` or `false`, or one of `words`."""

    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextType:
    """A text in quotes, or one of `words`."""

    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopologyType:
    """`8x8x8`."""


@dataclass(frozen=True, slots=True)
class HardwareType:
    """A name from the hardware catalogue, or a text: the path of a file of the user's own."""


@dataclass(frozen=True, slots=True)
class BlockType:
    """The name of a block of `kind`."""

    kind: str


ItemType = NumberType | ChoiceType | BooleanType | TextType | TopologyType | HardwareType | BlockType


@dataclass(frozen=True, slots=True)
class ListType:
    """A list of `item`, at least `least` long; with `single`, one item may stand without brackets."""

    item: ItemType
    least: int = 0
    single: bool = False
    distinct: bool = False


FieldType = ItemType | ListType


def count(minimum: int = 1, maximum: int | None = None, words: tuple[str, ...] = ()) -> NumberType:
    """A whole number from `minimum` up."""
    return NumberType(words=words, minimum=minimum, maximum=maximum)


def positive(words: tuple[str, ...] = ()) -> NumberType:
    """A number above 0."""
    return NumberType(whole=False, words=words, above=0)


def weight(words: tuple[str, ...] = ()) -> NumberType:
    """A number from 0 up."""
    return NumberType(whole=False, words=words, minimum=0)


def fraction() -> NumberType:
    """A number from 0 up and below 1."""
    return NumberType(whole=False, minimum=0, below=1)


def words_of(field_type: FieldType) -> tuple[str, ...]:
    """The words that a field of this type knows, besides numbers, texts and blocks."""
    match field_type:
        case ListType(item):
            return words_of(item)
        case NumberType(words=words) | ChoiceType(words) | BooleanType(words) | TextType(words):
            return words
        case HardwareType():
            from moec.spec.hardware.catalogue import HARDWARE_NAMES

            return HARDWARE_NAMES
        case _:
            return ()


def type_name(field_type: FieldType) -> str:
    """What the type takes, in words: `a whole number or dropless`."""
    match field_type:
        case ListType(item, _, single):
            one = type_name(item)
            return f"{one}, or a list of such" if single else f"a list, each {one}"
        case ChoiceType(words):
            return _either(words)
        case BlockType(kind):
            return f"the name of a {kind}"
        case HardwareType():
            return "the name of a chip or the path of a hardware file"
        case TopologyType():
            return "a topology"
        case _:
            plain = _plain_name(field_type)
            return f"{plain} or {_either(field_type.words)}" if field_type.words else plain


def _plain_name(field_type: NumberType | BooleanType | TextType) -> str:
    match field_type:
        case BooleanType():
            return "true or false"
        case TextType():
            return "a text"
        case NumberType(dimension=dimension) if dimension != PLAIN:
            return dimension_name(dimension)
        case _:
            return "a whole number" if field_type.whole else "a number"


def _either(words: tuple[str, ...]) -> str:
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]


def range_rule(number: NumberType) -> str:
    """The range in words: `at least 1`, `above 0 and below 1`; "" where any number goes."""
    rules = []
    if number.minimum is not None:
        rules.append(f"at least {number.minimum}")
    if number.above is not None:
        rules.append(f"above {number.above}")
    if number.maximum is not None:
        rules.append(f"at most {number.maximum}")
    if number.below is not None:
        rules.append(f"below {number.below}")
    return " and ".join(rules)


def in_range(number: NumberType, amount: Exact) -> bool:
    """Whether `amount` keeps the bounds of `number`."""
    return not (
        (number.minimum is not None and amount < number.minimum)
        or (number.above is not None and amount <= number.above)
        or (number.maximum is not None and amount > number.maximum)
        or (number.below is not None and amount >= number.below)
    )
