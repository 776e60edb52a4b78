"""The tree-sitter grammar takes what the language takes, and colours each word as what it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from oracle import CORPUS, Stretch, stretches
from tree_sitter import COMMAND, GRAMMAR, build, run

from moec.spec.parser import parse
from moec.spec.source import Source

ROOT = Path(__file__).parents[2]
QUERIES = {"neovim": GRAMMAR / "queries" / "moe", "helix": ROOT / "editors" / "helix" / "queries" / "moe"}
CAPTURE = re.compile(r"capture: \d+ - ([\w.]+), start: \((\d+), (\d+)\), end: \((\d+), (\d+)\)")

NAMES = {
    "alias": ("module", "namespace"),
    "base": ("type", "type"),
    "block": ("keyword.type", "keyword.storage.type"),
    "boolean": ("boolean", "constant.builtin.boolean"),
    "comment": ("comment", "comment.line"),
    "doc": ("comment.documentation", "comment.line.documentation"),
    "field": ("property", "variable.other.member"),
    "function": ("function.call", "function"),
    "label": ("type", "type"),
    "let": ("constant", "constant"),
    "name": ("variable", "variable"),
    "number": ("number", "constant.numeric"),
    "string": ("string", "string"),
}
KEYWORDS = {
    **dict.fromkeys(("if", "else"), ("keyword.conditional", "keyword.control.conditional")),
    **dict.fromkeys(("and", "or", "not"), ("keyword.operator", "keyword.operator")),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMMAND is None, reason="needs the command tree-sitter, on the PATH or named in TREE_SITTER"),
]


@pytest.fixture(scope="module")
def grammar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the grammar with the parser that is made of it."""
    place = tmp_path_factory.mktemp("grammar") / "moe"
    return build(place, place / "moe.so")


def test_the_corpus_has_the_trees_that_it_says(grammar: Path) -> None:
    assert "✗" not in run(grammar, "test")


def test_what_the_language_takes_is_taken(grammar: Path) -> None:
    """Every spec of the project that has no mistake in its syntax."""
    found = [path for path in sorted(ROOT.glob("[!.]*/**/*.moe")) if "node_modules" not in path.parts]
    sound = [path for path in found if parse(Source(path.name, path.read_bytes().decode("utf-8")))[1] == ()]
    assert set(CORPUS) <= set(sound)
    run(grammar, "parse", "--quiet", *map(str, sound))


def test_a_mistake_is_seen(grammar: Path) -> None:
    (grammar / "mistake.moe").write_text("model m { d_model = = 4 }\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="ERROR"):
        run(grammar, "parse", "--quiet", "mistake.moe")


@pytest.mark.parametrize("editor", ["neovim", "helix"])
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_colours(editor: str, path: Path, grammar: Path) -> None:
    told = run(grammar, "query", "--captures", str(QUERIES[editor] / "highlights.scm"), str(path))
    captured: dict[tuple[int, int, int], list[str]] = {}
    for name, row, start, end_row, end in CAPTURE.findall(told):
        assert row == end_row
        captured.setdefault((int(row), int(start), int(end)), []).append(name)
    text = path.read_text(encoding="utf-8")
    lines, column = text.splitlines(), list(QUERIES).index(editor)
    wrong = [
        f"{one.line + 1}: {one.text!r} is {one.kind}, and coloured as {captured.get(place(one, lines))}"
        for one in stretches(text)
        if captured.get(place(one, lines)) != [names_of(one)[column]]
    ]
    assert wrong == []


@pytest.mark.skipif(shutil.which("nvim") is None, reason="needs nvim")
def test_neovim_takes_its_colours_from_the_tree(tmp_path: Path) -> None:
    place = build(tmp_path / "grammar", tmp_path / "grammar" / "parser" / "moe.so")
    paths = f"set runtimepath^={ROOT / 'editors' / 'vim'},{ROOT / 'editors' / 'neovim'},{place}"
    script = tmp_path / "script.lua"
    script.write_text(
        NEOVIM.replace("SPEC", str(CORPUS[0])).replace("ANSWER", str(tmp_path / "answer")), encoding="utf-8"
    )
    command = ("nvim", "--headless", "--clean", "-n", "--cmd", paths, "-c", f"luafile {script}")
    subprocess.run(command, env={**os.environ, "HOME": str(tmp_path)}, timeout=60, capture_output=True, check=True)
    answer = (tmp_path / "answer").read_text(encoding="utf-8")
    if answer == "old":
        pytest.skip("needs Neovim 0.9")
    assert answer == "property"


NEOVIM = """
local answer = "old"
if vim.fn.has("nvim-0.9") == 1 then
  require("moec").setup({ cmd = { "true" } })
  vim.cmd("filetype plugin on | syntax on | edit SPEC")
  vim.treesitter.get_parser(0):parse()
  answer = vim.treesitter.highlighter.active[vim.api.nvim_get_current_buf()] and "uncoloured" or "inactive"
  for _, capture in ipairs(vim.treesitter.get_captures_at_pos(0, vim.fn.search("vocab_size =") - 1, 3)) do
    answer = capture.capture
  end
end
local file = io.open("ANSWER", "w")
file:write(answer)
file:close()
vim.cmd("qall!")
"""


def place(one: Stretch, lines: list[str]) -> tuple[int, int, int]:
    """The line of a stretch and its columns, in bytes."""
    start, end = (len(lines[one.line][:column].encode()) for column in (one.start, one.end))
    return one.line, start, end


def names_of(one: Stretch) -> tuple[str, str]:
    return KEYWORDS.get(one.text, ("keyword", "keyword")) if one.kind == "keyword" else NAMES[one.kind]
