"""The tree that a well-written spec gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moec.spec import syntax
from moec.spec.format_value import format_expression
from moec.spec.grammar import build_lark
from moec.spec.parser import parse
from moec.spec.quantities import SUFFIX_VALUES
from moec.spec.source import Source, Span
from moec.spec.syntax import File, Statement


def parsed(text: str) -> File:
    file, diagnostics = parse(Source("test.moe", text))
    assert diagnostics == ()
    return file


def only(text: str) -> Statement:
    (statement,) = parsed(text).statements
    return statement


def value(text: str) -> syntax.Expression:
    statement = only(f"x = {text}")
    assert isinstance(statement, syntax.Field)
    return statement.value


def test_the_grammar_has_no_conflicts() -> None:
    assert build_lark().options.strict


def test_an_empty_file_has_no_statements() -> None:
    assert parsed("").statements == ()
    assert parsed("\n\n  # nothing\n").statements == ()


@pytest.mark.parametrize(
    "text",
    ["0", "128_256", "7B", "1.5T", "32k", "4Ki", "80GiB", "96GB", "3.35TB/s", "989TFLOP/s", "1e-4", "5s", "2.5E+3"],
)
def test_a_number_keeps_its_text(text: str) -> None:
    number = value(text)
    assert isinstance(number, syntax.Number)
    assert number.text == text


def test_a_topology_is_its_sizes() -> None:
    assert value("8x8x16") == syntax.Topology((8, 8, 16), Span("", 0, 0))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"a\n\t\"\\b"', 'a\n\t"\\b'),
        (r'"\u{1F600}\u{e9}"', "\U0001f600\u00e9"),
        ('"# no comment // nor this"', "# no comment // nor this"),
        ('"é 漢 😀"', "é 漢 😀"),
    ],
)
def test_escapes_of_a_text_are_resolved(written: str, meant: str) -> None:
    text = value(written)
    assert isinstance(text, syntax.String)
    assert text.value == meant


@pytest.mark.parametrize(
    ("written", "grouped"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("-a * b", "(-a) * b"),
        ("not a == b", "not (a == b)"),
        ("a or b and not c", "a or (b and (not c))"),
        ("a + 1 < b * 2", "(a + 1) < (b * 2)"),
        ("1 if a else 2 if b else 3", "1 if a else (2 if b else 3)"),
        ("a // b % c", "(a // b) % c"),
    ],
)
def test_operators_bind_as_people_expect(written: str, grouped: str) -> None:
    assert value(written) == value(grouped)
    assert format_expression(value(grouped)) == written


def test_a_rate_and_a_division_are_told_apart() -> None:
    assert isinstance(value("80GB/s"), syntax.Number)
    assert isinstance(value("80GB/shards"), syntax.Binary)
    assert isinstance(value("4Ki/s"), syntax.Binary)


def test_newlines_inside_brackets_mean_nothing() -> None:
    assert value("[\n  a,\n\n  f(b,\n c), # last\n]") == value("[a, f(b, c)]")


def test_fields_end_at_a_newline_or_a_comma() -> None:
    apart = parsed("model m {\n a = 1\n b { c = 2 }\n}")
    assert parsed("model m { a = 1, b { c = 2 } }") == apart
    assert parsed("model m { a = 1,\n b { c = 2, }, \n }") == apart


def test_a_block_has_kind_name_base_and_items() -> None:
    block = only('run big extends lib.small { seed = 1, batch { tokens = 4 }, assert seed > 0 : "why" }')
    assert isinstance(block, syntax.Block)
    assert block.label is not None
    assert block.extends is not None
    assert (block.kind.text, block.label.text, block.extends.dotted) == ("run", "big", "lib.small")
    assert [type(item).__name__ for item in block.items] == ["Field", "Block", "Assert"]


def test_use_and_let_stand_at_the_top() -> None:
    use, let = parsed('use "lib/base.moe" as base\nlet heads = 12\n').statements
    assert isinstance(use, syntax.Use)
    assert isinstance(let, syntax.Let)
    assert (use.path.value, use.alias.text, let.name.text) == ("lib/base.moe", "base", "heads")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(end: str) -> None:
    text = "/// doc\nmodel m {\n  a = 1 # one\n\n  b = 2\n}\n"
    file = parsed(text.replace("\n", end))
    assert file == parsed(text)
    block = file.statements[0]
    assert isinstance(block, syntax.Block)
    assert block.items[0].trivia.behind == " one"


def test_a_byte_order_mark_may_open_a_file() -> None:
    source = Source("test.moe", "\ufeffa = 1")
    file, diagnostics = parse(source)
    assert diagnostics == ()
    assert source.slice(file.statements[0].span) == "a = 1"


def test_spans_cover_exactly_what_was_written() -> None:
    source = Source("test.moe", "  let x = (a + f(1)) * 2 # c\nmodel m extends b { k = [1, 2] }\n")
    let, block = parse(source)[0].statements
    assert isinstance(let, syntax.Let)
    assert isinstance(let.value, syntax.Binary)
    assert isinstance(block, syntax.Block)
    assert source.slice(let.span) == "let x = (a + f(1)) * 2"
    assert source.slice(let.value.left.span) == "(a + f(1))"
    assert source.slice(block.span) == "model m extends b { k = [1, 2] }"
    assert source.slice(block.items[0].span) == "k = [1, 2]"
    assert let.trivia.behind == " c"


def test_comments_and_docs_stay_with_their_statement() -> None:
    block = only("# above\n\n# nearer\n/// doc one\n///  doc two\nmodel m { # opened\n a = 1\n # last\n} # closed\n")
    assert block.trivia == syntax.Trivia((" above", "", " nearer"), " opened")
    assert block.doc == "doc one\n doc two"
    assert isinstance(block, syntax.Block)
    assert block.end_trivia == syntax.Trivia((" last",), " closed")


def test_a_parse_of_300_lines_is_fast_from_a_cold_start() -> None:
    block = "model m{} {{\n" + "  n_layers = 4 * d_model  # comment\n" * 28 + "}}\n"
    text = "".join(block.format(index) for index in range(10))
    code = (
        "import sys, time\n"
        "from moec.spec.parser import parse\nfrom moec.spec.source import Source\n"
        "assert 'lark' not in sys.modules\n"
        "assert parse(Source('x.moe', sys.stdin.read()))[1] == ()\nprint(time.process_time())"
    )
    run = [
        subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
        for _ in "ab"
    ]
    assert min(float(done.stdout) for done in run) < 0.25


@pytest.mark.parametrize("suffix", sorted(SUFFIX_VALUES))
def test_each_suffix_makes_one_number(suffix: str) -> None:
    assert value(f"1.5{suffix}") == syntax.Number(f"1.5{suffix}", Span("", 0, 0))
