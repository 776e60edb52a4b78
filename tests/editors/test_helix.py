"""Helix with the files of editors/helix does what its page says. It runs in a real terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import helix as program
import pytest
import terminal as screens
import tree_sitter
from helix import helix, install
from terminal import Terminal

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
MISTAKEN = QUICKSTART.replace("activation", "activatoin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(program.COMMAND is None, reason="needs Helix: hx on the PATH, or named in HELIX"),
    pytest.mark.skipif(not screens.IS_HERE, reason="needs tmux"),
]


def wait_for_numbers(opened: Terminal) -> None:
    """Helix asks for them a quarter of a second after a key, not once the server has started."""

    def shown() -> bool:
        opened.write("gg")
        time.sleep(1)
        return "model dense 792 k parameters {" in opened.screen()

    opened.wait_until(shown, "the numbers")


def go_to(opened: Terminal, text: str) -> None:
    opened.write(f"/{text}")
    opened.press("Enter")


def test_numbers_stand_between_the_lines(tmp_path: Path) -> None:
    with helix(tmp_path, QUICKSTART) as opened:
        wait_for_numbers(opened)


@pytest.mark.parametrize(("name", "text"), [("a.moe", MISTAKEN), ("a.moe.yaml", "edition: 2026\nmodl: {}\n")])
def test_a_mistake_is_told_below_its_line(name: str, text: str, tmp_path: Path) -> None:
    with helix(tmp_path, text, name) as opened:
        opened.wait_for("help: did you mean `")


def test_a_mistake_is_mended_by_its_action(tmp_path: Path) -> None:
    with helix(tmp_path, MISTAKEN) as opened:
        opened.wait_for("has no field `activatoin`")
        go_to(opened, "activatoin")
        opened.write(" a")
        opened.wait_for("write `activation`")
        opened.press("Enter")
        opened.wait_until(lambda: "activatoin" not in opened.screen(), "the mended text")


def test_saving_lays_out_as_moec_fmt_does(tmp_path: Path) -> None:
    with helix(tmp_path, QUICKSTART.replace("d_model    =", "d_model=")) as opened:
        opened.write(":w")
        opened.press("Enter")
        opened.wait_until(lambda: (tmp_path / "a.moe").read_text(encoding="utf-8") == QUICKSTART, "the layout")


def test_a_model_is_renamed_where_it_is_named(tmp_path: Path) -> None:
    with helix(tmp_path, QUICKSTART) as opened:
        wait_for_numbers(opened)
        go_to(opened, "model dense")
        opened.write(" r")
        opened.wait_for("rename-to:")
        opened.press("C-u")
        opened.write("narrow")
        opened.press("Enter")
        opened.wait_for("model sparse extends narrow")
        opened.wait_for("model narrow")


def test_what_a_field_is_can_be_asked(tmp_path: Path) -> None:
    with helix(tmp_path, QUICKSTART) as opened:
        wait_for_numbers(opened)
        go_to(opened, "n_kv_heads")
        opened.write(" k")
        opened.wait_for("query heads share them in equal groups")


def test_helix_finds_the_server_the_layout_and_the_colours(tmp_path: Path) -> None:
    install(tmp_path)
    environment = {
        **os.environ,
        "PATH": program.PATH,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HOME": str(tmp_path),
    }
    command = (str(program.COMMAND), "--health", "moe")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert told.count(str(Path(sys.executable).parent / "moec")) == 2
    assert "Highlight queries: ✓" in told


@pytest.mark.skipif(tree_sitter.COMMAND is None, reason="needs the command tree-sitter")
def test_words_are_coloured(tmp_path: Path) -> None:
    with helix(tmp_path, QUICKSTART, with_colours=True) as opened:
        line = r"\x1b\[38;2;([\d;]+)m *vocab_size.*\x1b\[38;2;([\d;]+)m256"
        opened.wait_until(lambda: re.search(line, opened.coloured_screen()) is not None, "colours")
        found = re.search(line, opened.coloured_screen())
        assert found is not None
        assert found[1] != found[2]
