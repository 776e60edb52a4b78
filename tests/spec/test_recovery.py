"""Mistakes: each is told once, at its place, in words; and what is well written is kept."""

from __future__ import annotations

import pytest
from generators import scrap_heaps
from hypothesis import given

from moec.spec import syntax
from moec.spec.diagnostics import Diagnostic
from moec.spec.parser import parse
from moec.spec.source import Source


def told(text: str) -> tuple[Diagnostic, ...]:
    return parse(Source("test.moe", text))[1]


def summary(text: str) -> list[tuple[str, str]]:
    """Code and text at fault of each diagnostic."""
    source = Source("test.moe", text)
    return [(diagnostic.code, source.slice(diagnostic.span)) for diagnostic in parse(source)[1]]


CASES = [
    ("model m {\n n_layers 4\n}", "MOE1002", "4"),
    ("model m {\n activation swiglu\n}", "MOE1002", "swiglu"),
    ("model m {\n n_layers: 4\n}", "MOE1003", ":"),
    ("model m {\n ffn: { d_ff = 4 }\n}", "MOE1003", ":"),
    ("model m {\n ffn { d_ff = 4\n}", "MOE1004", "{"),
    ("model m {\n a = [1, 2\n b = 3\n}", "MOE1005", "["),
    ("model m { a = f(1, [2) }", "MOE1005", "["),
    ("x = (1 + 2", "MOE1005", "("),
    ("x = 4]", "MOE1006", "]"),
    ("x = [4)", "MOE1006", ")"),
    ("mesh m { a = 1 } }", "MOE1006", "}"),
    ("x = 1; y = 2", "MOE1007", ";"),
    ("x = [1; 2]", "MOE1007", ";"),
    ("x = 'a'", "MOE1008", "'a'"),
    ("x = \u201ca\u201d", "MOE1008", "\u201ca\u201d"),
    ('data d { x = "a }', "MOE1009", '"a'),
    ("x = 4Kb", "MOE1010", "Kb"),
    ("x = 0x1F", "MOE1010", "x1F"),
    ("x = 1__0", "MOE1011", "1__0"),
    ("x = 7_B", "MOE1011", "7_B"),
    ("x = [1 2]", "MOE1012", "2"),
    ("x = f(a b)", "MOE1012", "b"),
    ("x = 4 // of them all", "MOE1013", "//"),
    ("// of them all\nx = 4", "MOE1013", "//"),
    ("x = 4 /// doc", "MOE1013", "/// doc"),
    (r'x = "a\qb"', "MOE1014", r"\q"),
    (r'x = "\u{D800}"', "MOE1014", r"\u{D800}"),
    (r'x = "\u{0}"', "MOE1014", r"\u{0}"),
    ('x = "a\u202eb"', "MOE1015", "\u202e"),
    ("x = 1 # a\u2066b", "MOE1015", "\u2066"),
    ("x = 1\0", "MOE1015", "\0"),
    ('x = "a\tb"', "MOE1015", "\t"),
    ("x = \ud800", "MOE1015", "\ud800"),
    ("x = $", "MOE1016", "$"),
    ("x =\u00a04", "MOE1016", "\u00a0"),
    ("let if = 4", "MOE1017", "if"),
    ("let = 4", "MOE1017", "let"),
    ("model m { else = 4 }", "MOE1017", "else"),
    ("x = a && b", "MOE1018", "&&"),
    ("x = 2 ** 3", "MOE1018", "**"),
    ("model m { assert a = b }", "MOE1018", "="),
    ("x = 1 < 2 < 3", "MOE1019", "<"),
    ("x =\ny = 1", "MOE1020", "="),
    ("x = 1 +\n", "MOE1020", "+"),
    ("mesh { a = 1 }", "MOE1021", "mesh"),
    ("model m { ffn wide { a = 1 } }", "MOE1022", "wide"),
    ("model m { ffn extends a { b = 1 } }", "MOE1022", "a"),
    ("assert 1 < 2", "MOE1023", "assert"),
    ("model m { let a = 1 }", "MOE1023", "let"),
    ("x = 1 y = 2", "MOE1024", "y"),
    ("model m { a { b = 1 } c { d = 2 } }", "MOE1024", "c"),
    ("model m { ffn = { a = 1 } }", "MOE1025", "="),
    ("model m\n{ a = 1 }", "MOE1026", "{"),
    ("x = 4 Ki", "MOE1027", "4 Ki"),
    ("model m {\n/// idle\n}", "MOE1028", "/// idle"),
    ("x = round_up(4, to = 8)", "MOE1029", "to"),
    ("größe = 4", "MOE1037", "größe"),
    ("model a b c { x = 1 }", "MOE1001", "b"),
    ("model a\n  b = 1\n  c { d = 2 }\n}", "MOE1038", "b"),
    ("model a {\n  c d = 2 }\n}", "MOE1038", "d"),
    ("model a extends b.c\n  d = 2\n}", "MOE1038", "d"),
    ("model m extends a, b { x = 1 }", "MOE1001", ","),
    ("x = 4 5", "MOE1001", "5"),
    ("use base as b", "MOE1001", "base"),
    ("model m } x = 1", "MOE1006", "}"),
]


@pytest.mark.parametrize(("text", "code", "at_fault"), CASES)
def test_one_mistake_is_told_once_and_at_its_place(text: str, code: str, at_fault: str) -> None:
    assert (code, at_fault) in summary(text)
    if text != "model m } x = 1":
        assert len(told(text)) == 1


GOOD = "before { }\nmodel good { a = 1 }\n"


@pytest.mark.parametrize(("text", "code", "at_fault"), CASES)
def test_a_mistake_does_not_hide_what_follows(text: str, code: str, at_fault: str) -> None:
    """A good block behind each mistake is in the tree, and a mistake in it is told."""
    file, _ = parse(Source("test.moe", f"{text}\nmodel good {{ a = 1 }}\n"))
    last = file.statements[-1]
    assert isinstance(last, syntax.Block)
    assert last.label is not None
    assert last.label.text == "good"
    assert ("MOE1010", "q") in summary(f"{text}\nmodel good {{ a = 1q }}\n")


def test_six_mistakes_are_six_errors_and_a_whole_tree() -> None:
    text = """edition = 2026
model dense {
  vocab_size 256
  seq_len: 256;
  attention = { n_heads = 4 n_kv_heads = 2 }
  ffn { d_ff = 688q
}
mesh laptop { hardware = cpu, devices = }
run baseline { model = dense, mesh = laptop }
"""
    assert [code for code, _ in summary(text)] == [
        *("MOE1002", "MOE1003", "MOE1007", "MOE1025", "MOE1024", "MOE1004", "MOE1010", "MOE1020"),
    ]
    file, _ = parse(Source("test.moe", text))
    names = [
        statement.label.text
        for statement in file.statements[1:]
        if isinstance(statement, syntax.Block) and statement.label
    ]
    assert names == ["dense", "laptop", "baseline"]
    model = file.statements[1]
    assert isinstance(model, syntax.Block)
    assert len(model.items) == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model a {\n  attention { n = 4\n  ffn { d = 1 }\n}\nmesh b { c = 1 }\n", 2),
        ("run c {\n  batch {\n    tokens = 4\n}\nstudy d { e = 1 }\n", 2),
        ("model e {\n  x = 1\nrun f { y = 1 }\n", 1),
        ("model a {\nx = 1\nattention {\nn = 4\n\nmesh m {\n a = 1\n}\n", 3),
        ("model a { b = 1\nmodel c { d = 1 }\n", 1),
    ],
)
def test_the_indentation_says_which_block_was_left_open(text: str, line: int) -> None:
    (diagnostic,) = told(text)
    assert diagnostic.code == "MOE1004"
    assert Source("test.moe", text).position(diagnostic.span.start).line == line


def test_a_brace_too_many_is_found_where_it_stands() -> None:
    text = "model a {\n  attention { n = 4 } }\n  ffn { z = 1 }\n}\nmesh m { a = 1 }\n"
    (diagnostic,) = told(text)
    assert (diagnostic.code, Source("", text).position(diagnostic.span.start)) == ("MOE1006", (2, 23))


def test_odd_indentation_is_no_mistake_where_braces_match() -> None:
    assert told("model a {\nattention {\n      n = 4\n}\n    }\nmesh m {\n a = 1 }\n") == ()


def test_a_broken_field_keeps_its_name() -> None:
    file, _ = parse(Source("test.moe", "model m {\n a = 1 + * 2\n b = ]\n c 5 6\n let\n}"))
    block = file.statements[0]
    assert isinstance(block, syntax.Block)
    assert [item.name.text for item in block.items if isinstance(item, syntax.Field)] == ["a", "b", "c"]
    assert all(isinstance(item.value, syntax.Broken) for item in block.items if isinstance(item, syntax.Field))


def test_a_repair_gives_the_tree_that_was_meant() -> None:
    written = "model m {\n a: 1; b 2\n ffn = { c = [1 2], d = 'x' }\n e = 4 Ki\n}"
    meant = 'model m {\n a = 1\n b = 2\n ffn { c = [1, 2], d = "x" }\n e = 4\n}'
    assert parse(Source("a", written))[0] == parse(Source("b", meant))[0]


def test_each_fix_makes_its_mistake_go_away() -> None:
    for text, code, _ in CASES:
        for diagnostic in told(text):
            for fix in diagnostic.fixes:
                mended = text[: fix.span.start] + fix.replacement + text[fix.span.end :]
                assert code not in [after.code for after in told(mended)], (text, mended)


def test_words_not_token_names_are_told() -> None:
    for text, _, _ in CASES:
        for diagnostic in told(text):
            words = " ".join((diagnostic.message, *diagnostic.helps))
            assert not {"NAME", "NUMBER", "NEWLINE", "LBRACE", "RBRACE", "ASSIGN", "$END"} & set(
                words.replace("`", " ").split()
            )


def test_the_nearest_suffix_is_offered() -> None:
    (diagnostic,) = told("x = 4Kb")
    assert "did you mean `4kB`?" in diagnostic.helps
    (diagnostic,) = told("x = 80Gib")
    assert "did you mean `80GiB`?" in diagnostic.helps


def test_after_a_hundred_mistakes_only_their_number_is_told() -> None:
    diagnostics = told("x 1\n" * 500)
    assert len(diagnostics) == 101
    assert diagnostics[-1].code == "MOE1039"
    assert [told("x = $\n" * 500)[-1].code, told("}\n" * 500)[-1].code] == ["MOE1039", "MOE1039"]


@given(scrap_heaps)
def test_any_heap_of_words_gives_a_tree_and_places_inside_the_text(text: str) -> None:
    file, diagnostics = parse(Source("test.moe", text))
    assert isinstance(file, syntax.File)
    assert len(diagnostics) <= 101
    for diagnostic in diagnostics:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text) + 1


def test_a_word_taken_out_of_a_spec_gives_few_errors() -> None:
    """A cascade is the failure of recovery: one word less is at most two errors."""
    words = LAPTOP.split(" ")
    for index in range(len(words)):
        text = " ".join(words[:index] + words[index + 1 :])
        assert len(told(text)) <= 2, text


LAPTOP = """edition = 2026
model dense {
  vocab_size = 256 # bytes
  attention { n_heads = 4, n_kv_heads = 2 }
  ffn { d_ff = round_up( 4 * 256 , 128 ), activation = swiglu }
}
model sparse extends dense {
  experts {
    every = 2
    capacity_factor = 1.25
  }
}
mesh laptop { hardware = cpu, devices = 1 }
run baseline { model = dense, mesh = laptop, batch { tokens = 4Ki } }
study tradeoff { runs = [ baseline, with_moe ], match = step_time }
"""
