"""Diagnostics as people and programs see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.spec.diagnostics import Diagnostic, Fix, Label
from moec.spec.parser import parse
from moec.spec.render.as_json import render_json
from moec.spec.render.concise import render_concise
from moec.spec.render.full import render_full
from moec.spec.render.github import render_github
from moec.spec.render.sarif import render_sarif
from moec.spec.render.visible import cells, visible, width
from moec.spec.source import Source, Span

TINY = Source(
    "tiny.moe", "edition = 2026\nmodel tiny {\n  d_model = 4100\n\n\n\n\n\n\n  attention { n_heads = 32 }\n}\n"
)
BASE = Source("base.moe", "model base { n_kv_heads = 5 }\n")
SOURCES = {"tiny.moe": TINY, "base.moe": BASE}


def span(source: Source, text: str) -> Span:
    start = source.text.index(text)
    return Span(source.name, start, start + len(text))


HEADS = Diagnostic(
    "MOE3102",
    "error",
    "`d_model` is not a multiple of `n_heads`",
    span(TINY, "32"),
    "4100 / 32 leaves 4",
    (Label(span(TINY, "4100"), "`d_model` is set here"),),
    check="d_model % n_heads == 0",
    helps=("nearest values: d_model = 4096 or 4128",),
    fixes=(Fix("use 4096", span(TINY, "4100"), "4096"),),
)
TWO_FILES = Diagnostic(
    "MOE3103",
    "warning",
    "`n_heads` is not a multiple of `n_kv_heads`",
    span(TINY, "32"),
    others=(Label(span(BASE, "5"), "set here"),),
    notes=("by `extends`",),
)


def full(*diagnostics: Diagnostic, **sources: Source) -> str:
    return render_full(diagnostics, sources or SOURCES, color=False, width=80)


def test_the_full_form_shows_both_places_in_one_excerpt() -> None:
    assert full(HEADS) == (
        "error[MOE3102]: `d_model` is not a multiple of `n_heads`\n"
        "  --> tiny.moe:10:25\n"
        " 3 |   d_model = 4100\n"
        "   |             ---- `d_model` is set here\n"
        "10 |   attention { n_heads = 32 }\n"
        "   |                         ^^ 4100 / 32 leaves 4\n"
        "   = check: d_model % n_heads == 0\n"
        "   = help: nearest values: d_model = 4096 or 4128\n"
        "\n1 error\n"
    )


def test_the_full_form_shows_a_place_in_another_file() -> None:
    assert full(TWO_FILES, HEADS).startswith(
        "warning[MOE3103]: `n_heads` is not a multiple of `n_kv_heads`\n"
        "  --> tiny.moe:10:25\n"
        "10 |   attention { n_heads = 32 }\n"
        "   |                         ^^\n"
        "  ::: base.moe:1:27\n"
        " 1 | model base { n_kv_heads = 5 }\n"
        "   |                           - set here\n"
        "   = note: by `extends`\n"
    )
    assert full(TWO_FILES, HEADS).endswith("\n1 error, 1 warning\n")


def test_two_places_in_one_line_have_a_mark_each() -> None:
    diagnostic = Diagnostic("MOE1012", "error", "m", span(TINY, "32"), "b", (Label(span(TINY, "n_heads"), "a"),))
    assert full(diagnostic).split("\n")[2:5] == [
        "10 |   attention { n_heads = 32 }",
        "   |               ------- a",
        "   |                         ^^ b",
    ]


def test_no_diagnostics_are_no_text() -> None:
    assert full() == ""


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("\tx = $", "        ^"),
        ("名 = $", "     ^"),
        ('x = "e\u0301", $', "         ^"),
        ('x = "😀" $', "         ^"),
        ("\x1b[31m $", "           ^"),
    ],
)
def test_marks_stand_below_what_they_mark(line: str, mark: str) -> None:
    source = Source("x.moe", line)
    diagnostic = Diagnostic("MOE1016", "error", "m", Span("x.moe", line.index("$"), line.index("$") + 1))
    shown, below = full(diagnostic, **{"x.moe": source}).split("\n")[2:4]
    assert below == f"  | {mark}"
    assert width(shown[: shown.index("$")]) == width(below[: below.index("^")])


def test_a_long_line_is_cut_around_its_mark() -> None:
    source = Source("x.moe", "a" * 5000 + "$" + "b" * 5000)
    diagnostic = Diagnostic("MOE1016", "error", "m", Span("x.moe", 5000, 5001))
    shown, below = full(diagnostic, **{"x.moe": source}).split("\n")[2:4]
    assert len(shown) <= 80
    assert shown[below.index("^")] == "$"
    assert shown.startswith("1 | …a")
    assert shown.endswith("b…")


def test_a_span_of_several_lines_is_marked_in_its_first() -> None:
    diagnostic = Diagnostic("MOE1001", "error", "m", span(TINY, "{\n  d_model = 4100"))
    assert full(diagnostic).split("\n")[2:4] == ["2 | model tiny {", "  |            ^"]


def test_a_file_that_could_not_be_read_has_no_excerpt() -> None:
    diagnostic = Diagnostic("MOE0001", "error", "the file `a.moe` does not exist", Span("a.moe", 0, 0))
    assert full(diagnostic) == "error[MOE0001]: the file `a.moe` does not exist\n --> a.moe\n\n1 error\n"
    assert render_concise([diagnostic], {}) == "a.moe:1:1: error[MOE0001]: the file `a.moe` does not exist\n"


def test_a_long_help_is_wrapped_below_itself() -> None:
    diagnostic = Diagnostic("MOE0001", "error", "m", Span("a.moe", 0, 0), helps=("word " * 40,))
    lines = full(diagnostic).split("\n")[2:-3]
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * 10 + "word") for line in lines[1:])


def test_colour_is_all_that_colour_adds() -> None:
    coloured = render_full([HEADS], SOURCES, color=True, width=80)
    assert "\x1b[1;31m" in coloured
    stripped = coloured
    for code in ("0", "1;31", "1;33", "34", "1", "36"):
        stripped = stripped.replace(f"\x1b[{code}m", "")
    assert stripped == full(HEADS)


def test_the_concise_form_is_a_line_each() -> None:
    assert render_concise([HEADS, TWO_FILES], SOURCES) == (
        "tiny.moe:10:25: error[MOE3102]: `d_model` is not a multiple of `n_heads`\n"
        "tiny.moe:10:25: warning[MOE3103]: `n_heads` is not a multiple of `n_kv_heads`\n"
    )


def test_the_json_form_has_the_promised_keys() -> None:
    (told,) = json.loads(render_json([HEADS], SOURCES))
    assert told == {
        "code": "MOE3102",
        "severity": "error",
        "message": "`d_model` is not a multiple of `n_heads`",
        "file": "tiny.moe",
        "start": {"line": 10, "column": 25},
        "end": {"line": 10, "column": 27},
        "notes": ["4100 / 32 leaves 4", "tiny.moe:3:13: `d_model` is set here", "check: d_model % n_heads == 0"],
        "help": ["nearest values: d_model = 4096 or 4128"],
        "fixes": [
            {
                "title": "use 4096",
                "file": "tiny.moe",
                "start": {"line": 3, "column": 13},
                "end": {"line": 3, "column": 17},
                "replacement": "4096",
            }
        ],
    }


def test_the_github_form_escapes_what_has_a_meaning_there() -> None:
    diagnostic = Diagnostic("MOE0001", "error", "100 % of\n`a`, b: c", Span("a,b:c.moe", 0, 0), helps=("mend it",))
    assert render_github([diagnostic], {}) == (
        "::error file=a%2Cb%3Ac.moe,line=1,col=1,endLine=1,endColumn=1,title=MOE0001"
        "::100 %25 of%0A`a`, b: c%0Ahelp: mend it\n"
    )


def test_the_sarif_form_has_the_shape_of_the_standard() -> None:
    log = json.loads(render_sarif([HEADS, TWO_FILES, HEADS], SOURCES))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["MOE3102", "MOE3103"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        assert result["message"]["text"]
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            check_location(location["physicalLocation"])
    (change,) = run["results"][0]["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"] == {"text": "4096"}


def check_location(location: dict[str, Any]) -> None:
    region = location["region"]
    assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
    assert all(isinstance(value, int) and value >= 1 for value in region.values())
    assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])
    assert location["artifactLocation"]["uri"].isascii()


def test_known_codes_bring_their_titles_into_sarif() -> None:
    log = json.loads(render_sarif(parse(Source("x.moe", "x = $"))[1], {}))
    (rule,) = log["runs"][0]["tool"]["driver"]["rules"]
    assert rule["id"] == "MOE1016"
    assert rule["shortDescription"]["text"]


def test_nothing_invisible_is_shown() -> None:
    assert visible("a\x1b\u202eb\ud800\nc") == "a\\u{1B}\\u{202E}b\\u{D800}\nc"
    assert cells("\ta") == ["    ", "a"]


@given(st.text(st.characters(), max_size=60), st.data())
def test_any_text_can_be_shown_in_any_form(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    place = Span(text, start, data.draw(st.integers(start, len(text))))
    diagnostic = Diagnostic("MOE1001", "error", text, place, text, (Label(place, text),), text, (text,), (text,))
    sources = {text: Source(text, text)}
    for shown in (
        render_full([diagnostic], sources, color=False, width=40),
        render_concise([diagnostic], sources),
        render_github([diagnostic], sources),
    ):
        assert all(char.isprintable() or char in "\n\u200d" for char in shown)
        shown.encode("utf-8")
    assert len(json.loads(render_json([diagnostic], sources))) == 1
    assert render_sarif([diagnostic], sources).isascii()
    assert len(render_concise([diagnostic], sources).splitlines()) == 1
