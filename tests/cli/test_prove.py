"""`moec prove`: for the CPU through the program, for other chips not yet, and it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.cli import program


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments of the programs that would have been executed; each was there."""
    calls: list[tuple[str, ...]] = []

    def execute(path: Path, arguments: tuple[str, ...]) -> int:
        assert path.exists()
        calls.append(arguments)
        return 0

    monkeypatch.setattr(program, "execute", execute)
    return calls


def test_each_run_is_proven_by_its_program_and_nothing_is_left(moec, tiny, executed, tmp_path) -> None:
    before = set(tmp_path.rglob("*"))
    assert moec("prove", "tiny.moe").status == 0
    assert executed == [("prove",), ("prove",)]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("target", ["tpu_v5p", "h100"])
def test_another_target_is_refused_in_words(moec, tiny, executed, target: str) -> None:
    called = moec("prove", "tiny.moe", "--target", target)
    assert called.status == 2
    assert target in called.err
    assert "not connected yet" in called.err
    assert executed == []


def test_a_proof_that_fails_gives_its_status(moec, tiny, monkeypatch) -> None:
    monkeypatch.setattr(program, "execute", lambda path, arguments: 1)
    assert moec("prove", "tiny.moe").status == 1


@pytest.mark.slow
def test_a_program_is_proven_for_real(moec, tiny) -> None:
    called = moec("prove", "tiny.moe", "--run", "with_moe")
    assert called.status == 0
    assert "the training step compiles for 1 x cpu" in called.out
