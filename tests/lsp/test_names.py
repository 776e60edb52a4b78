"""From names to what they mean and back: definition, references, highlight, rename, links."""

from __future__ import annotations

import pytest
from desk import BASE, CURSOR, Desk, found
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from moec.lsp.navigation import definition, find_references, highlight, links
from moec.lsp.rename import prepare_rename, rename
from moec.lsp.view import View

USER = """\
edition = 2026
use "base.moe" as base

model big extends base.dense { n_layers = 2 * base.dense.n_layers }

let more = base.heads + base.dense.d_model
"""


def defined(desk: Desk, text: str) -> str:
    """The line in which the name at `‸` gets its meaning."""
    view = desk.view(text)
    answer = definition(view, desk.position)
    if not answer:
        return ""
    return view.text.source.line(answer[0].target_selection_range.start.line + 1).strip()


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("n_heads = he‸ads", "let heads = 12"),
        ("32 * he‸ads", "let heads = 12"),
        ("model = de‸nse", "model dense {"),
        ("mesh = lap‸top", "mesh laptop { hardware = cpu, devices = 4, axes { data = auto, fsdp = 2 } }"),
        ("4 * d_mo‸del", "d_model    = 32 * heads"),
        ("activation = swi‸glu", ""),
        ("plan.params.to‸tal", ""),
    ],
)
def test_a_name_leads_to_its_definition(desk: Desk, before: str, line: str) -> None:
    assert defined(desk, BASE.replace(before.replace(CURSOR, ""), before, 1)) == line


def test_an_inherited_field_leads_to_the_block_that_wrote_it(desk: Desk) -> None:
    text = BASE + "model deep extends dense { n_layers = 4 }\nlet width = deep.d_mo‸del\n"
    assert defined(desk, text) == "d_model    = 32 * heads"
    assert defined(desk, text.replace("deep.d_mo‸del", "deep.n_lay‸ers")) == "model deep extends dense { n_layers = 4 }"


def test_the_name_of_a_block_leads_on_to_what_it_extends(desk: Desk) -> None:
    assert defined(desk, BASE + "model de‸ep extends dense { n_layers = 4 }\n") == "model dense {"


def in_two_files(desk: Desk, user: str) -> View:
    """`user` as a.moe, which uses base.moe on disk."""
    (desk.folder / "base.moe").write_text(BASE, encoding="utf-8")
    return desk.view(user)


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("base.de‸nse {", "model dense {"),
        ("base.he‸ads", "let heads = 12"),
        ("base.dense.n_la‸yers", "n_layers   = 2"),
        ('"ba‸se.moe"', "edition = 2026"),
        ("= ba‸se.heads", "edition = 2026"),
    ],
)
def test_definitions_are_found_in_used_files(desk: Desk, before: str, line: str) -> None:
    view = in_two_files(desk, USER.replace(before.replace(CURSOR, ""), before, 1))
    answer = definition(view, desk.position)
    assert answer
    assert answer[0].target_uri.endswith("/base.moe")
    assert BASE.splitlines()[answer[0].target_selection_range.start.line].strip() == line


def test_references_are_found_in_all_files_that_use_the_name(desk: Desk) -> None:
    user = in_two_files(desk, USER)
    view = desk.view(BASE.replace("model dense", "model de‸nse"), "base.moe")
    found_at = find_references(view, desk.position, [user], with_definition=True)
    assert [(one.uri.rpartition("/")[2], one.range.start.line) for one in found_at] == [
        ("base.moe", 6),
        ("base.moe", 20),
        ("a.moe", 3),
        ("a.moe", 3),
        ("a.moe", 5),
    ]
    assert len(find_references(view, desk.position, [user], with_definition=False)) == 4


def test_a_word_of_a_field_is_no_reference_to_a_let_of_the_same_name(desk: Desk) -> None:
    text = BASE.replace("let heads", "let swiglu = 3\nlet he‸ads")
    view = desk.view(text.replace("let swiglu", "let swi‸glu").replace("he‸ads", "heads"))
    assert find_references(view, desk.position, [], with_definition=True) != []
    assert find_references(view, desk.position, [], with_definition=False) == []


def test_highlight_tells_writing_from_reading(desk: Desk) -> None:
    view = desk.view(BASE.replace("let heads", "let he‸ads"))
    answer = highlight(view, desk.position)
    assert answer is not None
    write, read = types.DocumentHighlightKind.Write, types.DocumentHighlightKind.Read
    assert [one.kind for one in answer] == [write, read, read]
    assert {found(view, one.range) for one in answer} == {"heads"}


def applied(view: View, edit: types.WorkspaceEdit | None, name: str) -> str:
    """The text of the file `name` after `edit`."""
    assert edit is not None
    assert edit.changes is not None
    file = next(file for file in view.front.texts if file.endswith(f"/{name}"))
    lines, text = view.lines_of(file), view.front.texts[file].source.text
    changes = [one for uri, edits in edit.changes.items() if uri.endswith(f"/{name}") for one in edits]
    for one in sorted(changes, key=lambda one: one.range.start, reverse=True):
        assert isinstance(one, types.TextEdit)
        text = text[: lines.offset(one.range.start)] + one.new_text + text[lines.offset(one.range.end) :]
    return text


def test_renaming_a_block_changes_every_file_and_nothing_else(desk: Desk) -> None:
    view = in_two_files(desk, USER.replace("base.dense {", "base.de‸nse {"))
    edit = rename(view, desk.position, "thick", [])
    assert applied(view, edit, "a.moe") == USER.replace("dense", "thick")
    named = {"model dense": "model thick", "model = dense": "model = thick"}
    wanted = BASE
    for old, new in named.items():
        wanted = wanted.replace(old, new)
    assert applied(view, edit, "base.moe") == wanted


def test_renaming_a_let_keeps_the_spec_without_mistakes(desk: Desk) -> None:
    view = desk.view(BASE.replace("let heads", "let he‸ads"))
    after = desk.view(applied(view, rename(view, desk.position, "n", []), "a.moe"))
    assert after.checked is not None
    assert after.checked.diagnostics == ()
    assert "heads *" not in after.text.source.text


@pytest.mark.parametrize("name", ["2x", "let", "a b", "é", "x" * 65, "dense", "laptop"])
def test_a_name_that_is_none_or_is_taken_is_refused(desk: Desk, name: str) -> None:
    view = desk.view(BASE.replace("let heads", "let he‸ads"))
    with pytest.raises(JsonRpcInvalidParams):
        rename(view, desk.position, name, [])


def test_a_field_of_the_language_cannot_be_renamed(desk: Desk) -> None:
    view = desk.view(BASE.replace("n_layers ", "n_lay‸ers "))
    assert prepare_rename(view, desk.position) is None
    assert rename(view, desk.position, "depth", []) is None
    view = desk.view(BASE.replace("model = dense", "model = de‸nse"))
    answer = prepare_rename(view, desk.position)
    assert answer is not None
    assert (answer.placeholder, found(view, answer.range)) == ("dense", "dense")


def test_paths_are_links(desk: Desk) -> None:
    view = in_two_files(desk, USER + 'mesh own { hardware = "chip.yaml", devices = 1 }\n')
    answer = links(view)
    assert [(one.target or "").rpartition("/")[2] for one in answer] == ["base.moe", "chip.yaml"]
    assert [found(view, one.range) for one in answer] == ['"base.moe"', '"chip.yaml"']


def test_renaming_in_yaml_changes_keys_and_references(desk: Desk) -> None:
    text = "edition: 2026\nmodel:\n  den‸se:\n    d_model: 4\n  deep:\n    extends: dense\n"
    view = desk.view(text, "a.moe.yaml")
    edit = rename(view, desk.position, "thick", [])
    assert applied(view, edit, "a.moe.yaml") == text.replace(CURSOR, "").replace("dense", "thick")
