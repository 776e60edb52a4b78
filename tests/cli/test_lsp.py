"""`moec lsp`: what it needs. What it answers is held in tests/lsp."""

from __future__ import annotations

import sys

import pytest


def test_without_pygls_it_says_what_to_install(moec, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("moec.lsp.server", "moec.lsp.protocol"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("pygls", "pygls.lsp.server"):
        monkeypatch.setitem(sys.modules, name, None)
    called = moec("lsp")
    assert called.status == 2
    assert 'pip install "moec[lsp]"' in called.err
