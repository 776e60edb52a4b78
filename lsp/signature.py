"""How the function is called whose arguments are being typed."""

from __future__ import annotations

from lsprotocol import types

from moec.lsp.cursor import cursor_at
from moec.lsp.view import View
from moec.spec.functions import FUNCTIONS


def signature_help(view: View, position: types.Position) -> types.SignatureHelp | None:
    """The usage of the innermost function around `position`, with the argument that is next."""
    cursor = cursor_at(view.text, view.lines.offset(position))
    function = FUNCTIONS.get(cursor.call)
    if function is None:
        return None
    names = function.usage.partition("(")[2].removesuffix(")").split(", ")
    signature = types.SignatureInformation(
        function.usage,
        types.MarkupContent(types.MarkupKind.Markdown, function.doc),
        [types.ParameterInformation(name) for name in names],
    )
    return types.SignatureHelp([signature], 0, min(cursor.argument, len(names) - 1))
