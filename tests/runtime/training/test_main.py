"""The command line of an emitted program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from moec.runtime.main import main, run_command
from moec.runtime.program import Program


@pytest.mark.parametrize("command", ["train", "eval", "generate", "prove"])
def test_each_command_explains_itself(command: str, tiny: Program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(tiny, [command, "--help"])
    assert caught.value.code == 0
    assert f"{command} [-h]" in capsys.readouterr().out


def test_a_command_is_needed(tiny: Program) -> None:
    with pytest.raises(SystemExit) as caught:
        main(tiny, [])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments", [["train", "--steps", "0"], ["train", "--resume", "maybe"], ["eval", "--tokens", "x"]]
)
def test_values_that_make_no_sense_are_refused(arguments: list[str], tiny: Program) -> None:
    with pytest.raises(SystemExit) as caught:
        main(tiny, arguments)
    assert caught.value.code == 2


def test_training_then_measuring_then_writing(
    tiny: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--out", str(tmp_path)]
    assert run_command(tiny, ["train", "--steps", "2", *folder]) == 0
    assert "a unigram model has" in capsys.readouterr().out
    assert run_command(tiny, ["eval", "--tokens", "256", *folder]) == 0
    assert capsys.readouterr().out.startswith("step 2: held-out loss")
    assert run_command(tiny, ["generate", "--prompt", "abc", "--tokens", "4", *folder]) == 0
    assert capsys.readouterr().out.startswith("abc")


@pytest.mark.parametrize("command", ["eval", "generate"])
def test_without_a_checkpoint_nothing_can_be_measured_or_written(
    command: str, tiny: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tiny, [command, "--out", str(tmp_path)]) == 2
    assert "there is no checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_machine_is_exit_code_two(tiny: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = replace(tiny, mesh=replace(tiny.mesh, hardware="h100", data=8))
    assert run_command(elsewhere, ["train", "--out", str(tmp_path)]) == 2
    assert "8 x h100" in capsys.readouterr().err


def test_text_that_cannot_be_used_is_exit_code_one(
    tiny: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.data is not None
    nowhere = replace(tiny, data=replace(tiny.data, sources=(str(tmp_path / "none" / "*.txt"),)))
    assert run_command(nowhere, ["train", "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_program_that_was_changed_by_hand_says_so_and_trains(
    tiny: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = (Path(__file__).parents[2] / "golden/laptop/with_moe/program.py").read_text()
    path = tmp_path / "program.py"
    monkeypatch.setattr("sys.argv", [str(path)])
    for text, said in ((written, False), (written.replace("capacity=80", "capacity=90"), True)):
        path.write_text(text)
        assert run_command(tiny, ["train", "--steps", "1", "--out", str(tmp_path)]) == 0
        assert ("was changed after moec wrote it" in capsys.readouterr().err) is said
