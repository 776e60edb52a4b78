"""What an editor is told while it types, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from desk import BASE
from lsprotocol import types

from moec.lsp import session as session_module
from moec.lsp.checking import Checker
from moec.lsp.session import ContentModified, Session, file_name


@dataclass
class Listener:
    """An editor that writes down what it is told."""

    published: list[tuple[str, int | None, list[str]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    refreshed: int = 0

    def publish(self, uri: str, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        self.published.append((uri.rpartition("/")[2], version, [str(one.code) for one in diagnostics]))

    def refresh(self) -> None:
        self.refreshed += 1

    def report(self, fault: str) -> None:
        self.faults.append(fault)


def in_session(folder: Path, act: Callable[[Session, Listener, str], Awaitable[None]]) -> None:
    """Does `act` in a session with `BASE` open as a.moe, once that has been checked."""
    (folder / "moec.root").touch()

    async def run() -> None:
        listener = Listener()
        session = Session(listener)
        uri = (folder / "a.moe").as_uri()
        session.open(types.TextDocumentItem(uri, "moe", 1, BASE))
        await session.checked_view(uri)
        await act(session, listener, uri)

    asyncio.run(run())


def replace(session: Session, uri: str, version: int, text: str) -> None:
    session.change(uri, version, [types.TextDocumentContentChangeWholeDocument(text)])


def test_quick_keystrokes_are_checked_once(tmp_path: Path) -> None:
    async def act(session: Session, listener: Listener, uri: str) -> None:
        for version in range(2, 12):
            replace(session, uri, version, BASE.replace("seq_len    = 64", f"seq_len = {version}"))
        await session.checked_view(uri)
        assert [version for _, version, _ in listener.published] == [1, 11]

    in_session(tmp_path, act)


def test_a_check_that_a_keystroke_overtakes_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PAUSE_SECONDS", 0)

    async def act(session: Session, listener: Listener, uri: str) -> None:
        replace(session, uri, 2, BASE.replace("let heads = 12", "let heads = 0"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the check of version 2 has begun
        replace(session, uri, 3, BASE)
        await session.checked_view(uri)
        assert listener.published[-1] == ("a.moe", 3, [])
        assert 2 not in [version for _, version, _ in listener.published]

    in_session(tmp_path, act)


def test_a_stale_question_is_refused(tmp_path: Path) -> None:
    async def act(session: Session, listener: Listener, uri: str) -> None:
        replace(session, uri, 2, BASE + "\n")
        question = asyncio.ensure_future(session.checked_view(uri))
        await asyncio.sleep(0)
        replace(session, uri, 3, BASE)
        with pytest.raises(ContentModified):
            await question

    in_session(tmp_path, act)


def test_unbalanced_brackets_are_looked_at_again_as_check_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SETTLE_SECONDS", 0.01)

    async def act(session: Session, listener: Listener, uri: str) -> None:
        replace(session, uri, 2, BASE.replace("seq_len    = 64", "seq_len    = (64"))
        await session.checked_view(uri)
        settling = session.documents[uri].settling
        assert settling is not None
        await settling
        checked = session.documents[uri].checked
        assert checked is not None
        assert len(checked.front.text.pieces) == 1
        assert [codes for _, version, codes in listener.published if version == 2][-1][:1] == ["MOE1005"]

    in_session(tmp_path, act)


def test_a_fault_is_reported_and_what_was_shown_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(session: Session, listener: Listener, uri: str) -> None:
        def broken(self: Checker, front: object) -> None:
            raise ZeroDivisionError("a fault")

        before = list(listener.published)
        monkeypatch.setattr(Checker, "check", broken)
        replace(session, uri, 2, BASE + "\n")
        await session.checked_view(uri)
        await asyncio.sleep(0)
        assert ["ZeroDivisionError: a fault" in fault for fault in listener.faults] == [True]
        assert listener.published == before

    in_session(tmp_path, act)


def test_a_file_that_is_too_large_is_told_and_not_read(tmp_path: Path) -> None:
    async def act(session: Session, listener: Listener, uri: str) -> None:
        replace(session, uri, 2, "# " + "x" * (1 << 20))
        assert await session.checked_view(uri) is None
        assert listener.published[-1] == ("a.moe", 2, ["MOE0003"])

    in_session(tmp_path, act)


@pytest.mark.parametrize(
    ("uri", "language", "name"),
    [
        ("file:///specs/a%20b.moe", "moe", "/specs/a b.moe"),
        ("file:///specs/a.moe.yaml", "yaml", "/specs/a.moe.yaml"),
        ("untitled:Untitled-1", "moe", "/untitled/Untitled-1.moe"),
        ("untitled:Untitled-1", "moe-yaml", "/untitled/Untitled-1.moe.yaml"),
    ],
)
def test_a_text_has_a_name_that_says_its_form(uri: str, language: str, name: str) -> None:
    assert file_name(uri, language) == name
