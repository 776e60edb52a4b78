"""Statements as they are inserted: with places to type in where the editor can do that, in either form of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.types import BooleanType, ChoiceType

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Writer:
    """How to write: the form of the spec, and whether `${1:…}` is a place to type in."""

    is_yaml: bool
    with_places: bool

    def field(self, info: FieldInfo) -> str:
        """`name = ` and an example to type over."""
        return f"{info.name}{self._equals}{self._value(info, 1)}"

    def block(self, info: BlockInfo) -> str:
        """An inner block with the fields that it must have, or room for the first."""
        fields = _needed(info)
        if self.is_yaml:
            return f"{info.name}:\n{_INDENT}" + (f"\n{_INDENT}".join(self._lines(fields, 1)) or self.place(1))
        inside = ", ".join(self._lines(fields, 1)) or self.place(1)
        return f"{info.name} {{ {inside} }}"

    def top_block(self, info: BlockInfo) -> str:
        """A block with a name to type over, its needed fields and its needed inner blocks."""
        lines = self._lines(_needed(info), 2)
        start = 2 + len(lines)
        lines += [Writer(self.is_yaml, False).block(inner) for inner in _needed_blocks(info)]
        body = [part for line in lines or [self.place(start)] for part in line.split("\n")]
        if self.is_yaml:
            inside = "".join(f"\n{_INDENT * 2}{line}" for line in body)
            return f"{info.name}:\n{_INDENT}{self.place(1, 'name')}:{inside}"
        inside = "".join(f"\n{_INDENT}{line}" for line in body)
        return f"{info.name} {self.place(1, 'name')} {{{inside}\n}}"

    def place(self, number: int, text: str = "") -> str:
        if not self.with_places:
            return text
        return f"${{{number}:{_escaped(text)}}}" if text else f"${number}"

    def _lines(self, fields: tuple[FieldInfo, ...], start: int) -> list[str]:
        return [
            f"{info.name}{self._equals}{self._value(info, number)}" for number, info in enumerate(fields, start=start)
        ]

    @property
    def _equals(self) -> str:
        return ": " if self.is_yaml else " = "

    def _value(self, info: FieldInfo, number: int) -> str:
        words = _words(info)
        if words and self.with_places:
            first = info.example if info.example in words else words[0]
            listed = (first, *(word for word in words if word != first))
            return f"${{{number}|{','.join(listed)}|}}"
        return self.place(number, info.example)


def _words(info: FieldInfo) -> tuple[str, ...]:
    """All values of a field that has few."""
    match info.type:
        case ChoiceType(words):
            return words
        case BooleanType(words):
            return ("true", "false", *words)
        case _:
            return ()


def _needed(info: BlockInfo) -> tuple[FieldInfo, ...]:
    """The fields that must be written, and one of each group of which one must."""
    chosen = _chosen(info)
    return tuple(
        field
        for field in info.fields
        if field.name in chosen or (field.required and field.only_when is None and not field.unless)
    )


def _needed_blocks(info: BlockInfo) -> tuple[BlockInfo, ...]:
    return tuple(block for block in info.blocks if block.required or block.name in _chosen(info))


def _chosen(info: BlockInfo) -> frozenset[str]:
    """One of each group of which one must be written."""
    return frozenset(group[0] for group in (info.exactly_one, info.at_least_one) if group)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}")
