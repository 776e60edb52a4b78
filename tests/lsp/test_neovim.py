"""A real editor: Neovim without a window attaches, sees a mistake, jumps, renames, lays out and completes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from desk import BASE

from moec.spec.formatter import format_file
from moec.spec.parser import parse
from moec.spec.source import Source

SCRIPT = Path(__file__).with_name("neovim.lua")
WAIT_SECONDS = 120


def in_neovim(spec: Path, answer: Path) -> dict[str, Any]:
    """What the script saw in Neovim with `spec` open."""
    neovim = shutil.which("nvim")
    if neovim is None:
        pytest.skip("there is no nvim on this machine: `apt-get install neovim` brings it")
    names = {
        "MOEC_COMMAND": f"{sys.executable} -m moec.cli.main lsp",
        "MOEC_SPEC": str(spec),
        "MOEC_ANSWER": str(answer),
    }
    home = {name: str(spec.parent) for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    command = (neovim, "--headless", "--clean", "-n", "-c", f"luafile {SCRIPT}")
    subprocess.run(command, env={**os.environ, **names, **home}, timeout=WAIT_SECONDS, capture_output=True, check=True)
    seen: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return seen


@pytest.mark.slow
def test_neovim_attaches_sees_jumps_renames_lays_out_and_completes(tmp_path: Path) -> None:
    spec = tmp_path / "a.moe"
    mended = BASE.replace("d_model    = 32", "d_model = 32")
    spec.write_text(mended.replace("n_layers ", "n_laers "), encoding="utf-8")
    (tmp_path / "moec.root").touch()
    seen = in_neovim(spec, tmp_path / "answer.json")
    assert "problem" not in seen, seen
    assert set(seen["codes"]) == {"MOE2002"}
    assert seen["jumped_to"] == "let heads = 12"
    renamed = mended.replace("model dense", "model thick").replace("model = dense", "model = thick")
    assert seen["renamed"] == renamed
    file, _ = parse(Source("a.moe", renamed))
    assert seen["formatted"] == format_file(file)
    assert seen["offered"][:4] == ["swiglu", "geglu", "gelu", "relu2"]
