"""Each editor colours each word of every example and of the corpus as the language's own lexer and parser take it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from oracle import CORPUS, ROOT, Stretch, stretches

VIM = ROOT / "editors" / "vim"
VSCODE = ROOT / "editors" / "vscode"
COLOURS = ROOT / "cli" / "playground" / "page" / "colours.js"
TMGRAMMAR_TEST = VSCODE / "node_modules" / ".bin" / "vscode-tmgrammar-test"
SECONDS = 120

by_name = pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
needs_vscode_tools = pytest.mark.skipif(
    not TMGRAMMAR_TEST.exists(), reason="needs the tools of editors/vscode: `npm install` there"
)


def seen_in(path: Path) -> list[Stretch]:
    found = stretches(path.read_text(encoding="utf-8"))
    assert found
    return found


def test_the_corpus_has_every_kind_of_word() -> None:
    kinds = {one.kind for path in CORPUS for one in seen_in(path)}
    assert kinds == {
        *("comment", "doc", "string", "number", "boolean", "keyword"),
        *("block", "label", "base", "field", "let", "alias", "function", "name"),
    }


# ---- Vim and Neovim ----

GROUPS = {
    "alias": "",
    "base": "moeBase",
    "block": "moeKind",
    "boolean": "moeBoolean",
    "comment": "moeComment",
    "doc": "moeDoc",
    "field": "moeField",
    "function": "moeFunction",
    "label": "moeLabel",
    "let": "moeName",
    "name": "",
    "number": "moeNumber",
    "string": "moeString",
}


def group_of(one: Stretch) -> str:
    if one.kind != "keyword":
        return GROUPS[one.kind]
    return {"let": "moeLet", "extends": "moeExtends"}.get(one.text, "moeKeyword")


@pytest.mark.slow
@pytest.mark.parametrize("editor", ["vim", "nvim"])
@by_name
def test_vim_and_neovim(editor: str, path: Path, tmp_path: Path) -> None:
    program = shutil.which(editor)
    if program is None:
        pytest.skip(f"needs {editor}")
    wanted = [one for one in seen_in(path) if one.end > one.start]
    lines = path.read_text(encoding="utf-8").splitlines()
    places, groups = tmp_path / "places", tmp_path / "groups"
    places.write_text("".join(f"{row} {column}\n" for row, column in byte_places(wanted, lines)), encoding="utf-8")
    command = [program, "-u", "NONE", "-i", "NONE", "-n", "--not-a-term", "-e", "-s"]
    if editor == "nvim":
        command = [program, "-u", "NONE", "-i", "NONE", "-n", "--headless"]
    command += ["--cmd", f"set nocompatible encoding=utf-8 runtimepath^={VIM}", "-c", "filetype plugin on | syntax on"]
    command += ["-c", f"edit {path}", "-S", str(Path(__file__).with_name("groups.vim"))]
    paths = {"MOEC_PLACES": str(places), "MOEC_GROUPS": str(groups), "HOME": str(tmp_path)}
    subprocess.run(command, env={**os.environ, **paths}, timeout=SECONDS, capture_output=True, check=False)
    found = groups.read_text(encoding="utf-8").splitlines()
    told = [group for one in wanted for group in (group_of(one), group_of(one))]
    wrong = [
        f"{one.line + 1}:{one.start + 1} {one.text!r} is {one.kind}: {was or 'plain'}, not {should or 'plain'}"
        for one, was, should in zip([one for one in wanted for _ in range(2)], found, told, strict=True)
        if was != should
    ]
    assert wrong == []


def byte_places(wanted: list[Stretch], lines: list[str]) -> list[tuple[int, int]]:
    """The first and the last character of each stretch, as Vim counts: lines and bytes, from 1."""
    return [
        (one.line + 1, len(lines[one.line][:column].encode()) + 1)
        for one in wanted
        for column in (one.start, one.end - 1)
    ]


# ---- the playground ----

IN_PLAYGROUND = {kind: kind for kind in ("comment", "doc", "string", "number", "boolean", "keyword", "block", "field")}
PRINT_COLOURS = """
import { readFileSync } from "node:fs";
const { colours } = await import(process.argv[1]);
process.stdout.write(JSON.stringify(colours(readFileSync(process.argv[2], "utf8"))));
"""


@needs_node
@by_name
def test_the_playground(path: Path, tmp_path: Path) -> None:
    module = tmp_path / "colours.mjs"
    module.write_text(COLOURS.read_text(encoding="utf-8"), encoding="utf-8")
    command = ("node", "--input-type=module", "-e", PRINT_COLOURS, str(module), str(path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    text = path.read_text(encoding="utf-8")
    found = {
        (text.count("\n", 0, start), start - text.rfind("\n", 0, start) - 1, end - start): kind
        for start, end, kind in json.loads(done.stdout)
        if kind != "mark"
    }
    wanted = {
        (one.line, one.start, one.end - one.start): IN_PLAYGROUND[one.kind]
        for one in seen_in(path)
        if one.kind in IN_PLAYGROUND
    }
    assert found == wanted


# ---- VS Code ----

SCOPES = {
    "alias": "variable.other.moe",
    "base": "entity.other.inherited-class.moe",
    "block": "storage.type.moe",
    "boolean": "constant.language.boolean.moe",
    "comment": "comment.line.number-sign.moe",
    "doc": "comment.line.documentation.moe",
    "field": "variable.other.property.moe",
    "function": "support.function.moe",
    "label": "entity.name.type.moe",
    "let": "variable.other.constant.moe",
    "name": "variable.other.moe",
    "number": "constant.numeric.moe",
    "string": "string.quoted.double.moe",
}
KEYWORD_SCOPES = {
    **dict.fromkeys(("if", "else"), "keyword.control.moe"),
    **dict.fromkeys(("and", "or", "not"), "keyword.operator.word.moe"),
}


def scope_of(one: Stretch) -> str:
    return KEYWORD_SCOPES.get(one.text, "keyword.other.moe") if one.kind == "keyword" else SCOPES[one.kind]


def with_assertions(path: Path) -> str:
    """The text as the public test runner wants it: below each line, in comments, what its words are."""
    by_line: dict[int, list[Stretch]] = {}
    for one in seen_in(path):
        by_line.setdefault(one.line, []).append(one)
    rows = ['#! SYNTAX TEST "source.moe"']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        rows.append(line)
        rows += [_assertion(one) for one in by_line.get(number, ())]
    return "\n".join(rows) + "\n"


def _assertion(one: Stretch) -> str:
    if one.start < len("#!"):
        return f"#! <{'~' * one.start}{'-' * (one.end - one.start)} {scope_of(one)}"
    return f"#!{' ' * (one.start - 2)}{'^' * (one.end - one.start)} {scope_of(one)}"


@pytest.mark.slow
@needs_node
@needs_vscode_tools
def test_vscode(tmp_path: Path) -> None:
    for path in CORPUS:
        (tmp_path / path.name).write_text(with_assertions(path), encoding="utf-8")
    grammar = VSCODE / "syntaxes" / "moe.tmLanguage.json"
    command = (str(TMGRAMMAR_TEST), "--grammar", str(grammar), str(tmp_path / "*.moe"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.count("run successfuly") == len(CORPUS)


@pytest.mark.slow
@needs_node
@needs_vscode_tools
def test_the_test_of_vscode_sees_a_wrong_colour(tmp_path: Path) -> None:
    text = with_assertions(CORPUS[0]).replace("storage.type.moe", "keyword.other.moe", 1)
    (tmp_path / "wrong.moe").write_text(text, encoding="utf-8")
    grammar = VSCODE / "syntaxes" / "moe.tmLanguage.json"
    command = (str(TMGRAMMAR_TEST), "--grammar", str(grammar), str(tmp_path / "wrong.moe"))
    assert subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode != 0
