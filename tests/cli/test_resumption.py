"""A changed spec never goes on silently: what changed is shown by what it means, and has to be accepted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moec.cli import program
from moec.compiler.artifacts import identity_of

FOLDER = Path("runs/tiny/baseline")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments of the programs that would have been executed; each leaves a checkpoint of its spec."""
    calls: list[tuple[str, ...]] = []

    def execute(path: Path, arguments: tuple[str, ...]) -> int:
        calls.append(arguments)
        save(path.parent, 2, identity_of((path.parent / "resolved.moe").read_text(encoding="utf-8")))
        return 0

    monkeypatch.setattr(program, "execute", execute)
    return calls


def save(folder: Path, step: int, identity: str) -> None:
    target = folder / "checkpoints" / str(step) / "manifest"
    target.mkdir(parents=True, exist_ok=True)
    (target / "metadata").write_text(json.dumps({"position": {"identity": identity}}), encoding="utf-8")


def change(spec: Path, old: str, new: str) -> None:
    text = spec.read_text(encoding="utf-8")
    assert old in text
    spec.write_text(text.replace(old, new), encoding="utf-8")


def test_an_unchanged_spec_goes_on(moec, tiny, executed) -> None:
    for _ in range(2):
        assert moec("run", "tiny.moe", "--run", "baseline").status == 0
    assert executed == [("train", "--resume", "auto")] * 2


def test_a_change_is_shown_by_category_and_nothing_is_touched(moec, tiny, executed) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
    change(tiny, "batch { tokens = 256 }", "batch { tokens = 128 }\n  optimizer { peak_lr = 0.01 }")
    called = moec("run", "tiny.moe", "--run", "baseline")
    assert called.status == 1
    assert "numerics: the training gives other numbers" in called.err
    assert "run.batch.tokens" in called.err
    assert "256 -> 128" in called.err
    assert "--accept-changes" in called.err
    assert len(executed) == 1
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()} == before


def test_an_accepted_change_hands_the_earlier_identity_on_until_it_is_saved(moec, tiny, executed, monkeypatch) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    earlier = identity_of((FOLDER / "resolved.moe").read_text(encoding="utf-8"))
    change(tiny, "every_steps = 2", "every_steps = 1")
    crashed: list[tuple[str, ...]] = []
    with monkeypatch.context() as patch:
        patch.setattr(program, "execute", lambda path, arguments: crashed.append(arguments) or 1)
        assert moec("run", "tiny.moe", "--run", "baseline", "--accept-changes").status == 1
    assert crashed == [("train", "--resume", "auto", "--accept", earlier)]
    assert moec("run", "tiny.moe", "--run", "baseline").status == 1
    called = moec("run", "tiny.moe", "--run", "baseline", "--accept-changes")
    assert "cost: time, memory or files differ" in called.out
    assert executed[-1] == ("train", "--resume", "auto", "--accept", earlier)
    assert moec("run", "tiny.moe", "--run", "baseline").status == 0
    assert executed[-1] == ("train", "--resume", "auto")


def test_another_model_cannot_be_accepted(moec, tiny, executed) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    change(tiny, "d_model    = 32", "d_model    = 64")
    called = moec("run", "tiny.moe", "--run", "baseline", "--accept-changes")
    assert called.status == 1
    assert "a checkpoint of the one does not fit the other" in called.err
    assert "model.d_model" in called.err
    assert len(executed) == 1
    assert moec("run", "tiny.moe", "--run", "baseline", "--resume", "never").status == 0


def test_checkpoints_of_a_spec_that_is_gone_are_refused(moec, tiny, executed) -> None:
    save(FOLDER, 7, "sha256:unknown")
    called = moec("run", "tiny.moe", "--run", "baseline")
    assert called.status == 1
    assert "sha256:unknown" in called.err
    assert executed == []


def test_a_checkpoint_that_cannot_be_read_is_left_to_the_program(moec, tiny, executed) -> None:
    moec("run", "tiny.moe", "--run", "baseline")
    save(FOLDER, 9, "")
    (FOLDER / "checkpoints" / "9" / "manifest" / "metadata").write_bytes(b"\x80\x04.")
    assert moec("run", "tiny.moe", "--run", "baseline").status == 0


@pytest.mark.parametrize(
    ("statuses", "restarts", "said"),
    [
        ([75, 137, 0], 3, ["the run hung; restart 1 of 3", "was ended by signal 9; restart 2 of 3"]),
        ([1, 1, 1], 2, ["ended with exit code 1; restart 1 of 2", "restart 2 of 2"]),
        ([71], 3, []),
        ([143], 3, []),
        ([2], 3, []),
    ],
)
def test_a_run_that_fails_is_started_again_as_often_as_is_said(
    moec, tiny, monkeypatch, statuses: list[int], restarts: int, said: list[str]
) -> None:
    left, calls = list(statuses), []

    def execute(path: Path, arguments: tuple[str, ...]) -> int:
        calls.append(arguments)
        return left.pop(0)

    monkeypatch.setattr(program, "execute", execute)
    called = moec("run", "tiny.moe", "--run", "baseline", "--resume", "never", "--restart", str(restarts))
    assert called.status == statuses[-1]
    assert left == []
    assert calls == [("train", "--resume", "never")] + [("train", "--resume", "auto")] * (len(statuses) - 1)
    assert [line for line in called.out.splitlines() if "restart" in line] == [
        line for line in called.out.splitlines() if any(text in line for text in said)
    ]
    assert all(text in called.out for text in said)
