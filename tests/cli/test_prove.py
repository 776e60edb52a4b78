"""`moec prove`: each run is compiled into a folder and its program proves itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moec.cli import program

Programs = tuple[tuple[Path, tuple[str, ...]], ...]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments of the programs that would have been executed; each was there."""
    calls: list[tuple[str, ...]] = []

    def execute(path: Path, arguments: tuple[str, ...]) -> int:
        assert path.exists()
        calls.append(arguments)
        return 0

    def execute_all(programs: Programs, jobs: int, tell: Callable[[int, str, str], None]) -> tuple[int, ...]:
        return tuple(execute(path, arguments) for path, arguments in programs)

    monkeypatch.setattr(program, "execute", execute)
    monkeypatch.setattr(program, "execute_all", execute_all)
    return calls


def test_each_run_is_proven_by_its_program_and_nothing_is_left(moec, tiny, executed, tmp_path) -> None:
    before = set(tmp_path.rglob("*"))
    assert moec("prove", "tiny.moe").status == 0
    assert [arguments[0] for arguments in executed] == ["prove", "prove"]
    assert set(tmp_path.rglob("*")) == before


def test_targets_and_limits_reach_the_program(moec, tiny, executed) -> None:
    called = moec("prove", "tiny.moe", "--run", "baseline", "--target", "cpu:8", "--timeout", "77", "--format", "json")
    assert called.status == 0
    (arguments,) = executed
    pairs = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    assert pairs["--target"] == "cpu:8"
    assert pairs["--timeout"] == "77"
    assert pairs["--format"] == "json"


@pytest.mark.parametrize(
    ("target", "words"), [("tpu_v5p", "say which topology of tpu_v5p"), ("abacus:8", "abacus")], ids=lambda text: text
)
def test_a_target_that_cannot_be_is_refused_in_words(moec, tiny, target: str, words: str) -> None:
    called = moec("prove", "tiny.moe", "--target", target)
    assert called.status == 2
    assert words in called.err


def test_the_worst_status_of_several_proofs_is_given(moec, tiny, monkeypatch) -> None:
    monkeypatch.setattr(program, "execute_all", lambda programs, jobs, tell: (0, 1))
    assert moec("prove", "tiny.moe").status == 1


def test_a_proof_that_fails_gives_its_status(moec, tiny, monkeypatch) -> None:
    monkeypatch.setattr(program, "execute", lambda path, arguments: 1)
    assert moec("prove", "tiny.moe", "--run", "baseline").status == 1


@pytest.mark.slow
def test_programs_are_proven_for_real(moec, tiny) -> None:
    called = moec("prove", "tiny.moe", "--format", "json")
    assert called.status == 0
    proofs = json.loads(called.out)
    assert [proof["run"] for proof in proofs] == ["baseline", "with_moe"]
    assert all(proof["ok"] and proof["devices"] == 1 and proof["hbm_bytes_per_device"] > 0 for proof in proofs)


@pytest.mark.slow
def test_a_model_whose_messages_are_all_small_is_proven_over_devices(moec, tiny) -> None:
    spec = tiny.read_text(encoding="utf-8").replace("devices = 1 }", "devices = 4, axes { fsdp = 2, expert = 2 } }")
    tiny.write_text(spec, encoding="utf-8")
    called = moec("prove", "tiny.moe", "--format", "json")
    assert called.status == 0, called.out
    assert [proof["failures"] for proof in json.loads(called.out)] == [[], []]
