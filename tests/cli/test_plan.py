"""`moec plan`: the runs one by one and side by side."""

from __future__ import annotations

import json


def test_all_runs_are_planned_and_compared(moec, tiny) -> None:
    called = moec("plan", "tiny.moe")
    assert called.status == 0
    assert called.out.index("baseline: model dense") < called.out.index("with_moe: model sparse")
    assert called.err == ""


def test_one_run_can_be_asked_for(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--run", "with_moe")
    assert "with_moe: model sparse" in called.out
    assert "baseline: model dense" not in called.out


def test_json_has_a_member_per_run(moec, tiny) -> None:
    plans = json.loads(moec("plan", "tiny.moe", "--format", "json").out)
    assert list(plans) == ["baseline", "with_moe"]
    assert plans["with_moe"]["params"]["total"] > plans["baseline"]["params"]["total"]
    assert plans["baseline"]["steps"] == 4


def test_json_says_of_each_later_run_what_its_step_takes_over_the_first_and_why(moec, tiny) -> None:
    plans = json.loads(moec("plan", "tiny.moe", "--format", "json").out)
    assert "increase" not in plans["baseline"]
    answer = plans["with_moe"]["increase"]
    assert answer["over"] == "baseline"
    assert answer["ratio"] == plans["with_moe"]["step_time"]["seconds"] / plans["baseline"]["step_time"]["seconds"]
    assert answer["causes"][0]["cause"] == "feed-forward matmuls"
    assert answer["proposals"][0]["write"] == "model sparse { experts { d_ff = 32 } }"


def test_text_and_page_say_why_a_mixture_takes_longer(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--html", "plan.html", "--format", "text")
    page = (tiny.parent / "plan.html").read_text(encoding="utf-8")
    for printed in (called.out, page):
        assert "Main reason: feed-forward matmuls" in printed
        assert "model sparse { experts { d_ff = 32 } }" in printed


def test_markdown_has_headings(moec, tiny) -> None:
    assert moec("plan", "tiny.moe", "--run", "baseline", "--format", "markdown").out.startswith("# ")


def test_markdown_compares_in_tables_of_its_own(moec, tiny) -> None:
    printed = moec("plan", "tiny.moe", "--format", "markdown").out
    assert "\n## Side by side\n\n| side by side | baseline | with_moe | ratio |\n" in printed
    assert "\n## Step time against the first run\n" in printed
    assert "| **model sparse { experts { d_ff = 32 } }** |  |  |  |" in printed


def test_a_run_that_is_not_there_is_misuse_and_names_the_nearest(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--run", "basline")
    assert called.status == 2
    assert "did you mean `baseline`?" in called.err


def test_a_spec_without_runs_is_told(moec, tmp_path) -> None:
    (tmp_path / "empty.moe").write_text("edition = 2026\n", encoding="utf-8")
    called = moec("plan", "empty.moe")
    assert called.status == 1
    assert "no run" in called.err


def test_mistakes_go_to_standard_error(moec, tiny) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace("n_heads = 2", "n_heads = 3"), encoding="utf-8")
    called = moec("plan", "tiny.moe")
    assert called.status == 1
    assert called.out == ""
    assert "error[MOE" in called.err
    assert "Traceback" not in called.err


def test_a_page_is_written_with_all_runs_and_the_plan_is_not_printed_beside_it(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--html", "plan.html")
    assert called.status == 0
    assert called.out == ""
    assert "plan.html" in called.err
    text = (tiny.parent / "plan.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "baseline: model dense" in text
    assert "with_moe: model sparse" in text


def test_a_doc_comment_cannot_put_markup_into_the_page(moec, tiny) -> None:
    spec = tiny.read_text(encoding="utf-8").replace("run baseline", "/// <script>alert(1)</script>\nrun baseline")
    tiny.write_text(spec, encoding="utf-8")
    assert moec("plan", "tiny.moe", "--html", "plan.html").status == 0
    text = (tiny.parent / "plan.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_page_can_stand_beside_json(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--html", "plan.html", "--format", "json")
    assert list(json.loads(called.out)) == ["baseline", "with_moe"]


def test_four_pictures_are_drawn_per_run(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--png", "pictures", "--run", "with_moe")
    assert called.status == 0
    drawn = sorted((tiny.parent / "pictures").iterdir())
    assert [path.stem for path in drawn] == [
        "with_moe-laws",
        "with_moe-memory",
        "with_moe-mesh",
        "with_moe-step_time",
    ]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.name in called.err


def test_a_page_that_cannot_be_written_is_misuse_and_says_where(moec, tiny) -> None:
    called = moec("plan", "tiny.moe", "--html", "missing/plan.html")
    assert called.status == 2
    assert "missing" in called.err
    assert "Traceback" not in called.err
