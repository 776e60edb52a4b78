"""The mends that are offered, and what the text is after them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from desk import BASE, Desk
from lsprotocol import types

from moec.lsp import actions
from moec.lsp.actions import FIX_ALL, code_actions, deprecated
from moec.lsp.view import View
from moec.spec.fields.table import field_info


def offered(view: View, only: list[types.CodeActionKind | str] | None = None) -> dict[str, types.CodeAction]:
    return {one.title: one for one in code_actions(view, view.lines.whole, only)}


def applied(view: View, action: types.CodeAction) -> str:
    assert action.edit is not None
    assert action.edit.changes is not None
    ((uri, edits),) = action.edit.changes.items()
    assert uri == view.uri(view.name)
    text, lines = view.text.source.text, view.lines
    for one in sorted(edits, key=lambda one: one.range.start, reverse=True):
        assert isinstance(one, types.TextEdit)
        text = text[: lines.offset(one.range.start)] + one.new_text + text[lines.offset(one.range.end) :]
    return text


def codes(view: View) -> list[str]:
    assert view.checked is not None
    return [one.code for one in view.checked.diagnostics]


MENDED = [
    ("seq_len    = 64", "seq_len    = 4k", "write `4Ki`", "seq_len    = 4Ki"),
    ("n_layers   = 2", "n_laers   = 2", "write `n_layers`", "n_layers   = 2"),
    ("= swiglu", "= swigly", "write `swiglu`", "= swiglu"),
    ("hardware = cpu", "hardware = cpi", "write `cpu`", "hardware = cpu"),
    ("model = dense", "model = dens", "write `dense`", "model = dense"),
    ("  n_layers   = 2\n", "", "add `n_layers = 12`", "  n_layers = 12\n}"),
    ("n_heads = heads }", "}", "add `n_heads = 32`", "attention { n_heads = 32 }"),
    ("steps = 4 }", "}", "add `tokens = 20B`", "budget small { tokens = 20B }"),
    ("batch { tokens = 256 }\n  ", "", "add `batch { tokens = 4Ki }`", '"small"\n  batch { tokens = 4Ki }\n}'),
    ("n_heads = heads }", "n_heads = heads, n_kv_heads = 5 }", "write n_kv_heads = 4", "n_kv_heads = 4 }"),
    ("n_heads = heads }", "n_heads = heads, n_kv_heads = 5 }", "write n_kv_heads = 6", "n_kv_heads = 6 }"),
    ("tokens = 256 }", "tokens = 320 }", "write tokens = 256", "tokens = 256 }"),
    ("let heads = 12", "let more = 1\nlet heads = 12", "remove the `let`", "let heads = 12"),
    ("edition = 2026\n", "", "insert the edition", "edition = 2026"),
    ("n_layers   = 2", "n_layers   : 2", "replace `:` by `=`", "n_layers    = 2"),
]


@pytest.mark.parametrize(("old", "broken", "title", "wanted"), MENDED, ids=[title for _, _, title, _ in MENDED])
def test_a_mistake_is_mended(desk: Desk, old: str, broken: str, title: str, wanted: str) -> None:
    assert old in BASE
    view = desk.view(BASE.replace(old, broken, 1))
    mends = offered(view)
    assert title in mends, mends.keys()
    text = applied(view, mends[title])
    assert wanted in text
    (told,) = mends[title].diagnostics or ()
    assert told.code not in codes(desk.view(text))


def test_an_added_field_has_the_line_ends_of_the_file(desk: Desk) -> None:
    view = desk.view(BASE.replace("  n_layers   = 2\n", "").replace("\n", "\r\n"))
    text = applied(view, offered(view)["add `n_layers = 12`"])
    assert "\r\n  n_layers = 12\r\n}" in text


def test_all_that_is_safe_is_mended_at_once_and_no_guess_is_made(desk: Desk) -> None:
    broken = (
        BASE.replace("n_layers   = 2", "n_layers   : 2;").replace('"small"', "'small'").replace("= swiglu", "= swigly")
    )
    view = desk.view(broken)
    (action,) = offered(view, [FIX_ALL]).values()
    assert action.kind == FIX_ALL
    text = applied(view, action)
    assert '"small"' in text
    assert "swigly" in text
    assert {one for one in codes(desk.view(text)) if one.startswith("MOE1")} == set()


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_warning_can_be_allowed_with_a_reason(desk: Desk, ending: str) -> None:
    text = BASE.replace("let heads = 12", "let more = 1\nlet heads = 12").replace("\n", ending)
    view = desk.view(text)
    assert codes(view) == ["MOE2015"]
    allowed = applied(view, offered(view)["allow MOE2015 here, with a reason"])
    comment = f"# moec: allow MOE2015: {ending}let more = 1"
    assert comment in allowed
    assert codes(desk.view(allowed)) == ["MOE9301", "MOE2015"]
    assert codes(desk.view(allowed.replace("MOE2015: ", "MOE2015: for later"))) == []


def test_an_allowance_is_shown_where_it_stands(desk: Desk) -> None:
    text = BASE.replace("let heads = 12", "# moec: allow MOE9102\n\nlet heads = 12") + "# moec: allow MOE9101\n"
    view = desk.view(text)
    assert view.checked is not None
    shown = [view.text.source.slice(view.front.real(one.span)) for one in view.checked.diagnostics]
    assert shown == ["# moec: allow MOE9102", "# moec: allow MOE9101"]


def test_an_error_cannot_be_allowed(desk: Desk) -> None:
    view = desk.view(BASE.replace("tokens = 256 }", "tokens = 320 }"))
    assert not any(title.startswith("allow") for title in offered(view))


def test_a_right_text_has_no_actions(desk: Desk) -> None:
    assert offered(desk.view(BASE)) == {}


def test_only_what_is_asked_for_is_given(desk: Desk) -> None:
    view = desk.view(BASE.replace("n_layers   = 2", "n_layers   : 2"))
    assert {one.kind for one in offered(view, [types.CodeActionKind.QuickFix]).values()} == {"quickfix"}
    assert {one.kind for one in offered(view, [types.CodeActionKind.Source]).values()} == {FIX_ALL}
    assert offered(view, [types.CodeActionKind.Refactor]) == {}


def test_actions_are_those_of_the_lines_that_are_asked_for(desk: Desk) -> None:
    view = desk.view(BASE.replace("n_layers   = 2", "n_laers   = 2"))
    first = types.Range(types.Position(0, 0), types.Position(1, 0))
    assert code_actions(view, first, None) == []


def test_a_field_with_a_successor_can_be_renewed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    view = desk.view(BASE)
    assert list(deprecated(view.text.file)) == []

    def as_if_replaced(path: str) -> object:
        info = field_info(path)
        return replace(info, replaced_by="depth") if info and info.name == "n_layers" else info

    monkeypatch.setattr(actions, "field_info", as_if_replaced)
    (action,) = offered(view).values()
    assert "  depth   = 2" in applied(view, action)
