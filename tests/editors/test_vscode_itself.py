"""The extension inside VS Code: what one sees when one opens a spec, types into it and calls its commands."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import browser as chromium
import code_server
import pytest
from browser import CONTROL, END, ENTER, F2
from code_server import Workbench, workbench

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
MOEC = [sys.executable, "-m", "moec.cli.main"]
NOTE = "# A note\n\n```moe\nmodel dense { n_heads = 4 }\n```\n"
FILES = {
    "moec.root": "",
    "good.moe": QUICKSTART,
    "renamed.moe": QUICKSTART,
    "typed.moe": QUICKSTART,
    "untidy.moe": QUICKSTART.replace("d_model    =", "d_model="),
    "mistake.moe": QUICKSTART.replace("activation", "activatoin").replace("seq_len    = 256", "seq_len    = 4k"),
    "mistake.moe.yaml": "edition: 2026\nbudget: {small: {tokns: 1M}}\n",
    "note.md": NOTE,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium.IS_HERE, reason="needs Chromium and its chromedriver"),
    pytest.mark.skipif(code_server.COMMAND is None, reason="needs code-server, on the PATH or named in CODE_SERVER"),
    pytest.mark.skipif(not code_server.VSIX.exists(), reason="needs `npm run package` in editors/vscode"),
]


def folder_of_specs(at: Path) -> Path:
    at.mkdir()
    for name, text in FILES.items():
        (at / name).write_text(text, encoding="utf-8")
    return at


@pytest.fixture(scope="module")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    place = tmp_path_factory.mktemp("vscode")
    with workbench(folder_of_specs(place / "specs"), place / "home", MOEC) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_above_the_text(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "vscode" in request.fixturenames:
        request.getfixturevalue("vscode").leave()


def test_numbers_stand_between_the_lines_and_above_the_runs(vscode: Workbench) -> None:
    vscode.open("good.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the number beside a model")
    vscode.go_to(34, 1)
    vscode.wait_for_text(".codelens-decoration", "compile")
    assert "tokens per parameter" in vscode.text_of(".codelens-decoration")
    assert "tokens/parameter" in vscode.line("run baseline")
    assert "…" not in "".join(vscode.lines())


def test_colours_come_from_the_meaning_of_words(vscode: Workbench) -> None:
    vscode.open("good.moe")
    vscode.go_to(1, 1)
    vscode.page.wait_for(lambda: vscode.colour("swiglu") not in ("", vscode.colour("activation")), "colours")
    assert len({vscode.colour(word) for word in ("swiglu", "activation", "344", "extends")}) == 4


def test_the_mouse_shows_what_a_field_is(vscode: Workbench) -> None:
    vscode.open("good.moe")
    vscode.go_to(9, 1)
    vscode.wait_for_hover("n_kv_heads", "query heads share them in equal groups")


def test_fields_are_offered_where_they_belong(vscode: Workbench) -> None:
    vscode.open("typed.moe")
    vscode.go_to(8, 1)
    vscode.page.press(END)
    vscode.page.press(ENTER)
    vscode.page.write("tie")
    vscode.wait_for_text(".suggest-widget .monaco-list-row.focused", "tie_embeddings")
    vscode.page.press(ENTER)
    vscode.page.wait_for(lambda: vscode.line("tie_embeddings") != "", "the field")


def test_a_mistake_has_its_code_and_is_mended_by_a_quick_fix(vscode: Workbench) -> None:
    vscode.open("mistake.moe")
    vscode.page.wait_for(lambda: vscode.page.ask("return !!document.querySelector('.squiggly-error')"), "a mistake")
    vscode.go_to(10, 30)
    vscode.wait_for_hover("activatoin", "MOE2002")
    vscode.page.press(CONTROL, ".")
    vscode.wait_for_text(".action-widget", "write `activation`")
    vscode.page.press(ENTER)
    vscode.page.wait_for(lambda: "activation = swiglu" in vscode.line("ffn"), "the mended text")


def test_specs_in_yaml_are_checked_too(vscode: Workbench) -> None:
    vscode.open("mistake.moe.yaml")
    vscode.page.wait_for(lambda: vscode.page.ask("return !!document.querySelector('.squiggly-error')"), "a mistake")
    vscode.go_to(2, 18)
    vscode.wait_for_hover("tokns", "MOE2002")


def test_a_model_is_renamed_where_it_is_named(vscode: Workbench) -> None:
    vscode.open("renamed.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the server")
    vscode.go_to(4, 8)
    vscode.page.press(F2)
    vscode.wait_for_text(".rename-box", "")
    vscode.page.wait_for(
        lambda: bool(vscode.page.ask("return document.activeElement.className == 'rename-input'")), "a box"
    )
    vscode.page.write("narrow")
    vscode.page.press(ENTER)
    vscode.page.wait_for(lambda: vscode.line("model sparse extends narrow") != "", "the new name")
    assert vscode.line("model narrow")


def test_the_layout_is_that_of_moec_fmt(vscode: Workbench) -> None:
    vscode.open("untidy.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the server")
    vscode.run("Format Document")
    vscode.wait_for_line("  d_model    = 128")


def test_a_plan_is_a_page_and_a_program_is_text(vscode: Workbench) -> None:
    vscode.open("good.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the server")
    vscode.run("moec: Plan")
    vscode.wait_for_text(".quick-input-widget", "with_moe")
    vscode.page.press(ENTER)
    vscode.page.wait_for(lambda: "baseline.plan.md" in vscode.tab() and "review" in vscode.tab(), "the page")
    vscode.open("good.moe")
    vscode.run("moec: Compile")
    vscode.wait_for_text(".quick-input-widget", "with_moe")
    vscode.page.press(ENTER)
    vscode.page.wait_for(lambda: vscode.tab() == "program.py", "the program")
    vscode.page.wait_for(lambda: vscode.line('"""Run `baseline`') != "", "its text")


def test_the_numbers_can_be_turned_off_and_on(vscode: Workbench) -> None:
    vscode.open("good.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the numbers")
    vscode.run("moec: Show Derived Numbers")
    vscode.page.wait_for(lambda: "parameters" not in vscode.line("model dense"), "the text alone")
    vscode.run("moec: Show Derived Numbers")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the numbers again")


def test_fences_in_markdown_are_coloured(vscode: Workbench) -> None:
    vscode.open("note.md")
    plain = "rgb(204, 204, 204)"
    vscode.page.wait_for(lambda: vscode.colour("n_heads") not in ("", plain), "colours")
    assert len({vscode.colour(word) for word in ("model", "dense", "n_heads", "4")}) == 4


def test_where_moec_is_missing_one_is_told_what_to_do(tmp_path: Path) -> None:
    missing = [str(tmp_path / "no" / "moec")]
    with workbench(folder_of_specs(tmp_path / "specs"), tmp_path / "home", missing) as vscode:
        vscode.open("good.moe")
        vscode.wait_for_text(".notification-toast", 'Install it with: python3 -m pip install "moec[lsp]"')
        assert "Copy the install command" in vscode.text_of(".notification-toast")
        assert shutil.which("moec") is None or vscode.line("model dense") == "model dense {"


def test_nothing_is_started_in_a_folder_that_is_not_trusted(tmp_path: Path) -> None:
    folder, started = folder_of_specs(tmp_path / "specs"), tmp_path / "started"
    moec = tmp_path / "moec"
    moec.write_text(f'#!/bin/sh\ntouch "{started}"\nexec "{sys.executable}" -m moec.cli.main "$@"\n', encoding="utf-8")
    moec.chmod(0o700)
    with workbench(folder, tmp_path / "home", [str(moec)], trusted=False) as vscode:
        vscode.open("good.moe")
        vscode.wait_for_text(".statusbar", "Restricted Mode")
        vscode.page.wait_for(lambda: vscode.colour("vocab_size") not in ("", vscode.colour("256")), "colours")
        assert not started.exists()
        vscode.run("Workspaces: Manage Workspace Trust")
        vscode.wait_for_text(".workspace-trust-editor", "Trust")
        vscode.page.press(CONTROL, ENTER)
        vscode.wait_for_text(".workspace-trust-editor", "You trust this folder")
        vscode.leave()
        vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the numbers")
        assert started.exists()
        assert vscode.text_of(".notification-toast") == ""
