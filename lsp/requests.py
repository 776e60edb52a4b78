"""Requests of the editor -> the functions that answer them.

A request for a file that is not open has the answer of an empty one. Those in WAITING answer once the text has been
checked, all others from the text as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lsprotocol import types
from pygls.uris import to_fs_path

from moec.lsp.actions import code_actions
from moec.lsp.completion import complete
from moec.lsp.formatting import format_range, format_whole
from moec.lsp.hover import hover
from moec.lsp.names import occurrence_at
from moec.lsp.navigation import definition, find_references, highlight, links
from moec.lsp.numbers import inlay_hints, lenses
from moec.lsp.outline import folds, selections, symbols, workspace_symbols
from moec.lsp.rename import prepare_rename, rename
from moec.lsp.session import Session
from moec.lsp.signature import signature_help
from moec.lsp.tokens import semantic_tokens
from moec.lsp.view import View

Handler = Callable[[Session, Any], Any]


# ---- what happens to texts and folders ----


def did_open(session: Session, params: types.DidOpenTextDocumentParams) -> None:
    session.open(params.text_document)


def did_change(session: Session, params: types.DidChangeTextDocumentParams) -> None:
    session.change(params.text_document.uri, params.text_document.version, list(params.content_changes))


def did_close(session: Session, params: types.DidCloseTextDocumentParams) -> None:
    session.close(params.text_document.uri)


def did_change_files(session: Session, params: types.DidChangeWatchedFilesParams) -> None:
    session.disk_changed()


def did_change_folders(session: Session, params: types.DidChangeWorkspaceFoldersParams) -> None:
    gone = {to_fs_path(folder.uri) for folder in params.event.removed}
    added = [path for folder in params.event.added if (path := to_fs_path(folder.uri))]
    session.roots = [root for root in session.roots if root not in gone] + added


# ---- questions ----


def _at_position(answer: Callable[[View, types.Position], Any]) -> Handler:
    def handle(session: Session, params: types.TextDocumentPositionParams) -> Any:
        view = session.view(params.text_document.uri)
        return answer(view, params.position) if view else None

    return handle


def _of_file(answer: Callable[[View], Any]) -> Handler:
    def handle(session: Session, params: Any) -> Any:
        view = session.view(params.text_document.uri)
        return answer(view) if view else None

    return handle


def _of_range(answer: Callable[[View, types.Range], Any]) -> Handler:
    def handle(session: Session, params: Any) -> Any:
        view = session.view(params.text_document.uri)
        return answer(view, params.range) if view else None

    return handle


def _complete(session: Session, params: types.CompletionParams) -> types.CompletionList | None:
    view = session.view(params.text_document.uri)
    return complete(view, params.position, with_places=session.with_snippets) if view else None


def _references(session: Session, params: types.ReferenceParams) -> list[types.Location] | None:
    view = session.view(params.text_document.uri)
    if view is None:
        return None
    others = _others(session, view, params.position)
    with_definition = params.context.include_declaration
    return find_references(view, params.position, others, with_definition=with_definition)


def _rename(session: Session, params: types.RenameParams) -> types.WorkspaceEdit | None:
    view = session.view(params.text_document.uri)
    if view is None:
        return None
    return rename(view, params.position, params.new_name, tuple(_others(session, view, params.position)))


def _others(session: Session, view: View, position: types.Position) -> list[View]:
    """The specs that may name what is at `position`: those that have the file in which that gets its name."""
    occurrence = occurrence_at(view, view.spot(position))
    return list(session.views_with(occurrence.target.file)) if occurrence else []


def _workspace_symbols(session: Session, params: types.WorkspaceSymbolParams) -> list[types.WorkspaceSymbol]:
    views = [session.view(uri) for uri in session.documents]
    return [symbol for view in views if view for symbol in workspace_symbols(view, params.query)]


def _selections(session: Session, params: types.SelectionRangeParams) -> list[types.SelectionRange] | None:
    view = session.view(params.text_document.uri)
    return selections(view, list(params.positions)) if view else None


# ---- questions that wait for a check ----


async def _actions(session: Session, params: types.CodeActionParams) -> list[types.CodeAction] | None:
    view = await session.checked_view(params.text_document.uri)
    only = list(params.context.only) if params.context.only is not None else None
    return code_actions(view, params.range, only) if view else None


async def _inlay_hints(session: Session, params: types.InlayHintParams) -> list[types.InlayHint] | None:
    view = await session.checked_view(params.text_document.uri)
    return inlay_hints(view, params.range) if view else None


async def _lenses(session: Session, params: types.CodeLensParams) -> list[types.CodeLens] | None:
    view = await session.checked_view(params.text_document.uri)
    return lenses(view) if view else None


WAITING: Final[tuple[Handler, ...]] = (_actions, _inlay_hints, _lenses)

HANDLERS: Final[Mapping[str, Handler]] = {
    types.TEXT_DOCUMENT_DID_OPEN: did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: did_change,
    types.TEXT_DOCUMENT_DID_CLOSE: did_close,
    types.WORKSPACE_DID_CHANGE_WATCHED_FILES: did_change_files,
    types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: did_change_folders,
    types.TEXT_DOCUMENT_HOVER: _at_position(hover),
    types.TEXT_DOCUMENT_COMPLETION: _complete,
    types.TEXT_DOCUMENT_SIGNATURE_HELP: _at_position(signature_help),
    types.TEXT_DOCUMENT_DEFINITION: _at_position(definition),
    types.TEXT_DOCUMENT_REFERENCES: _references,
    types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: _at_position(highlight),
    types.TEXT_DOCUMENT_PREPARE_RENAME: _at_position(prepare_rename),
    types.TEXT_DOCUMENT_RENAME: _rename,
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: _of_file(symbols),
    types.WORKSPACE_SYMBOL: _workspace_symbols,
    types.TEXT_DOCUMENT_FOLDING_RANGE: _of_file(folds),
    types.TEXT_DOCUMENT_SELECTION_RANGE: _selections,
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: _of_file(semantic_tokens),
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_RANGE: _of_range(semantic_tokens),
    types.TEXT_DOCUMENT_FORMATTING: _of_file(format_whole),
    types.TEXT_DOCUMENT_RANGE_FORMATTING: _of_range(format_range),
    types.TEXT_DOCUMENT_DOCUMENT_LINK: _of_file(links),
    types.TEXT_DOCUMENT_CODE_ACTION: _actions,
    types.TEXT_DOCUMENT_INLAY_HINT: _inlay_hints,
    types.TEXT_DOCUMENT_CODE_LENS: _lenses,
}
