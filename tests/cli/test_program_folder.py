"""`moec run FOLDER` runs the program that is there, and says where it is not what moec wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.cli.program_folder import tell_changes

FOLDER = Path("out/baseline")


def edit(old: str, new: str) -> None:
    path = FOLDER / "program.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_untouched_program_runs_and_nothing_is_said(moec, tiny, executed) -> None:
    moec("compile", "tiny.moe", "-o", "out")
    called = moec("run", str(FOLDER), "--steps", "3")
    assert (called.status, called.err) == (0, "")
    assert executed == [(FOLDER / "program.py", ("train", "--resume", "auto", "--steps", "3"))]


def test_a_program_that_was_changed_by_hand_says_where_and_runs_as_it_is(moec, tiny, executed) -> None:
    moec("compile", "tiny.moe", "-o", "out")
    edit("weight_decay=0.1", "weight_decay=0.2")
    called = moec("run", str(FOLDER))
    assert called.status == 0
    assert "is not what moec wrote: it differs in `optimizer` (line " in called.err
    assert len(called.err.splitlines()) == 1
    assert len(executed) == 1
    assert "weight_decay=0.2" in (FOLDER / "program.py").read_text(encoding="utf-8")


def test_what_its_spec_was_warned_of_is_not_told_again(moec, tiny, executed) -> None:
    tiny.write_text(
        tiny.read_text(encoding="utf-8").replace("every_steps = 2 }", "every_steps = 200 }"), encoding="utf-8"
    )
    assert "MOE8107" in moec("compile", "tiny.moe", "-o", "out").err
    edit("weight_decay=0.1", "weight_decay=0.2")
    assert "MOE8107" not in moec("run", str(FOLDER)).err


@pytest.mark.parametrize("resolved", [None, "model dense {"])
def test_without_a_spec_to_compare_with_it_still_runs(moec, tiny, executed, resolved: str | None) -> None:
    moec("compile", "tiny.moe", "-o", "out")
    edit("weight_decay=0.1", "weight_decay=0.2")
    (FOLDER / "resolved.moe").unlink()
    if resolved is not None:
        (FOLDER / "resolved.moe").write_text(resolved, encoding="utf-8")
    called = moec("run", str(FOLDER))
    assert called.status == 0
    assert "does not compile" in called.err
    assert len(executed) == 1


def test_looking_for_changes_executes_nothing(moec, tiny) -> None:
    moec("compile", "tiny.moe", "-o", "out")
    edit("import jax\n", "import jax\nopen('executed', 'w').close()\n")
    tell_changes(FOLDER / "program.py")
    assert not Path("executed").exists()


def test_a_program_of_an_earlier_run_is_replaced_unread_and_kept(moec, tiny, executed) -> None:
    """A folder from elsewhere may hold anything: `moec run SPEC` executes only what it has just written."""
    moec("run", "tiny.moe", "--run", "baseline")
    path = Path("runs/tiny/baseline/program.py")
    path.write_text(path.read_text(encoding="utf-8") + "open('executed', 'w').close()\n", encoding="utf-8")
    called = moec("run", "tiny.moe", "--run", "baseline")
    assert "(the earlier one, changed by hand, is program.earlier.py)" in called.out
    assert "executed" not in path.read_text(encoding="utf-8")
    assert not Path("executed").exists()


@pytest.mark.parametrize("option", [("--run", "x"), ("--set", "run.seed=1"), ("-o", "x"), ("--accept-changes",)])
def test_what_needs_a_spec_is_refused(moec, tiny, executed, option: tuple[str, ...]) -> None:
    moec("compile", "tiny.moe", "-o", "out")
    called = moec("run", str(FOLDER), *option)
    assert called.status == 2
    assert "need a spec" in called.err
    assert executed == []


def test_a_folder_without_a_program_is_refused(moec, tiny, executed) -> None:
    Path("empty").mkdir()
    assert moec("run", "empty").status == 2
    assert executed == []
