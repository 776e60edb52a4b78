"""Helix in a terminal, with the files of editors/helix installed as their page says."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import tree_sitter
from terminal import Terminal, terminal

FILES: Final = Path(__file__).parents[2] / "editors" / "helix"
COMMAND: Final = os.environ.get("HELIX") or shutil.which("hx")
SHOW_NUMBERS: Final = '[editor.lsp]\ndisplay-inlay-hints = true\n\n[editor.inline-diagnostics]\nother-lines = "error"\n'
PATH: Final = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
"""With the moec of this interpreter in front."""


def install(home: Path, *, with_colours: bool = False) -> None:
    """Installs the files below `home`, and asks for numbers and mistakes to be shown."""
    config = home / "config" / "helix"
    (config / "runtime").mkdir(parents=True)
    shutil.copy(FILES / "languages.toml", config)
    shutil.copytree(FILES / "queries", config / "runtime" / "queries")
    (config / "config.toml").write_text(SHOW_NUMBERS, encoding="utf-8")
    if with_colours:
        tree_sitter.build(home / "grammar", config / "runtime" / "grammars" / "moe.so")


@contextmanager
def helix(home: Path, text: str, name: str = "a.moe", *, with_colours: bool = False) -> Iterator[Terminal]:
    """Helix on a spec with this text, which is `home / name`."""
    install(home, with_colours=with_colours)
    (home / "moec.root").touch()
    (home / name).write_text(text, encoding="utf-8")
    with terminal(f"{COMMAND} {home / name}", home, PATH=PATH) as opened:
        opened.wait_for("NOR")
        yield opened
