"""Emitted programs as golden files: their text, their style, and that nothing but the spec decides it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moec.spec import VERSION

GOLDEN = Path(__file__).parents[2] / "golden"
SPECS = sorted((GOLDEN / "specs").glob("*.moe"))
PROGRAMS = sorted(GOLDEN.glob("*/*/program.py"))
RUFF = shutil.which("ruff", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))

HASH_ALL = """
import hashlib, sys
from pathlib import Path
from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import plan_all
from moec.compiler.resolve import resolve
from moec.spec.loader import load_text
from moec.spec.reader import read

for path in sys.argv[1:]:
    loaded, _ = load_text("spec.moe", Path(path).read_text())
    for plan in plan_all(resolve(read(loaded)[0])[0])[0]:
        made = compile_run(plan)
        text = "".join((made.program, made.plan_json, made.plan_markdown, made.resolved))
        print(plan.run.name, hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_artifacts_are_those_of_the_golden_files(spec, compile_text, golden):
    for name, made in compile_text(spec.read_text()).items():
        golden(f"{spec.stem}/{name}/program.py", made.program)
        golden(f"{spec.stem}/{name}/plan.json", made.plan_json)
        golden(f"{spec.stem}/{name}/plan.md", made.plan_markdown)
        golden(f"{spec.stem}/{name}/resolved.moe", made.resolved)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_compiling_the_resolved_spec_gives_the_same_bytes(spec, compile_text):
    for name, made in compile_text(spec.read_text()).items():
        again = compile_text(made.resolved)
        assert list(again) == [name]
        assert again[name].program == made.program
        assert again[name].resolved == made.resolved
        # What is resolved has nothing left to choose from.
        assert json.loads(again[name].plan_json) == {**json.loads(made.plan_json), "choices": None}


def test_every_golden_program_has_a_spec_that_still_gives_it():
    assert {path.parts[-3] for path in PROGRAMS} == {path.stem for path in SPECS}


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
@pytest.mark.parametrize("command", [("format", "--check"), ("check", "--select=E,F,W,I,B,UP,RUF,SIM,C4,PIE,PT,RET")])
def test_programs_are_as_ruff_would_write_them(command):
    ruff = (RUFF, *command, "--isolated", "--line-length=120", "--target-version=py311", "--no-cache")
    done = subprocess.run((*ruff, *PROGRAMS), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.parent.name)
def test_programs_say_nothing_of_the_machine_or_the_day(path):
    text = path.read_text()
    assert str(Path.cwd()) not in text
    assert "/home/" not in text
    assert "202" not in "".join(line for line in text.splitlines() if line.startswith("Written by"))


def test_programs_name_the_version_of_moec():
    text = (GOLDEN / "laptop/baseline/program.py").read_text()
    assert f"Written by moec {VERSION} from" in text


def test_a_dense_program_has_nothing_of_experts():
    text = (GOLDEN / "laptop/baseline/program.py").read_text()
    assert "xpert" not in text.replace("expert=1", "").replace('"expert"', "").replace("expert 1", "").replace(
        "fsdp and expert", ""
    ).replace("fsdp, expert", "")
    assert "MoeBlock" not in text


def other_interpreters():
    """This Python under three hash seeds, and a 3.12 that has moec, where there is one."""
    seeds = [(sys.executable, seed) for seed in ("0", "1", "4242")]
    other = os.environ.get("MOEC_OTHER_PYTHON") or shutil.which("python3.12")
    return [*seeds, (other, "7")] if other else seeds


def hashes(interpreter: str, seed: str) -> str | None:
    """What HASH_ALL prints, None where moec cannot be imported."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    can_import = subprocess.run((interpreter, "-c", "import moec.spec, lark"), capture_output=True, check=False)
    if can_import.returncode:
        return None
    done = subprocess.run(
        (interpreter, "-c", HASH_ALL, *SPECS), capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def test_bytes_do_not_depend_on_the_hash_seed_or_the_python_version():
    made = [hashes(interpreter, seed) for interpreter, seed in other_interpreters()]
    assert len(made) >= 3
    assert made[0]
    assert {text for text in made if text is not None} == {made[0]}
