"""`moec init`, `moec convert`, `moec schema`, `moec expand`: the small commands."""

from __future__ import annotations

import json


def test_the_starter_is_sound_and_laid_out(moec) -> None:
    assert moec("init").status == 0
    assert moec("check", "starter.moe").status == 0
    assert moec("fmt", "--check", "starter.moe").status == 0
    assert json.loads(moec("check", "starter.moe", "--format", "json").out) == []


def test_the_starter_in_yaml_gives_the_same_plan(moec) -> None:
    moec("init")
    assert moec("init", "--yaml").status == 0
    plans = [moec("plan", name, "--format", "json").out for name in ("starter.moe", "starter.moe.yaml")]
    numbers = [json.loads(plan)["first"]["params"] for plan in plans]
    assert numbers[0] == numbers[1]


def test_nothing_is_overwritten(moec, tmp_path) -> None:
    (tmp_path / "starter.moe").write_text("mine", encoding="utf-8")
    called = moec("init")
    assert called.status == 2
    assert "exists" in called.err
    assert (tmp_path / "starter.moe").read_text(encoding="utf-8") == "mine"


def test_a_folder_is_made(moec, tmp_path) -> None:
    assert moec("init", "a/b").status == 0
    assert (tmp_path / "a" / "b" / "starter.moe").exists()


def test_conversion_there_and_back_changes_nothing(moec, tiny) -> None:
    moec("fmt", "tiny.moe")
    assert moec("convert", "tiny.moe", "tiny.moe.yaml").status == 0
    assert moec("convert", "tiny.moe.yaml", "back.moe").status == 0
    assert moec("diff", "tiny.moe", "back.moe").out.count("no difference") == 2


def test_a_dash_prints_the_other_form(moec, tiny) -> None:
    assert "model:" in moec("convert", "tiny.moe", "-").out
    moec("convert", "tiny.moe", "tiny.moe.yaml")
    assert "model dense {" in moec("convert", "tiny.moe.yaml", "-").out


def test_an_ending_that_says_no_form_is_misuse(moec, tiny) -> None:
    assert moec("convert", "tiny.moe", "tiny.json").status == 2


def test_the_schema_is_a_draft_7_schema(moec) -> None:
    schema = json.loads(moec("schema").out)
    assert "draft-07" in schema["$schema"]


def test_the_expanded_spec_is_a_spec_that_gives_the_same_run(moec, tiny, tmp_path) -> None:
    called = moec("expand", "tiny.moe", "--run", "with_moe")
    assert called.status == 0
    (tmp_path / "expanded.moe").write_text(called.out, encoding="utf-8")
    assert moec("diff", "tiny.moe", "expanded.moe", "--run", "with_moe").out == "run with_moe\n  no difference\n"


def test_all_runs_expand_to_one_spec_with_the_study(moec, tiny, tmp_path) -> None:
    called = moec("expand", "tiny.moe")
    (tmp_path / "expanded.moe").write_text(called.out, encoding="utf-8")
    assert moec("diff", "tiny.moe", "expanded.moe").out.count("no difference") == 2
    assert called.out.count("mesh laptop {") == 1
    assert "study tradeoff" in called.out
    assert moec("check", "expanded.moe").status == 0


def test_origins_say_where_values_were_written(moec, tiny) -> None:
    line = next(
        line
        for line in moec("expand", "tiny.moe", "--run", "baseline", "--origins").out.splitlines()
        if "d_model" in line
    )
    assert "tiny.moe:7" in line
