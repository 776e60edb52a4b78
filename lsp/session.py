"""One editor's stay: the texts that it has open, and a check of each that is always on its way.

A change starts a check after a short pause, and takes back one that is under way. A check runs between the editor's
requests on the same thread, a block at a time, so that no answer waits for a check to end. Nothing of the workspace is
ever executed; what is read are specs, the files that they use, and hardware files.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Generator, Iterator
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.uris import from_fs_path, to_fs_path

from moec.lsp.checking import Checked, Checker
from moec.lsp.diagnostics import by_file
from moec.lsp.folders import specs_in
from moec.lsp.front import Front, Library
from moec.lsp.positions import apply_change
from moec.lsp.view import View
from moec.spec.source import Source

PAUSE_SECONDS: Final = 0.03
"""From the last keystroke to a check. Assumption: shorter than between two keys of a fast typist, too short to see."""

SETTLE_SECONDS: Final = 0.4
"""From a check of a text with unbalanced brackets to one of the whole file. Assumption: then the typist is thinking."""


class ContentModified(JsonRpcException):
    """The text changed while an answer was on its way: the editor asks again if it still wants to know."""

    CODE = types.LSPErrorCodes.ContentModified.value
    MESSAGE = "the text has changed"


class Client(Protocol):
    """What a session tells the editor without being asked."""

    def publish(self, uri: str, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        """Shows these diagnostics, and no others, in a file."""

    def refresh(self) -> None:
        """Numbers that are shown between the lines may be others now."""

    def report(self, fault: str) -> None:
        """Something went wrong in the server itself."""


class Document:
    """A text that is open in the editor."""

    def __init__(self, uri: str, name: str, version: int) -> None:
        self.uri = uri
        self.name = name
        self.version = version
        self.checker = Checker()
        self.settled_checker = Checker()
        self.checked: Checked | None = None
        self.task: asyncio.Task[None] | None = None
        self.settling: asyncio.Task[None] | None = None
        self.shown: dict[str, list[types.Diagnostic]] = {}


class Session:
    """Holds the documents, and answers with views of them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.encoding: types.PositionEncodingKind | str = types.PositionEncodingKind.Utf16
        self.with_snippets = False
        self.roots: list[str] = []
        self.library = Library()
        self.documents: dict[str, Document] = {}

    # ---- texts ----

    def open(self, item: types.TextDocumentItem) -> None:
        name = file_name(item.uri, item.language_id)
        self.documents[item.uri] = Document(item.uri, name, item.version)
        self.library.put(Source(name, item.text))
        self._check_all_with(name)

    def change(self, uri: str, version: int, changes: list[types.TextDocumentContentChangeEvent]) -> None:
        document = self.documents[uri]
        source = self.library.source(document.name)
        for change in changes:
            source = apply_change(source, change, self.encoding)
        self.library.put(source)
        document.version = version
        self._check_all_with(document.name)

    def close(self, uri: str) -> None:
        document = self.documents.pop(uri, None)
        if document is None:
            return
        _stop(document)
        self.library.close(document.name)
        shown, document.shown = document.shown, {}
        for name in shown:
            self._publish(name)
        self._check_all_with(document.name)

    def disk_changed(self) -> None:
        """Files that are not open may be others now."""
        self.library.forget()
        for document in self.documents.values():
            document.checker.forget()
            document.settled_checker.forget()
            self._start(document)

    # ---- views ----

    def view(self, uri: str) -> View | None:
        """The text at `uri` as it is now; None where it is not open or cannot be read at all."""
        document = self.documents.get(uri)
        front = self.library.front(document.name)[0] if document else None
        return self._view(document, front) if document and front else None

    async def checked_view(self, uri: str) -> View | None:
        """As `view`, once the text has been checked.

        ContentModified: it has changed while that was waited for.
        """
        document = self.documents.get(uri)
        if document is None or document.task is None:
            return None
        task, version = document.task, document.version
        await asyncio.wait([task])
        if document.version != version or task.cancelled():
            raise ContentModified
        checked = document.checked
        return self._view(document, checked.front) if checked else None

    def views_with(self, file: str) -> Iterator[View]:
        """All specs that are open or in the editor's folders, and that have the file `file`."""
        names = {document.name: None for document in self.documents.values()}
        names |= dict.fromkeys(specs_in(self.roots))
        for name in names:
            view = self.view_of_file(name)
            if view and file in view.front.texts:
                yield view

    def view_of_file(self, name: str) -> View | None:
        """The file `name` as a main file, open or not."""
        front, _ = self.library.front(name)
        return View(front, self.encoding, self.uri) if front else None

    def uri(self, name: str) -> str:
        """Of the file `name`, as the editor calls it."""
        for document in self.documents.values():
            if document.name == name:
                return document.uri
        return from_fs_path(name) or name

    def _view(self, document: Document, front: Front) -> View:
        return View(front, self.encoding, self.uri, document.checked)

    # ---- checks ----

    def _check_all_with(self, name: str) -> None:
        """Checks the documents whose spec has the file `name`."""
        for document in self.documents.values():
            known = document.checked.front.texts if document.checked else ()
            if document.name == name or name in known:
                self._start(document)

    def _start(self, document: Document) -> None:
        _stop(document)
        document.task = asyncio.ensure_future(self._check(document))
        document.task.add_done_callback(self._report)

    async def _check(self, document: Document) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        front = await self._check_once(document, certain=False)
        if front and not front.is_certain:
            document.settling = asyncio.ensure_future(self._settle(document))
            document.settling.add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        """Tells the editor of a fault in `task`; what was shown before stays."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            self.client.report("".join(traceback.format_exception(fault)))

    async def _settle(self, document: Document) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        await self._check_once(document, certain=True)

    async def _check_once(self, document: Document, *, certain: bool) -> Front | None:
        front, told = self.library.front(document.name, certain=certain)
        if front is None:
            plain = [types.Diagnostic(_START, one.message, code=one.code, source="moec") for one in told]
            document.checked = None
            self._show(document, {document.name: plain})
            return None
        version = document.version
        checker = document.settled_checker if certain else document.checker
        checked = await _in_steps(checker.check(front))
        if version != document.version:
            return front
        document.checked = checked
        self._show(document, by_file(checked.diagnostics, self._view(document, front)))
        self.client.refresh()
        return front

    def _show(self, document: Document, found: dict[str, list[types.Diagnostic]]) -> None:
        before, document.shown = document.shown, found
        changed = (name for name in {*before, *found} if before.get(name) != found.get(name))
        for name in sorted({document.name, *changed}):
            self._publish(name)

    def _publish(self, name: str) -> None:
        """Shows what the checks of all documents tell of the file `name`, each thing once."""
        told: list[types.Diagnostic] = []
        version = None
        for document in self.documents.values():
            version = document.version if document.name == name else version
            told += [one for one in document.shown.get(name, ()) if one not in told]
        self.client.publish(self.uri(name), version, told)


def _stop(document: Document) -> None:
    """Takes back what is under way for `document`."""
    for task in (document.task, document.settling):
        if task:
            task.cancel()


_START: Final = types.Range(types.Position(0, 0), types.Position(0, 0))


async def _in_steps(steps: Generator[None, None, Checked]) -> Checked:
    """What `steps` give in the end; others get their turn between two of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Checked = end.value
            return result
        await asyncio.sleep(0)


def file_name(uri: str, language: str) -> str:
    """The name of the file at `uri`; a text that has no file yet gets the ending that its language says."""
    parts = urlsplit(uri)
    path = to_fs_path(uri) if parts.scheme == "file" else None
    name = path or f"/{parts.scheme}/{unquote(parts.netloc + parts.path).lstrip('/')}"
    if name.endswith((".moe", ".yaml", ".yml")):
        return name
    return f"{name}.moe.yaml" if "yaml" in language else f"{name}.moe"
