"""A block of the fields table -> what an editor offers to write for it: the least that the block must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.types import ListType

Body = Mapping[str, Any]


def snippets(info: BlockInfo) -> list[Body]:
    """`defaultSnippets` of a kind of block: a name and its smallest body, with a place to type at each value.

    Source: the VS Code JSON language service, whose keyword the YAML language server reads too.
    """
    places = count(1)
    body = {f"${{{next(places)}:name}}": _body(info, places)}
    return [{"label": info.name, "description": f"A new {info.name}", "body": body}]


def _body(info: BlockInfo, places: Iterator[int]) -> Body:
    names = set(_needed(info))
    fields = {one.name: _value(one, places) for one in info.fields if one.name in names}
    return {**fields, **{one.name: _body(one, places) for one in info.blocks if one.name in names}}


def _needed(info: BlockInfo) -> Iterator[str]:
    """What must be written, and of each choice the first."""
    yield from (one.name for one in info.fields if one.required and not one.only_when)
    yield from (one.name for one in info.blocks if one.required)
    yield from (group[0] for group in (info.exactly_one, info.at_least_one) if group)


def _value(info: FieldInfo, places: Iterator[int]) -> str | list[str]:
    if isinstance(info.type, ListType) and info.example.startswith("["):
        items = info.example.strip("[]").split(",")
        return [_place(item.strip(), places) for item in items]
    return _place(info.example.strip('"'), places)


def _place(text: str, places: Iterator[int]) -> str:
    return f"${{{next(places)}:{text}}}"
