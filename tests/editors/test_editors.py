"""What is installed into each editor does there what its page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from moec.cli.main import main

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / "editors"
VSCODE = EDITORS / "vscode"
SECONDS = 240
MISTAKEN = "edition = 2026\n\nbudget small { tokns = 1M }\n"
MISTAKEN_YAML = "edition: 2026\nbudget: {small: {tokns: 1M}}\n"

needs_vscode_tools = pytest.mark.skipif(
    not (VSCODE / "node_modules" / ".bin" / "vsce").exists(),
    reason="needs the tools of editors/vscode: `npm install` there",
)


# ---- VS Code ----


def package() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))
    return content


def test_the_extension_has_the_version_of_moec() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert package()["version"] == version


def test_the_extension_takes_no_command_that_the_server_has() -> None:
    """The client registers the server's commands itself; twice would stop it from starting."""
    server = (ROOT / "lsp" / "numbers.py").read_text(encoding="utf-8")
    taken = set(re.findall(r'_COMMAND: Final = "([\w.]+)"', server))
    assert taken
    assert not taken & {command["command"] for command in package()["contributes"]["commands"]}


@pytest.mark.parametrize("path", sorted(VSCODE.glob("*.json")) + sorted(VSCODE.glob("s*/*.json")), ids=lambda p: p.name)
def test_what_the_extension_is_made_of_is_json(path: Path) -> None:
    assert json.loads(path.read_text(encoding="utf-8"))


def test_every_snippet_that_is_whole_is_a_spec_without_mistakes() -> None:
    from moec.compiler.pipeline import check
    from moec.spec.loader import load_text

    snippets = json.loads((VSCODE / "snippets" / "moe.json").read_text(encoding="utf-8"))
    text = "\n".join(next(one["body"] for one in snippets.values() if one["prefix"] == "spec"))
    for number, default in re.findall(r"\$\{(\d):(\w+)\}", text):
        text = text.replace(f"${{{number}:{default}}}", default).replace(f"${number}", default)
    loaded, told = load_text("snippet.moe", text.replace("$0", ""))
    assert loaded is not None
    assert (*told, *check(loaded)) == ()


@pytest.mark.slow
@needs_vscode_tools
def test_the_extension_passes_its_own_tests() -> None:
    done = subprocess.run(("npm", "test"), cwd=VSCODE, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@needs_vscode_tools
def test_the_extension_packages_with_all_that_it_names() -> None:
    command = ("npm", "run", "package")
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(VSCODE / "moec.vsix") as vsix:
        inside = set(vsix.namelist())
        assert json.loads(vsix.read("extension/schema/moe-2026.json"))["title"].startswith("moec spec")
    contributes = package()["contributes"]
    named = [package()["main"], package()["icon"], *(one["path"] for one in contributes["grammars"])]
    named += [contributes["languages"][0]["configuration"], contributes["snippets"][0]["path"]]
    named += [contributes["yamlValidation"][0]["url"], *contributes["languages"][0]["icon"].values()]
    assert {f"extension/{name.removeprefix('./')}" for name in named} <= inside
    assert not [name for name in inside if "node_modules" in name or name.endswith(".test.js")]


# ---- Vim ----


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("vim") is None, reason="needs vim")
def test_make_in_vim_lists_mistakes_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "bad.moe").write_text(MISTAKEN, encoding="utf-8")
    script = (
        "silent make\n"
        "let found = map(getqflist(), {_, one -> [one.valid, one.lnum, one.col, one.type, one.nr, one.text]})\n"
        "call writefile([json_encode(found)], 'found.json')\n"
        "qall!\n"
    )
    (tmp_path / "script.vim").write_text(script, encoding="utf-8")
    command = ["vim", "-u", "NONE", "-i", "NONE", "-n", "--not-a-term", "-e", "-s"]
    command += ["--cmd", f"set nocompatible runtimepath^={EDITORS / 'vim'}", "-c", "filetype plugin on"]
    command += ["-c", "edit bad.moe", "-S", "script.vim"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, timeout=SECONDS, check=False)
    found = [row[1:] for row in json.loads((tmp_path / "found.json").read_text(encoding="utf-8")) if row[0]]
    assert [3, 16, "e", 2002, "`budget` has no field `tokns`"] in found


# ---- Neovim ----


def attach(spec: Path, command: str, wait_milliseconds: int, **more: str) -> dict[str, Any]:
    """What the plugin does in Neovim with `spec` open."""
    neovim = shutil.which("nvim")
    if neovim is None:
        pytest.skip("needs nvim")
    answer = spec.parent / "answer.json"
    names = {"MOEC_COMMAND": command, "MOEC_SPEC": str(spec), "MOEC_ANSWER": str(answer)}
    names |= {"MOEC_WAIT": str(wait_milliseconds), **more}
    names |= {name: str(spec.parent) for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    paths = f"set runtimepath^={EDITORS / 'vim'},{EDITORS / 'neovim'}"
    call = (neovim, "-u", "NONE", "-i", "NONE", "--headless", "-n", "--cmd", paths)
    script = str(Path(__file__).with_name("attach.lua"))
    done = subprocess.run(
        (*call, "-c", f"luafile {script}", "-c", "cquit"),
        env={**os.environ, **names},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text"), [("bad.moe", MISTAKEN), ("bad.moe.yaml", MISTAKEN_YAML)])
def test_neovim_attaches_the_server_to_specs_in_both_forms(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "moec.root").touch()
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    seen = attach(folder / name, f"{sys.executable} -m moec.cli.main lsp", 60_000)
    assert any("tokns" in message for message in seen["messages"]), seen
    assert seen["filetype"] == name.rpartition(".")[2]
    assert seen["roots"] == [str(tmp_path)]
    assert seen["shiftwidth"] == 2 or name.endswith(".yaml")


@pytest.mark.slow
def test_neovim_says_how_to_get_moec_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "bad.moe").write_text(MISTAKEN, encoding="utf-8")
    seen = attach(tmp_path / "bad.moe", "no-such-moec lsp", 100)
    assert seen["messages"] == []
    assert 'pip install "moec[lsp]"' in seen["warnings"][0]


@pytest.mark.slow
def test_neovim_leaves_other_yaml_alone(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(MISTAKEN_YAML, encoding="utf-8")
    seen = attach(tmp_path / "other.yaml", f"{sys.executable} -m moec.cli.main lsp", 1000)
    assert seen["roots"] == []


@pytest.mark.slow
def test_neovim_shows_numbers_above_a_run_and_its_plan_when_asked(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "quickstart.moe", tmp_path / "quickstart.moe")
    seen = attach(tmp_path / "quickstart.moe", f"{sys.executable} -m moec.cli.main lsp", 20_000, MOEC_LENS="1")
    assert any("parameters" in title for title in seen["lenses"]), seen
    assert seen["page"][0].startswith("# baseline"), seen
    assert seen.get("hints") != 0, seen


# ---- every editor that has a YAML language server ----


def test_the_starter_in_yaml_leads_to_the_schema_beside_it(tmp_path: Path) -> None:
    assert main(("init", "--yaml", str(tmp_path))) == 0
    first, _, _ = (tmp_path / "starter.moe.yaml").read_text(encoding="utf-8").partition("\n")
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / "schema" / name).read_text(encoding="utf-8")


def test_a_schema_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "moe-2026.json").write_text("{}", encoding="utf-8")
    assert main(("init", "--yaml", str(tmp_path))) == 0
    assert (tmp_path / "moe-2026.json").read_text(encoding="utf-8") == "{}"


# ---- Helix ----


def test_the_settings_for_helix_start_the_server_for_both_forms() -> None:
    settings = tomllib.loads((EDITORS / "helix" / "languages.toml").read_text(encoding="utf-8"))
    assert settings["language-server"]["moec"] == {"command": "moec", "args": ["lsp"]}
    assert [one["file-types"] for one in settings["language"]] == [["moe"], [{"glob": "*.moe.yaml"}]]
    assert all("moec" in one["language-servers"] for one in settings["language"])
