"""The protocol as pygls speaks it, but for texts: the session keeps its own.

pygls ends lines at characters where neither the protocol nor the language does (form feeds, `\\x85`, U+2028), so its
copies would drift away from the editor's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from lsprotocol import types
from pygls.protocol.language_server import LanguageServerProtocol, lsp_method

_Steps = Generator[Any, Any, None]


class Protocol(LanguageServerProtocol):
    """Passes what the editor tells of its texts on to the handlers, and keeps nothing of it."""

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> _Steps:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_OPEN], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE], (params,), None
