"""What an editor is told of a mistake."""

from __future__ import annotations

from moec.lsp.diagnostics import message_of
from moec.spec.loader import load_text


def messages(text: str) -> list[str]:
    return [message_of(one) for one in load_text("a.moe", text)[1]]


def test_a_message_does_not_point_where_the_editor_underlines() -> None:
    """The terminal writes `here` under the place."""
    (message,) = messages("edition = 2026\nmodel")
    assert message.startswith("expected")
    assert "here" not in message.split("\n")
