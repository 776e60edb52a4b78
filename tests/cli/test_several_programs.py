"""Several programs at once: as many as asked for, each told when it has ended, and their proofs in the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moec.cli import program
from moec.cli.prove import _worst

SCRIPT = "import sys, time; time.sleep(float(sys.argv[1])); print('out', sys.argv[2]); print('err', file=sys.stderr); "


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program: sleeps for its first argument, prints its second, ends with its third."""
    path = tmp_path / "program.py"
    path.write_text(SCRIPT + "sys.exit(int(sys.argv[3]))\n", encoding="utf-8")
    return path


def test_statuses_are_in_order_and_each_is_told_as_it_ends(script: Path) -> None:
    told: list[tuple[int, str, str]] = []
    commands = ((script, ("0.6", "a", "0")), (script, ("0", "b", "3")), (script, ("0", "c", "0")))
    statuses = program.execute_all(commands, 2, lambda index, out, err: told.append((index, out, err)))
    assert statuses == (0, 3, 0)
    assert [index for index, _, _ in told] == [1, 2, 0]
    assert told[0] == (1, "out b\n", "err\n")


@pytest.mark.parametrize(("statuses", "worst"), [((0, 0), 0), ((0, 1), 1), ((1, 2), 2), ((1, 130, 0), 130)], ids=str)
def test_a_misuse_or_a_signal_counts_before_a_failed_proof(statuses: tuple[int, ...], worst: int) -> None:
    assert _worst(statuses) == worst


def test_proofs_are_printed_together_and_stand_in_the_plan(moec, tiny, monkeypatch, tmp_path) -> None:
    def prove(path: Path, arguments: tuple[str, ...]) -> int:
        out = Path(arguments[arguments.index("--out") + 1])
        (out / "proof.json").write_text(json.dumps({"ok": True}), encoding="utf-8")
        (out / "proof.md").write_text("# Proof for cpu:1\n\nproven\n", encoding="utf-8")
        return 0

    monkeypatch.setattr(program, "execute", prove)
    monkeypatch.setattr(program, "execute_all", lambda jobs, at_once, tell: tuple(prove(*job) for job in jobs))
    called = moec("prove", "tiny.moe", "-o", "kept", "--format", "json", "--jobs", "2")
    assert json.loads(called.out) == [{"run": "baseline", "ok": True}, {"run": "with_moe", "ok": True}]
    moec("prove", "tiny.moe", "-o", "kept", "--run", "baseline")
    plan = (tmp_path / "kept" / "baseline" / "plan.md").read_text(encoding="utf-8")
    assert plan.endswith("\n## Proof for cpu:1\n\nproven\n")
    assert plan.count("## Proof") == 1
