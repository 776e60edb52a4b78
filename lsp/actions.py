"""Mends that the editor offers for what it shows: those that a diagnostic brings, and those that its help spells out.

A warning can be allowed by a comment with a reason, which the user writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lsprotocol import types

from moec.lsp.diagnostics import as_lsp
from moec.lsp.view import View, info_of
from moec.lsp.walking import Spot, spot_at
from moec.spec.allowances import MARK, can_be_allowed
from moec.spec.diagnostics import Diagnostic, Fix
from moec.spec.fields.info import BlockInfo
from moec.spec.fields.table import field_info
from moec.spec.source import Span
from moec.spec.syntax import Block, Field, File, Name

FIX_ALL: Final = "source.fixAll.moec"
_EXAMPLE: Final = re.compile(r"^for example `(?P<text>(?P<name>\w+) (?:= .+|\{.*\}))`$")
_NEAREST: Final = re.compile(r"^(?:or )?(?:nearest values: )?(?P<name>[a-z_0-9]+) = (?P<values>[\w.]+(?: or [\w.]+)*)$")
_REMOVABLE: Final = {"MOE2015": "remove the `let`", "MOE2016": "remove the `use`", "MOE2020": "remove the field"}
_GUESSES: Final = frozenset(("MOE1006", "MOE1010", "MOE1038"))
"""Mistakes in the text whose mend guesses what was meant."""


@dataclass(frozen=True, slots=True)
class _Mend:
    fix: Fix
    told: Diagnostic
    is_preferred: bool = False


def code_actions(
    view: View, within: types.Range, only: list[types.CodeActionKind | str] | None
) -> list[types.CodeAction]:
    """The mends of what is wrong in `within`, and one for all of the file that is safe to mend at once."""
    actions: list[types.CodeAction] = []
    if _wanted(types.CodeActionKind.QuickFix, only):
        told = [one for one in _told(view) if _touches(view.range(one.span), within)]
        actions += [_action(view, mend) for one in told for mend in _mends(view, one)]
        actions += [
            _renewal(view, *found)
            for found in deprecated(view.text.file)
            if _touches(view.range(found[0].span), within)
        ]
    if _wanted(FIX_ALL, only):
        actions += _fix_all(view)
    return actions


def _wanted(kind: types.CodeActionKind | str, only: list[types.CodeActionKind | str] | None) -> bool:
    name = kind.value if isinstance(kind, types.CodeActionKind) else kind
    asked = [one.value if isinstance(one, types.CodeActionKind) else one for one in only or ()]
    return only is None or any(name == one or name.startswith(f"{one}.") for one in asked)


def _told(view: View) -> list[Diagnostic]:
    """What the newest check tells of this text."""
    if view.checked is None or view.checked.front is not view.front:
        return []
    return [one for one in view.checked.diagnostics if one.span.file == view.name]


def _touches(one: types.Range, other: types.Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _action(view: View, mend: _Mend) -> types.CodeAction:
    edit = types.TextEdit(view.range(mend.fix.span), mend.fix.replacement)
    return types.CodeAction(
        mend.fix.title,
        types.CodeActionKind.QuickFix,
        [as_lsp(mend.told, view)],
        mend.is_preferred,
        edit=types.WorkspaceEdit(changes={view.uri(mend.fix.span.file): [edit]}),
    )


def _mends(view: View, told: Diagnostic) -> Iterator[_Mend]:
    for index, fix in enumerate(told.fixes):
        yield _Mend(fix, told, is_preferred=index == 0)
    spot = spot_at(view.front.texts[told.span.file].file, told.span.start)
    yield from (_Mend(fix, told) for fix in _additions(view, told, spot))
    yield from (_Mend(fix, told) for fix in _nearest_values(view, told, spot))
    yield from (_Mend(fix, told) for fix in _removals(view, told, spot))
    yield from (_Mend(fix, told) for fix in _allowances(view, told))


# ---- what is missing ----


def _additions(view: View, told: Diagnostic, spot: Spot) -> Iterator[Fix]:
    """Fields and blocks that the block at the diagnostic must have."""
    block = spot.statement if isinstance(spot.statement, Block) else spot.blocks[-1] if spot.blocks else None
    blocks = spot.blocks if block in spot.blocks else (*spot.blocks, block) if block else ()
    info = info_of(blocks)
    if block is None or info is None or view.is_yaml:
        return
    for example in _examples(told, info):
        yield _addition(view, block, example)


def _examples(told: Diagnostic, info: BlockInfo) -> Iterator[str]:
    if told.code in ("MOE2013", "MOE2014"):
        yield from (match["text"] for help_text in told.helps if (match := _EXAMPLE.match(help_text)))
    elif told.code == "MOE2018":
        for name in (*info.exactly_one, *info.at_least_one):
            field = info.field(name)
            if field and f"`{name}`" in told.message:
                yield f"{name} = {field.example}"


def _addition(view: View, block: Block, text: str) -> Fix:
    """`text` as the last statement of `block`, on a line of its own where the block has several."""
    file = block.span.file
    source = view.front.texts[file].source
    real = view.front.real(block.span)
    written = source.slice(real)
    title = f"add `{text}`"
    if "\n" not in written and "\r" not in written:
        body = written[:-1].rstrip()
        end = block.span.start + len(body)
        return Fix(title, Span(file, end, block.span.end - 1), f"{' ' if body[-1] == '{' else ', '}{text} ")
    line = source.line(source.position(real.start).line)
    indent = line[: len(line) - len(line.lstrip())]
    ending = "\r\n" if "\r\n" in written else "\n" if "\n" in written else "\r"
    end = block.span.start + len(written[:-1].rstrip(" \t"))
    return Fix(title, Span(file, end, block.span.end - 1), f"{indent}  {text}{ending}{indent}")


# ---- what would do ----


def _nearest_values(view: View, told: Diagnostic, spot: Spot) -> Iterator[Fix]:
    """The values nearby that the help names, for the field that it names: near the diagnostic or one of its labels."""
    for match in filter(None, map(_NEAREST.match, told.helps)):
        field = _field_called(view, match["name"], (told.span, *(other.span for other in told.others)), spot)
        if field is not None:
            for value in match["values"].split(" or "):
                yield Fix(f"write {match['name']} = {value}", field.value.span, value)


def _field_called(view: View, name: str, places: tuple[Span, ...], spot: Spot) -> Field | None:
    """The field `name` that one of `places` lies in, or that the block at the diagnostic has."""
    for place in places:
        text = view.front.texts.get(place.file)
        found = spot_at(text.file, place.start).statement if text else None
        if isinstance(found, Field) and found.name.text == name:
            return found
    for block in reversed(spot.blocks):
        for item in block.items:
            if isinstance(item, Field) and item.name.text == name:
                return item
    return None


# ---- what can go ----


def _removals(view: View, told: Diagnostic, spot: Spot) -> Iterator[Fix]:
    """The statement itself, where it says nothing; its line goes with it if it has one of its own."""
    if told.code not in _REMOVABLE or spot.statement is None or view.is_yaml:
        return
    span = spot.statement.span
    text, real = view.front.texts[span.file], view.front.real(span)
    source = text.source
    number = source.position(real.start).line
    line = source.line(number)
    if line.strip() == source.slice(real):
        start = source.line_starts[number - 1]
        end = source.line_starts[number] if number < len(source.line_starts) else len(source.text)
        span = Span(span.file, text.address(start), text.address(start) + end - start)
    yield Fix(_REMOVABLE[told.code], span, "")


# ---- what may stay ----


def _allowances(view: View, told: Diagnostic) -> Iterator[Fix]:
    """A comment above the warning that allows it, once its reason is written."""
    if not can_be_allowed(told.code):
        return
    text, real = view.front.texts[told.span.file], view.front.real(told.span)
    source = text.source
    number = source.position(real.start).line
    start, line = source.line_starts[number - 1], source.line(number)
    indent = line[: len(line) - len(line.lstrip())]
    ending = "\r\n" if "\r\n" in source.text else "\n" if "\n" in source.text else "\r"
    at = text.address(start + len(indent))
    comment = f"# {MARK} {told.code}: "
    yield Fix(f"allow {told.code} here, with a reason", Span(told.span.file, at, at), f"{comment}{ending}{indent}")


# ---- what has a successor ----


def deprecated(file: File) -> Iterator[tuple[Name, str]]:
    """The names of all fields in `file` that another has replaced, each with the name of that other."""
    waiting: list[tuple[str, Block]] = [(one.kind.text, one) for one in file.statements if isinstance(one, Block)]
    while waiting:
        path, block = waiting.pop()
        for item in block.items:
            if isinstance(item, Block):
                waiting.append((f"{path}.{item.kind.text}", item))
            elif isinstance(item, Field) and (info := field_info(f"{path}.{item.name.text}")) and info.replaced_by:
                yield item.name, info.replaced_by


def _renewal(view: View, name: Name, successor: str) -> types.CodeAction:
    edit = types.TextEdit(view.range(name.span), successor)
    return types.CodeAction(
        f"write `{successor}`, which has replaced `{name.text}`",
        types.CodeActionKind.QuickFix,
        edit=types.WorkspaceEdit(changes={view.uri(view.name): [edit]}),
    )


# ---- all at once ----


def _fix_all(view: View) -> list[types.CodeAction]:
    """One action for all mistakes in the text that have one mend each which changes no meaning."""
    edits: list[types.TextEdit] = []
    end = types.Position(0, 0)
    for one in sorted(_told(view), key=lambda told: view.front.real(told.span).start):
        if _is_safe(one):
            edit = types.TextEdit(view.range(one.fixes[0].span), one.fixes[0].replacement)
            if edit.range.start >= end:
                edits.append(edit)
                end = edit.range.end
    if not edits:
        return []
    change = types.WorkspaceEdit(changes={view.uri(view.name): edits})
    return [types.CodeAction("fix all that is safe to fix", FIX_ALL, edit=change)]


def _is_safe(told: Diagnostic) -> bool:
    """Whether there is one mend, and it does not guess what was meant: of the text, not of names and values."""
    is_of_text = told.code.startswith("MOE1") or told.code == "MOE2011"
    return is_of_text and len(told.fixes) == 1 and told.code not in _GUESSES
