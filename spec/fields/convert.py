"""value -> value of a field's type, or what is wrong with it."""

from __future__ import annotations

import math

from moec.spec.codes import types as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.info import FieldInfo
from moec.spec.fields.types import (
    MAX_COUNT,
    MAX_REAL,
    MIN_REAL,
    BlockType,
    BooleanType,
    FieldType,
    HardwareType,
    ItemType,
    ListType,
    NumberType,
    TextType,
    TopologyType,
    in_range,
    range_rule,
    type_name,
    words_of,
)
from moec.spec.quantities import read_number, suffix_of, write_number
from moec.spec.source import Span
from moec.spec.syntax import Expression, ListOf, Number
from moec.spec.values import (
    PLAIN,
    BlockName,
    Error,
    Exact,
    Grid,
    Many,
    Quantity,
    Text,
    Truth,
    Value,
    Word,
    describe,
    dimension_name,
    show,
)


def convert(value: Value, field: FieldInfo, written: Expression) -> Value | Error:
    """`value`, which `written` gave, as `field` takes it: lists where it takes lists, numbers in its unit, all in
    range.

    Errors: MOE2101 (kind), MOE2102 (unit), MOE2104 (range), MOE2105 (whole), MOE2106 (words), MOE2115 (length),
    MOE2121 (twice).
    """
    if isinstance(field.type, ListType):
        return _convert_list(value, field, field.type, written)
    return _convert_item(value, field, field.type, written.span)


def decimal_warning(field: FieldInfo, written: Expression) -> Diagnostic | None:
    """The doubt about `4k` where `4Ki` is usual (MOE2111), None where there is none."""
    if not field.usually_binary or not isinstance(written, Number):
        return None
    suffix = suffix_of(written.text)
    binary = {"k": "Ki", "M": "Mi"}.get(suffix)
    if binary is None:
        return None
    text = written.text.removesuffix(suffix) + binary
    meant, number = read_number(text), read_number(written.text)
    if meant is None or number is None or not isinstance(meant.amount, int):
        return None
    return codes.decimal_suffix(written.span, field.name, written.text, int(number.amount), text, meant.amount)


def _convert_list(value: Value, field: FieldInfo, wanted: ListType, written: Expression) -> Value | Error:
    if not isinstance(value, Many):
        if not wanted.single:
            return _wrong_type(value, field, wanted, written.span)
        value = Many((value,))
    spans = _item_spans(value, written)
    items = [_convert_item(item, field, wanted.item, span) for item, span in zip(value.items, spans, strict=True)]
    told = tuple(diagnostic for item in items if isinstance(item, Error) for diagnostic in item.diagnostics)
    good = tuple(item for item in items if not isinstance(item, Error))
    if len(good) < len(items):
        return Error(told)
    if len(good) < wanted.least:
        return Error((codes.wrong_length(written.span, field.name, f"at least {wanted.least}", len(good)),))
    repeated = _repeated(good, spans) if wanted.distinct else ()
    return Error(repeated) if repeated else Many(good)


def _item_spans(value: Many, written: Expression) -> tuple[Span, ...]:
    if isinstance(written, ListOf) and len(written.items) == len(value.items):
        return tuple(item.span for item in written.items)
    return (written.span,) * len(value.items)


def _repeated(items: tuple[Value, ...], spans: tuple[Span, ...]) -> tuple[Diagnostic, ...]:
    first: dict[Value, Span] = {}
    told = []
    for item, span in zip(items, spans, strict=True):
        if item in first:
            told.append(codes.repeated_item(span, show(item), first[item]))
        first.setdefault(item, span)
    return tuple(told)


def _convert_item(value: Value, field: FieldInfo, wanted: ItemType, span: Span) -> Value | Error:
    if isinstance(value, Word):
        return _convert_word(value, field, wanted, span)
    match wanted, value:
        case (NumberType(), Quantity()):
            return _convert_number(value, field, wanted, span)
        case (BooleanType(), Truth()) | (TopologyType(), Grid()) | (HardwareType(), Text()):
            return value
        case (TextType(), Text(text)) if text:
            return value
        case (BlockType(kind), BlockName()) if value.kind == kind:
            return value
        case _:
            return _wrong_type(value, field, wanted, span)


def _convert_word(word: Word, field: FieldInfo, wanted: ItemType, span: Span) -> Value | Error:
    words = words_of(wanted)
    if word.text in words:
        return word
    if isinstance(wanted, HardwareType):
        return Error((codes.unknown_hardware(span, word.text, words),))
    if not words:
        return _wrong_type(word, field, wanted, span)
    return Error((codes.unknown_word(span, field.name, word.text, words),))


def _convert_number(number: Quantity, field: FieldInfo, wanted: NumberType, span: Span) -> Value | Error:
    amount = number.amount
    if number.dimension == PLAIN and wanted.bare is not None:
        amount = amount * wanted.bare
    elif number.dimension != wanted.dimension:
        names = (dimension_name(wanted.dimension), dimension_name(number.dimension))
        return Error((codes.wrong_unit(span, field.name, *names, field.example),))
    if wanted.whole and not isinstance(Quantity(amount).amount, int):
        nearby = (str(math.floor(amount)), str(math.ceil(amount)))
        return Error((codes.not_whole(span, field.name, show(number), nearby),))
    if not in_range(wanted, amount) or not _within_limits(amount, wanted):
        rule = range_rule(_with_limits(wanted)) if in_range(wanted, amount) else range_rule(wanted)
        return Error((codes.out_of_range(span, field.name, show(number), rule),))
    return Quantity(amount, wanted.dimension)


def _within_limits(amount: Exact, wanted: NumberType) -> bool:
    if wanted.whole:
        most: Exact = MAX_COUNT if wanted.maximum is None else wanted.maximum
        return amount <= most
    size: Exact = amount if amount >= 0 else -amount
    return size == 0 or MIN_REAL <= size <= MAX_REAL


def _with_limits(wanted: NumberType) -> NumberType:
    maximum = MAX_COUNT if wanted.whole else MAX_REAL
    return NumberType(wanted.whole, minimum=MIN_REAL if not wanted.whole else wanted.minimum, maximum=maximum)


def _wrong_type(value: Value, field: FieldInfo, wanted: FieldType, span: Span) -> Error:
    return Error((codes.wrong_type(span, field.name, type_name(wanted), describe(value), field.example),))


def written_value(value: Value) -> str:
    """`value` as a spec writes it, where it has no unit: what `expand` prints."""
    match value:
        case Quantity(amount):
            return write_number(amount)
        case Many(items):
            return "[" + ", ".join(written_value(item) for item in items) + "]"
        case Text(text):
            from moec.spec.format_value import format_string

            return format_string(text)
        case _:
            return show(value)
