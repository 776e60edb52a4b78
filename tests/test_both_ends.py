"""Both ends of what is supported: the same spec under another Python, and so another jax, from an installed wheel.

The other interpreter is $MOEC_OTHER_PYTHON, or the first of python3.13, 3.12, 3.11 that is found, runs, and is not of
this version. It gets a virtual environment of its own, unless it has moec installed already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = ("python3.13", "python3.12", "python3.11")
SPEC = """\
edition = 2026
model tiny {
  vocab_size = 256, seq_len = 64, n_layers = 2, d_model = 32
  attention { n_heads = 2 }
  ffn { d_ff = 64, activation = swiglu }
  experts { every = 2, n_experts = 4, top_k = 2, d_ff = 64, capacity_factor = 1.25, balance_loss = 0.01 }
}
mesh here { hardware = cpu, devices = 1 }
data code { source = "text/*.txt", tokenizer = bytes }
budget short { steps = 3 }
run first { model = tiny, mesh = here, data = code, budget = short, batch { tokens = 256 } }
"""
PROGRAM_FILES = ("program.py", "plan.json", "plan.md", "resolved.moe")

pytestmark = pytest.mark.slow


def other_interpreters() -> Iterator[str]:
    """Where an interpreter of another version may be: named by the user, on the path, or kept by pyenv."""
    if named := os.environ.get("MOEC_OTHER_PYTHON"):
        yield named
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in NAMES:
        if found := shutil.which(name):
            yield found
        for folder in sorted(versions.glob(f"{name.removeprefix('python')}*"), reverse=True):
            yield str(folder / "bin" / name)


def version_of(python: str) -> tuple[int, int] | None:
    """The version of the interpreter at `python`; None where there is none that runs."""
    try:
        done = subprocess.run(
            (python, "-c", "import sys; print(*sys.version_info[:2])"),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter of another version that has moec."""
    mine = sys.version_info[:2]
    found = next((p for p in other_interpreters() if (version_of(p) or mine) != mine), None)
    if found is None:
        pytest.skip(f"no second interpreter: none of {', '.join(NAMES)} is here beside Python {mine[0]}.{mine[1]}")
    if subprocess.run((found, "-c", "import moec.cli.main, jax"), capture_output=True, check=False).returncode == 0:
        return found
    folder = tmp_path_factory.mktemp("other") / "venv"
    run(found, "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    wheel = built_wheel(tmp_path_factory.mktemp("wheel"))
    run(python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    return python


def built_wheel(folder: Path) -> Path:
    """A wheel of moec, built from a copy of what belongs to it, so that nothing is left in the tree."""
    source = folder / "source"
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("moec-*.whl")
    return wheel


def run(*command: str, folder: Path | None = None) -> str:
    """What `command` prints; it must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small spec and its text, outside the tree."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "tiny.moe").write_text(SPEC, encoding="utf-8")
    (folder / "text").mkdir()
    for number in range(40):
        text = f"Document {number}. " + "The quick brown fox jumps over the lazy dog. " * 20
        (folder / "text" / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def moec(python: str, folder: Path, *arguments: str) -> str:
    return run(python, "-m", "moec.cli.main", *arguments, folder=folder)


def test_both_pythons_compile_to_the_same_bytes(other_python: str, project: Path) -> None:
    moec(sys.executable, project, "compile", "tiny.moe", "-o", "mine")
    moec(other_python, project, "compile", "tiny.moe", "-o", "theirs")
    for name in PROGRAM_FILES:
        assert (project / "mine/first" / name).read_bytes() == (project / "theirs/first" / name).read_bytes()


def test_both_pythons_train_to_nearly_the_same_loss(other_python: str, project: Path) -> None:
    losses = []
    for python, out in ((sys.executable, "trained_mine"), (other_python, "trained_theirs")):
        moec(python, project, "run", "tiny.moe", "-o", out)
        result = json.loads((project / out / "first/result.json").read_text(encoding="utf-8"))
        assert result["steps"] == 3
        losses.append(result["eval_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_an_installed_moec_has_its_grammar_hardware_and_pages(other_python: str, project: Path) -> None:
    assert moec(other_python, project, "explain", "MOE1001").startswith("# MOE1001")
    assert "cpu" in moec(other_python, project, "expand", "tiny.moe")
    assert moec(other_python, project, "init", "new").startswith("wrote")
    assert "draft-07" in moec(other_python, project, "schema")
