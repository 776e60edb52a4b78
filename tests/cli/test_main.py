"""`moec` itself: help, unknown commands, exit statuses, and what happens when something breaks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moec.cli import plan as plan_command
from moec.cli.command import Command
from moec.cli.main import COMMANDS, main
from moec.spec import VERSION

SCRIPT = "import sys; from moec.cli.main import main; sys.exit(main())"


def test_help_names_every_command_and_what_it_does(moec) -> None:
    called = moec("--help")
    assert called.status == 0
    for command in COMMANDS:
        assert f"  {command.name} " in called.out
        assert command.summary in called.out


def test_without_arguments_the_help_is_shown_as_misuse(moec) -> None:
    called = moec()
    assert called.status == 2
    assert called.out == moec("--help").out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_each_command_shows_examples_that_call_it(moec, command: Command) -> None:
    called = moec(command.name, "--help")
    assert called.status == 0
    examples = called.out.partition("examples:\n")[2].splitlines()
    assert examples
    assert all(f"moec {command.name}" in example for example in examples)


def test_the_version_is_told(moec) -> None:
    assert moec("--version").out == f"moec {VERSION}\n"


def test_an_unknown_command_is_misuse_and_names_the_nearest(moec) -> None:
    called = moec("chekc", "x.moe")
    assert called.status == 2
    assert "no command `chekc`; did you mean `moec check`?" in called.err
    assert called.out == ""


def test_a_command_like_no_other_gets_the_list_only(moec) -> None:
    called = moec("photosynthesise")
    assert called.status == 2
    assert "did you mean" not in called.err
    assert "init check plan" in called.err


def test_an_unknown_option_is_misuse(moec, tiny: Path) -> None:
    assert moec("check", "tiny.moe", "--loud").status == 2


def test_an_internal_fault_is_told_politely_and_its_traceback_saved(moec, tiny, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(plan_command, "read_placed_plans", _broken)
    monkeypatch.setattr("moec.cli.main.COMMANDS", (plan_command.COMMAND,))
    called = moec("plan", "tiny.moe")
    (saved,) = tmp_path.glob("moec-fault-*.txt")
    assert called.status == 70
    assert str(saved) in called.err
    assert "Traceback" not in called.err
    text = saved.read_text(encoding="utf-8")
    assert "ZeroDivisionError: planted" in text
    assert "$ moec plan tiny.moe" in text


def test_debugging_shows_the_traceback(moec, tiny, monkeypatch) -> None:
    monkeypatch.setenv("MOEC_DEBUG", "1")
    monkeypatch.setattr(plan_command, "read_placed_plans", _broken)
    called = moec("plan", "tiny.moe")
    assert called.status == 70
    assert "ZeroDivisionError: planted" in called.err


def test_a_fault_is_told_where_no_file_can_be_written(moec, tiny, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _no_space)
    monkeypatch.setattr(plan_command, "read_placed_plans", _broken)
    called = moec("plan", "tiny.moe")
    assert called.status == 70
    assert "MOEC_DEBUG=1" in called.err


def test_an_interrupt_ends_without_a_traceback(moec, tiny, monkeypatch) -> None:
    monkeypatch.setattr(plan_command, "read_placed_plans", _interrupted)
    called = moec("plan", "tiny.moe")
    assert called.status == 128 + signal.SIGINT
    assert called.err == "moec: interrupted\n"


def test_a_file_that_cannot_be_written_is_told_with_its_name(moec, tiny, tmp_path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    called = moec("compile", "tiny.moe", "-o", "taken")
    assert called.status == 2
    assert "taken/baseline: Not a directory" in called.err


def test_a_reader_that_goes_away_gets_no_message() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(
            (sys.executable, "-c", SCRIPT, "explain"), stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE


def test_every_command_has_a_name_of_its_own() -> None:
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    assert main(["--version"]) == 0


def _broken(*_: object) -> None:
    raise ZeroDivisionError("planted")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
