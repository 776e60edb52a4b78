"""The command `tree-sitter`, and the parser that it makes of the grammar in editors/tree-sitter."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

GRAMMAR: Final = Path(__file__).parents[2] / "editors" / "tree-sitter"
COMMAND: Final = os.environ.get("TREE_SITTER") or shutil.which("tree-sitter")
SECONDS: Final = 240


def run(place: Path, *words: str) -> str:
    """What the command says in the folder `place`, where it also keeps its own files."""
    assert COMMAND is not None
    home = {"HOME": str(place), "XDG_CACHE_HOME": str(place / "cache"), "XDG_CONFIG_HOME": str(place / "config")}
    environment = {**os.environ, **home, "NO_COLOR": "1"}
    done = subprocess.run(
        (COMMAND, *words), cwd=place, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(place: Path, parser: Path) -> Path:
    """Copies the grammar to `place`, which it gives back, and writes the parser of it to `parser`."""
    shutil.copytree(GRAMMAR, place, ignore=shutil.ignore_patterns("src", "parser"))
    run(place, "generate")
    parser.parent.mkdir(parents=True, exist_ok=True)
    run(place, "build", "--output", str(parser))
    return place
