"""Emacs with the lines that its page tells one to put into the init file: attaches, sees, mends, renames, lays out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "editors" / "others.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
MISTAKEN = QUICKSTART.replace("activation", "activatoin").replace("d_model    =", "d_model=")
COMMAND = os.environ.get("EMACS") or shutil.which("emacs")
SECONDS = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMMAND is None, reason="needs Emacs, on the PATH or named in EMACS"),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script saw in Emacs, with a mistaken spec open."""
    place = tmp_path_factory.mktemp("emacs")
    (place / "moec.root").touch()
    (place / "a.moe").write_text(MISTAKEN, encoding="utf-8")
    lines = re.search(r"```elisp\n(.*?)```", PAGE, re.DOTALL)
    assert lines
    (place / "init.el").write_text(lines[1], encoding="utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "HOME": str(place)}
    script = Path(__file__).with_name("emacs.el")
    command = (str(COMMAND), "-Q", "--batch", "-l", str(place / "init.el"), "-l", str(script))
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "too old" in done.stderr:
        pytest.skip("needs Emacs 29, which has eglot")
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads((place / "answer.json").read_text(encoding="utf-8"))
    return answer


def test_a_mistake_is_told_with_its_code(seen: dict[str, Any]) -> None:
    assert "MOE2002" in seen["mistake"]
    assert "did you mean `activation`?" in seen["mistake"]


def test_a_field_is_explained(seen: dict[str, Any]) -> None:
    assert "query heads share them in equal groups" in seen["hover"]


def test_the_fix_the_new_name_and_the_layout_are_in_the_text(seen: dict[str, Any]) -> None:
    renamed = QUICKSTART.replace("model dense", "model narrow").replace("extends dense", "extends narrow")
    assert seen["text"] == renamed.replace("= dense", "= narrow")


def test_numbers_stand_between_the_lines(seen: dict[str, Any]) -> None:
    assert any("parameters" in one for one in seen["numbers"])
