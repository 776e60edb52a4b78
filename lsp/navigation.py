"""From a name to where it gets its meaning, to all that mean the same, and from a path to its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from lsprotocol import types
from pygls.uris import from_fs_path

from moec.lsp.names import Occurrence, Target, block_of, definition_of, occurrence_at, occurrences, use_of
from moec.lsp.view import View
from moec.spec.source import Span
from moec.spec.syntax import Block, Field, String, Use


def definition(view: View, position: types.Position) -> list[types.LocationLink] | None:
    """Where the name at `position` gets its meaning, in this file or in one that it uses; of a path, the file."""
    spot = view.spot(position)
    if isinstance(spot.expression, String) and isinstance(spot.statement, Use):
        return _start_of_file(view, spot.statement, spot.expression.span)
    occurrence = occurrence_at(view, spot)
    if occurrence is None:
        return None
    if occurrence.target.kind == "use" and not occurrence.defines:
        use = use_of(view.front, occurrence.target)
        return _start_of_file(view, use, occurrence.span) if use else None
    place = _extended(view, occurrence) or definition_of(view.front, occurrence.target)
    return [_link(view, occurrence, place)] if place else None


def _extended(view: View, occurrence: Occurrence) -> Span | None:
    """From the name of a block that extends another, on to that other one."""
    block = block_of(view.front, occurrence.target) if occurrence.target.kind == "block" else None
    if not occurrence.defines or block is None or block.extends is None:
        return None
    found = [one for one in occurrences(view.front, view.name) if one.span == block.extends.parts[-1].span]
    return definition_of(view.front, found[0].target) if found else None


def _link(view: View, occurrence: Occurrence, place: Span) -> types.LocationLink:
    block = block_of(view.front, occurrence.target) if occurrence.target.kind == "block" else None
    named = block is not None and block.label is not None and block.label.span == place
    whole = view.range(block.span) if block and named and not view.is_yaml else view.range(place)
    return types.LocationLink(view.location(place).uri, whole, view.range(place), view.range(occurrence.span))


def _start_of_file(view: View, use: Use, origin: Span) -> list[types.LocationLink] | None:
    file = view.front.loaded.imported(view.name, use)
    start = types.Range(types.Position(0, 0), types.Position(0, 0))
    return [types.LocationLink(view.uri(file), start, start, view.range(origin))] if file else None


def find_references(
    view: View, position: types.Position, others: Iterable[View], *, with_definition: bool
) -> list[types.Location]:
    """All places in the file, in those that it uses and in `others` that mean what is named at `position`."""
    occurrence = occurrence_at(view, view.spot(position))
    if occurrence is None:
        return []
    found = same_meaning(occurrence.target, (view, *others))
    return [where.location(one.span) for where, one in found if with_definition or not one.defines]


def same_meaning(target: Target, views: Iterable[View]) -> Iterator[tuple[View, Occurrence]]:
    """Each place once where a file of `views` names `target`."""
    seen: set[Span] = set()
    for view in views:
        for file in view.front.loaded.files:
            for one in occurrences(view.front, file):
                if one.target == target and one.span not in seen:
                    seen.add(one.span)
                    yield view, one


def highlight(view: View, position: types.Position) -> list[types.DocumentHighlight] | None:
    """The places in this file that mean what is named at `position`."""
    occurrence = occurrence_at(view, view.spot(position))
    if occurrence is None:
        return None
    write, read = types.DocumentHighlightKind.Write, types.DocumentHighlightKind.Read
    return [
        types.DocumentHighlight(view.range(one.span), write if one.defines else read)
        for one in occurrences(view.front, view.name)
        if one.target == occurrence.target
    ]


def links(view: View) -> list[types.DocumentLink]:
    """The paths of used files and of hardware files, to click on."""
    found: list[types.DocumentLink] = []
    for statement in view.text.file.statements:
        if isinstance(statement, Use):
            file = view.front.loaded.imported(view.name, statement)
            found += [types.DocumentLink(view.range(statement.path.span), view.uri(file))] if file else []
        elif isinstance(statement, Block) and statement.kind.text == "mesh":
            found += _hardware_files(view, statement)
    return found


def _hardware_files(view: View, mesh: Block) -> Iterator[types.DocumentLink]:
    for item in mesh.items:
        if isinstance(item, Field) and item.name.text == "hardware" and isinstance(item.value, String):
            path = os.path.normpath(os.path.join(os.path.dirname(view.name), item.value.value))
            yield types.DocumentLink(view.range(item.value.span), from_fs_path(path))
