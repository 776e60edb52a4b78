"""`moec check`: what it prints in each format, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def wrong(tiny: Path) -> Path:
    """A spec with a misspelled field."""
    text = tiny.read_text(encoding="utf-8").replace("  d_model ", "  tie_embedings = true\n  d_model ")
    path = tiny.with_name("wrong.moe")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def doubtful(tiny: Path) -> Path:
    """A spec with a warning and no error."""
    text = (
        tiny.read_text(encoding="utf-8")
        .replace("seq_len    = 64", "seq_len    = 4k")
        .replace("tokens = 256", "tokens = 4000")
    )
    path = tiny.with_name("doubtful.moe")
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sound_spec_passes(moec, tiny) -> None:
    called = moec("check", "tiny.moe")
    assert called.status == 0
    assert called.out.startswith("no mistakes in tiny.moe")


def test_a_mistake_fails_and_is_shown_where_it_stands(moec, wrong) -> None:
    called = moec("check", "wrong.moe")
    assert called.status == 1
    assert "--> wrong.moe:7:3" in called.out
    assert "did you mean `tie_embeddings`?" in called.out


def test_warnings_pass_unless_they_are_to_count(moec, doubtful) -> None:
    assert "warning[" in moec("check", "doubtful.moe").out
    assert moec("check", "doubtful.moe").status == 0
    strict = moec("check", "doubtful.moe", "--strict")
    assert strict.status == 1
    assert "warning[" not in strict.out


def test_json_has_the_documented_keys(moec, wrong) -> None:
    found = json.loads(moec("check", "wrong.moe", "--format", "json").out)
    assert set(found[0]) >= {"code", "severity", "message", "file", "start", "end", "notes", "help", "fixes"}
    assert found[0]["start"] == {"line": 7, "column": 3}


def test_json_of_a_sound_spec_is_an_empty_list(moec, tiny) -> None:
    assert json.loads(moec("check", "tiny.moe", "--format", "json").out) == []


def test_concise_gives_a_line_per_mistake(moec, wrong) -> None:
    lines = moec("check", "wrong.moe", "--format", "concise").out.splitlines()
    assert lines
    assert all(line.startswith("wrong.moe:") for line in lines)


def test_github_annotates(moec, wrong) -> None:
    assert moec("check", "wrong.moe", "--format", "github").out.startswith("::error file=wrong.moe,line=7")


def test_sarif_names_the_code(moec, wrong) -> None:
    report = json.loads(moec("check", "wrong.moe", "--format", "sarif").out)
    assert report["version"] == "2.1.0"
    assert report["runs"][0]["results"][0]["ruleId"].startswith("MOE2")


def test_several_specs_are_told_together(moec, tiny, wrong) -> None:
    called = moec("check", "tiny.moe", "wrong.moe", "--format", "concise")
    assert called.status == 1
    assert "wrong.moe:7:3" in called.out


def test_a_file_that_is_not_there_is_no_diagnostic_of_a_spec(moec) -> None:
    called = moec("check", "missing.moe")
    assert called.status == 2
    assert "MOE0001" in called.out


def test_standard_input_is_read(moec, tiny, wrong) -> None:
    assert moec("check", "-", stdin=tiny.read_bytes()).status == 0
    called = moec("check", "-", stdin=wrong.read_bytes())
    assert called.status == 1
    assert "stdin.moe:7:3" in called.out


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (2 << 20)], ids=["not UTF-8", "too large"])
def test_standard_input_that_no_spec_can_be_is_told(moec, content: bytes) -> None:
    called = moec("check", "-", stdin=content)
    assert called.status == 2
    assert "error[MOE000" in called.out


def test_a_pipe_gets_no_colour(moec, wrong) -> None:
    assert "\x1b" not in moec("check", "wrong.moe").out


def test_a_terminal_gets_colour_unless_its_user_does_not_want_it(moec, wrong, monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b" in moec("check", "wrong.moe").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in moec("check", "wrong.moe").out
