"""One block -> the values of all its fields: what is written, what follows, and what is missing or in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moec.compiler.scope import Place, Scope
from moec.spec.codes import names as codes
from moec.spec.codes.types import listed
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.source import Span
from moec.spec.values import Error, Exact, Grid, Many, Quantity, Text, Truth, Value, Word, show


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one block, each of the type that the fields table says; those that have none are left out."""

    place: Place
    fields: Mapping[str, Value]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def exact(self, name: str) -> Exact:
        """A number as it is."""
        value = self.fields[name]
        assert isinstance(value, Quantity), name
        return value.amount

    def integer(self, name: str) -> int:
        amount = self.exact(name)
        assert isinstance(amount, int), name
        return amount

    def real(self, name: str) -> float:
        """The nearest float."""
        return float(self.exact(name))

    def word(self, name: str) -> Any:
        """One of the field's words. Its type is Any since the fields table, not the type checker, has held it to
        them.
        """
        value = self.fields[name]
        assert isinstance(value, Word), name
        return value.text

    def flag(self, name: str) -> bool:
        value = self.fields[name]
        assert isinstance(value, Truth), name
        return value.value

    def text(self, name: str) -> str:
        """A text, or the word in its place."""
        return _text(self.fields[name])

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts or words."""
        return tuple(_text(item) for item in self.items(name))

    def items(self, name: str) -> tuple[Value, ...]:
        value = self.fields[name]
        assert isinstance(value, Many), name
        return value.items

    def grid(self, name: str) -> tuple[int, ...]:
        value = self.fields[name]
        assert isinstance(value, Grid), name
        return value.sizes

    def is_word(self, name: str, word: str) -> bool:
        """Whether the field holds just this word."""
        return self.fields.get(name) == Word(word)

    def span(self, name: str) -> Span:
        """Where the field's value is written, or the block that would hold it."""
        written = self.place.written(name)
        return written.value.span if written else self.place.span


def resolve_block(scope: Scope, place: Place) -> Values | None:
    """All values at `place`, None where something is wrong, which is then told in `scope`.

    Errors: MOE2013, MOE2018, MOE2019, MOE2020, and those of the values themselves.
    """
    info = place.info
    fields = {field.name: scope.value(place, field.name) for field in info.fields}
    found = {name: value for name, value in fields.items() if value is not None and not isinstance(value, Error)}
    told = (*_alternatives(place, info), *_conditions(place, info, found, fields))
    scope.diagnostics += told
    if told or any(isinstance(value, Error) for value in fields.values()):
        return None
    return Values(place, _without_left_overs(scope, place, info, found))


def _without_left_overs(scope: Scope, place: Place, info: BlockInfo, found: Mapping[str, Value]) -> Mapping[str, Value]:
    """`found`, with the default in place of what has no effect, so that it is as if no one had written that."""
    values = dict(found)
    for field in info.fields:
        if field.name in found and not has_effect(field, found):
            default = scope.default(place, field)
            values = _with(values, field.name, default)
    return values


def _with(values: dict[str, Value], name: str, value: Value | None) -> dict[str, Value]:
    others = {other: kept for other, kept in values.items() if other != name}
    return others if value is None else others | {name: value}


def has_effect(field: FieldInfo, found: Mapping[str, Value]) -> bool:
    """Whether the field matters, given the values of the others."""
    return field.only_when is None or _holds(field.only_when, found)


def _text(value: Value) -> str:
    assert isinstance(value, (Text, Word)), value
    return value.value if isinstance(value, Text) else value.text


def _alternatives(place: Place, info: BlockInfo) -> Iterator[Diagnostic]:
    """What is wrong with the fields of which one, or at least one, is to be written."""
    for group, just_one in ((info.exactly_one, True), (info.at_least_one, False)):
        written = [name for name in group if place.written(name) or _inner_is_written(place, name)]
        if group and not written:
            yield codes.none_of(place.span, info.path, group, just_one)
        if just_one and set(written) == set(info.may_pair):
            continue
        for name in written[1:] if just_one else ():
            first = _name_span(place, written[0])
            yield codes.exclude_one_another(_name_span(place, name), info.path, (written[0], name), first)


def _conditions(
    place: Place, info: BlockInfo, found: Mapping[str, Value], fields: Mapping[str, Value | Error | None]
) -> Iterator[Diagnostic]:
    """Fields that are missing, and fields that are in vain."""
    for field in info.fields:
        written = place.written(field.name)
        condition = field.only_when
        if condition and isinstance(fields[condition.field], Error):
            continue
        matters = has_effect(field, found)
        if field.required and matters and not written and not (field.unless and place.written(field.unless)):
            yield codes.missing_field(place.span, info.path, field.name, field.example, _why_required(field))
        if condition and written and not matters and not _is_left_over(place, field.name, condition.field):
            yield _no_effect(place, field.name, condition, found)


def _why_required(field: FieldInfo) -> str:
    if field.unless:
        return f"it may be left out where `{field.unless}` is written"
    return f"`{field.only_when.field}` asks for it" if field.only_when else ""


def _holds(condition: When, found: Mapping[str, Value]) -> bool:
    value = found.get(condition.field)
    word = value.text if isinstance(value, Word) else None
    if condition.words:
        return word in condition.words
    if condition.not_words:
        return word not in condition.not_words
    return value is not None


def _is_left_over(place: Place, name: str, deciding: str) -> bool:
    """Whether the field is inherited and what decides on it was written later: then it silently goes."""
    field, other = place.written(name), place.written(deciding)
    return field is not None and other is not None and field.inherited > other.inherited


def _no_effect(place: Place, name: str, condition: When, found: Mapping[str, Value]) -> Diagnostic:
    value = found.get(condition.field)
    if value is None:
        return codes.no_effect(_name_span(place, name), name, f"`{condition.field}` is not written", None)
    words = condition.words or condition.not_words
    rule = f"it needs `{condition.field}` {'to be' if condition.words else 'not to be'} {listed(words)}"
    other = place.written(condition.field)
    label = Label(other.value.span, f"`{condition.field}` is {show(value)}") if other else None
    return codes.no_effect(_name_span(place, name), name, rule, label)


def _name_span(place: Place, name: str) -> Span:
    written = place.written(name)
    return written.name_span if written else place.inside(name).span


def _inner_is_written(place: Place, name: str) -> bool:
    return place.block is not None and name in place.block.blocks
