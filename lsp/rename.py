"""A new name for a `let`, a block, or the alias of a `use`, in every file that names it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from moec.lsp.names import Occurrence, Target, definition_of, occurrence_at
from moec.lsp.navigation import same_meaning
from moec.lsp.view import View
from moec.spec.lexer import KEYWORDS
from moec.spec.limits import MAX_IDENTIFIER

_NAME: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_IDENTIFIER - 1}}}", re.ASCII)
_RENAMED: Final = ("let", "block", "use")


def prepare_rename(view: View, position: types.Position) -> types.PrepareRenamePlaceholder | None:
    """What would be renamed; None where that is nothing, or a field, whose name is the language's."""
    occurrence = _renamed(view, position)
    if occurrence is None:
        return None
    return types.PrepareRenamePlaceholder(view.range(occurrence.span), occurrence.target.name)


def rename(view: View, position: types.Position, new_name: str, others: Iterable[View]) -> types.WorkspaceEdit | None:
    """The edits of all files. JsonRpcInvalidParams: the new name is none, or is taken."""
    occurrence = _renamed(view, position)
    if occurrence is None:
        return None
    target = occurrence.target
    views = (view, *others)
    if new_name != target.name:
        _check_name(target, new_name, views)
    changes: dict[str, list[types.TextEdit]] = {}
    for where, one in same_meaning(target, views):
        location = where.location(one.span)
        changes.setdefault(location.uri, []).append(types.TextEdit(location.range, new_name))
    return types.WorkspaceEdit(changes=changes)


def _renamed(view: View, position: types.Position) -> Occurrence | None:
    occurrence = occurrence_at(view, view.spot(position))
    if occurrence is None or occurrence.target.kind not in _RENAMED:
        return None
    return occurrence if definition_of(view.front, occurrence.target) else None


def _check_name(target: Target, new_name: str, views: Iterable[View]) -> None:
    if not _NAME.fullmatch(new_name) or new_name in KEYWORDS:
        raise JsonRpcInvalidParams(
            f"`{new_name}` is no name: letters, digits and `_`, and none of the language's words"
        )
    for view in views:
        scope = view.front.spec.scopes.get(target.file)
        taken = scope and (new_name in scope.lets or new_name in scope.uses or scope.named(new_name))
        if taken:
            raise JsonRpcInvalidParams(f"`{new_name}` is the name of something else already")
