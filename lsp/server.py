"""The language server: which request is answered by which function.

`moec lsp` runs it over standard input and output. It loads no jax, and nothing of the workspace is ever executed.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from moec.lsp import requests
from moec.lsp.actions import FIX_ALL
from moec.lsp.commands import Page, diff_page, plan_page, program_pages, write_pages
from moec.lsp.numbers import COMPILE_COMMAND, DIFF_COMMAND, PLAN_COMMAND
from moec.lsp.protocol import Protocol
from moec.lsp.session import Session
from moec.lsp.tokens import LEGEND
from moec.spec import VERSION

NAME: Final = "moec"

WATCHED: Final = "**/*.{moe,yaml,yml}"

OPTIONS: Final[dict[str, Any]] = {
    types.TEXT_DOCUMENT_COMPLETION: types.CompletionOptions(trigger_characters=[".", "=", " ", '"']),
    types.TEXT_DOCUMENT_SIGNATURE_HELP: types.SignatureHelpOptions(["(", ","]),
    types.TEXT_DOCUMENT_RENAME: types.RenameOptions(prepare_provider=True),
    types.TEXT_DOCUMENT_CODE_ACTION: types.CodeActionOptions([types.CodeActionKind.QuickFix, FIX_ALL]),
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: LEGEND,
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_RANGE: LEGEND,
}


LAYOUT: Final = (types.TEXT_DOCUMENT_FORMATTING, types.TEXT_DOCUMENT_RANGE_FORMATTING)
"""Offered for `.moe` alone where the editor can be told so: YAML has formatters of its own."""

WITH_LAYOUT: Final[tuple[types.TextDocumentFilter, ...]] = (
    types.TextDocumentFilterLanguage("moe"),
    types.TextDocumentFilterPattern("**/*.moe"),
)


class Server(LanguageServer):
    """Holds the session of its one editor, and speaks for it."""

    def __init__(self) -> None:
        super().__init__(NAME, VERSION, protocol_cls=Protocol)
        self.session = Session(self)
        self.pages: Path | None = None
        self.has_ended = False

    def publish(self, uri: str, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        """Shows these diagnostics, and no others, in a file."""
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, version))

    def refresh(self) -> None:
        """Asks the editor to ask again for the numbers between and above the lines."""
        workspace = self.client_capabilities.workspace
        if workspace and workspace.inlay_hint and workspace.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)
        if workspace and workspace.code_lens and workspace.code_lens.refresh_support:
            self.workspace_code_lens_refresh(None)

    def report(self, fault: str) -> None:
        """Writes a fault of the server itself into the editor's log."""
        self.window_log_message(types.LogMessageParams(types.MessageType.Error, fault))

    def show(self, pages: tuple[Page, ...]) -> dict[str, str]:
        """Writes `pages` into the session's folder, and asks the editor to show the first, if it can do that."""
        self.pages = self.pages or Path(tempfile.mkdtemp(prefix="moec-lsp-"))
        path = write_pages(pages, self.pages)
        uri = from_fs_path(str(path)) or ""
        window = self.client_capabilities.window
        if window and window.show_document and window.show_document.support:
            self.window_show_document(types.ShowDocumentParams(uri, take_focus=True))
        return {"uri": uri, "text": pages[0].text}


def build_server() -> Server:
    """A server that waits for its editor."""
    server = Server()
    _answer(server, *(name for name in requests.HANDLERS if name not in LAYOUT))
    server.feature(types.INITIALIZE)(_initializer(server))
    server.feature(types.INITIALIZED)(_registrar(server))
    server.feature(types.SHUTDOWN)(_ender(server))
    for command, action in ((PLAN_COMMAND, _plan), (COMPILE_COMMAND, _compile), (DIFF_COMMAND, _diff)):
        server.command(command)(_bound_command(action, server))
    return server


def serve() -> bool:
    """Serves the editor on standard input and output until it ends the session; whether it did so as agreed.

    Whatever else would print goes to standard error, where it cannot come between two messages.
    """
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    server = build_server()
    gc.freeze()  # what is loaded by now stays: looking through it for garbage would cost a keystroke now and then
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output, redirect_stdout(sys.stderr):
        server.start_io(sys.stdin.buffer, output)
    return server.has_ended


def _answer(server: Server, *names: str) -> None:
    for name in names:
        server.feature(name, OPTIONS.get(name))(_bound(requests.HANDLERS[name], server.session))


def _bound(handler: requests.Handler, session: Session) -> Callable[[Any], Any]:
    def answer(params: Any) -> Any:
        return handler(session, params)

    async def answer_later(params: Any) -> Any:
        return await handler(session, params)

    return answer_later if handler in requests.WAITING else answer


def _initializer(server: Server) -> Callable[[types.InitializeParams], None]:
    def initialize(params: types.InitializeParams) -> None:
        session = server.session
        session.encoding = server.workspace.position_encoding or types.PositionEncodingKind.Utf16
        uris = [folder.uri for folder in params.workspace_folders or ()] or [params.root_uri or ""]
        session.roots = [path for uri in uris if (path := to_fs_path(uri) if uri else None)]
        text = params.capabilities.text_document
        item = text.completion.completion_item if text and text.completion else None
        session.with_snippets = bool(item and item.snippet_support)
        if not _can_be_told_of_layout(params.capabilities):
            _answer(server, *LAYOUT)

    return initialize


def _can_be_told_of_layout(editor: types.ClientCapabilities) -> bool:
    formatting = editor.text_document.formatting if editor.text_document else None
    return bool(formatting and formatting.dynamic_registration)


def _registrar(server: Server) -> Callable[[types.InitializedParams], None]:
    def register(params: types.InitializedParams) -> None:
        """Asks to be told of files that change on disk, specs that others use and hardware files; offers the layout."""
        editor, offered = server.client_capabilities, []
        watching = editor.workspace.did_change_watched_files if editor.workspace else None
        if watching and watching.dynamic_registration:
            watched = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(WATCHED)])
            offered.append(types.Registration("watched", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, watched))
        if _can_be_told_of_layout(editor):
            _answer(server, *LAYOUT)
            files = types.TextDocumentRegistrationOptions(WITH_LAYOUT)
            offered += [types.Registration(name, name, files) for name in LAYOUT]
        if offered:
            server.client_register_capability(types.RegistrationParams(offered))

    return register


def _ender(server: Server) -> Callable[[None], None]:
    def end(params: None) -> None:
        server.has_ended = True

    return end


# ---- commands ----

_Action = Callable[[Server, str, str], Any]


def _bound_command(action: _Action, server: Server) -> Callable[[str, str], Any]:
    async def command(uri: str, run: str) -> Any:
        return await action(server, uri, run)

    return command


async def _plan(server: Server, uri: str, run: str) -> dict[str, str] | None:
    view = await server.session.checked_view(uri)
    plan = view.checked.plans.get(run) if view and view.checked else None
    return server.show((plan_page(view, plan),)) if view and plan else None


async def _compile(server: Server, uri: str, run: str) -> dict[str, str] | None:
    view = await server.session.checked_view(uri)
    plan = view.checked.plans.get(run) if view and view.checked else None
    return server.show(program_pages(plan)) if plan else None


async def _diff(server: Server, uri: str, run: str) -> dict[str, str] | None:
    view = await server.session.checked_view(uri)
    if view is None or view.checked is None:
        return None
    in_editor = next((one for one in view.checked.runs if one.name == run), None)
    return server.show((diff_page(view.name, run, in_editor),))
