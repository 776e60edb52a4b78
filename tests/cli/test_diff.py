"""`moec diff`: two specs, or two runs of one."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def changed(tiny):
    """tiny.moe with another width, learning rate and a run less."""
    text = tiny.read_text(encoding="utf-8").replace("d_ff = 64, activation", "d_ff = 96, activation")
    text = text.replace("batch { tokens = 256 }", "batch { tokens = 256 }\n  optimizer { peak_lr = 1e-2 }")
    path = tiny.with_name("changed.moe")
    path.write_text(text, encoding="utf-8")
    return path


def test_a_spec_and_itself_do_not_differ(moec, tiny) -> None:
    called = moec("diff", "tiny.moe", "tiny.moe")
    assert called.status == 0
    assert called.out == "run baseline\n  no difference\n\nrun with_moe\n  no difference\n"


def test_changes_are_grouped_by_what_they_do(moec, tiny, changed) -> None:
    lines = moec("diff", "tiny.moe", "changed.moe", "--run", "baseline").out.splitlines()
    checkpoint = next(i for i, line in enumerate(lines) if line.startswith("  checkpoint:"))
    numerics = next(i for i, line in enumerate(lines) if line.startswith("  numerics:"))
    assert checkpoint < numerics
    assert lines[checkpoint + 1].split() == ["model.ffn.d_ff", "64", "->", "96"]
    assert lines[numerics + 1].split()[0] == "run.optimizer.peak_lr"


def test_layout_and_comments_make_no_difference(moec, tiny) -> None:
    text = tiny.read_text(encoding="utf-8").replace("d_model    = 32", "d_model = 16 * 2  # as before")
    tiny.with_name("other.moe").write_text(text, encoding="utf-8")
    assert "->" not in moec("diff", "tiny.moe", "other.moe").out


def test_two_runs_of_one_spec_can_be_compared(moec, tiny) -> None:
    called = moec("diff", "tiny.moe", "tiny.moe", "--run", "baseline", "--against", "with_moe")
    assert "run baseline against with_moe" in called.out
    assert "model.experts  none -> written" in called.out.replace("  " * 6, "  ")


def test_json_gives_each_change_its_category(moec, tiny, changed) -> None:
    (pair,) = json.loads(moec("diff", "tiny.moe", "changed.moe", "--run", "baseline", "--format", "json").out)
    assert {change["path"]: change["category"] for change in pair["changes"]} == {
        "model.ffn.d_ff": "checkpoint",
        "run.optimizer.peak_lr": "numerics",
    }


def test_a_compiled_folder_stands_for_its_resolved_spec(moec, tiny) -> None:
    assert moec("compile", "tiny.moe", "-o", "out", "--run", "baseline").status == 0
    assert moec("diff", "out/baseline", "tiny.moe", "--run", "baseline").out == "run baseline\n  no difference\n"


def test_runs_that_only_one_has_are_named(moec, tiny) -> None:
    text = tiny.read_text(encoding="utf-8").replace("run with_moe", "run other").replace("with_moe]", "other]")
    tiny.with_name("other.moe").write_text(text, encoding="utf-8")
    out = moec("diff", "tiny.moe", "other.moe").out
    assert "only in tiny.moe: run with_moe" in out
    assert "only in other.moe: run other" in out


def test_against_needs_a_run(moec, tiny) -> None:
    assert moec("diff", "tiny.moe", "tiny.moe", "--against", "with_moe").status == 2
