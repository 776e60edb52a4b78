"""Typed holes: what may fill them, and that no text gets out of the place that it was put in."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moec.compiler import emit
from moec.compiler.emit.holes import Code, code, comment, docstring, identifier, lines, literal, qualified
from moec.compiler.emit.layout import call

HOSTILE = (
    '"""\nimport os',
    "'''\nimport os",
    '" + __import__("os") + "',
    "x\rimport os",
    "x\x0bimport os\x0cimport os\x85import os\u2028import os\u2029import os",
    "back\\",
    "back\\\\\\",
    "\u202eso si siht\u2066",
    "\ud800 lone",
    "nul\x00",
    "# noqa\n# fmt: off\n# type: ignore",
    "{name} {weights}",
    "%s %(x)s {0}",
    "a" * 500,
    "漢字" * 100,
    "tab\tand  spaces",
    "",
    " ",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_string_literal_is_the_string_and_ascii(text):
    source = literal(text).text
    assert source.isascii()
    assert "\n" not in source
    assert ast.literal_eval(source) == text


@given(st.text())
def test_a_string_literal_is_any_string(text):
    assert ast.literal_eval(literal(text).text) == text


@given(st.text())
def test_a_comment_is_comments_and_nothing_else(text):
    source = comment(f"why: {text}").text + "\nx = 1\n"
    kinds = {token.type for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.start[0] < 99}
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse("x = 1"))
    assert tokenize.ERRORTOKEN not in kinds


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_docstring_is_one_string_and_nothing_else(paragraphs):
    tree = ast.parse(code("def f():\n    {doc}\n    return 1\n", doc=docstring("Doc.", *paragraphs)).text)
    assert len(tree.body) == 1
    assert ast.get_docstring(tree.body[0]) is not None
    assert isinstance(tree.body[0].body[1], ast.Return)


@pytest.mark.parametrize("text", HOSTILE)
def test_comments_and_docstrings_stay_within_the_line(text):
    for source in (comment(f"why: {text}", indent=8).text, docstring(f"Doc. {text}", indent=8).text):
        for line in source.split("\n"):
            assert len(line.encode("utf-16-le")) / 2 <= 112
            assert line.isprintable()
            assert line == line.rstrip()


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (0, "0"),
        (-3, "-3"),
        (9999, "9999"),
        (10_000, "10_000"),
        (1_376_512, "1_376_512"),
        (1.0, "1.0"),
        (1e-05, "1e-5"),
        (1e22, "1e22"),
        (12345.5, "12_345.5"),
        (1.5e-07, "1.5e-7"),
        (True, "True"),
        (None, "None"),
        ((), "()"),
        ((8,), "(8,)"),
        ((8, 128), "(8, 128)"),
        ("bytes", '"bytes"'),
    ],
)
def test_literals_are_short_and_exact(value, source):
    assert literal(value).text == source
    assert ast.literal_eval(source) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_literal_is_the_same_float(value):
    assert ast.literal_eval(literal(value).text) == value


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_there_is_no_literal_for_infinity_or_nan(value):
    with pytest.raises(ValueError, match="no literal"):
        literal(value)


@pytest.mark.parametrize("name", ["a b", "a;import os", "", "1a", "_hidden", "__class__", "x\n", "é", "a.b", "import"])
def test_an_identifier_is_a_plain_word(name):
    with pytest.raises(ValueError, match="not an identifier"):
        identifier(name)


def test_a_qualified_name_is_identifiers_only():
    assert qualified("moec.runtime.batch").text == "moec.runtime.batch"
    with pytest.raises(ValueError, match="not an identifier"):
        qualified("moec.runtime;import os")


def test_a_raw_string_in_a_hole_is_a_type_error():
    with pytest.raises(TypeError, match="not Code: value"):
        code("x = {value}", value="1; import os")
    with pytest.raises(TypeError, match="not through an f-string"):
        f"{literal(1)}"


def test_every_hole_is_filled_and_every_filling_used():
    with pytest.raises(TypeError, match="holes"):
        code("x = {value}")
    with pytest.raises(TypeError, match="holes"):
        code("x = 1", value=literal(1))


def test_a_filling_with_braces_is_not_filled_again():
    assert code("x = {a}", a=literal("{b}")).text == 'x = "{b}"'


def test_lines_of_a_hole_are_indented_as_the_line_of_the_hole():
    body = lines(code("a = 1"), None, code("b = 2"))
    assert code("def f():\n    {body}\n", body=body).text == "def f():\n    a = 1\n    b = 2"


def test_a_call_is_laid_out_by_what_fits():
    short, long = literal("a" * 10), literal("a" * 60)
    assert call(code("f"), short, short).text == 'f("aaaaaaaaaa", "aaaaaaaaaa")'
    assert call(code("function"), long, short, literal("b" * 34)).text.count("\n") == 2
    assert call(code("f"), long, long).text.count("\n") == 3


def test_a_remark_that_does_not_fit_behind_the_call_stands_above_it():
    remark = comment("[D]")
    assert call(code("f"), literal("a" * 20), remark=remark).text.endswith("  # [D]")
    assert call(code("f"), literal("a" * 110), remark=remark).text.startswith("# [D]\n")


def emission_trees():
    folder = Path(emit.__file__).parent
    return {path.name: ast.parse(path.read_text()) for path in folder.glob("*.py")}


def test_templates_are_constants():
    """No template is put together from values: that is what keeps text of a spec out of them."""
    calls = [
        (name, node)
        for name, tree in emission_trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "code"
    ]
    assert len(calls) > 100
    wrong = [f"{name}:{node.lineno}" for name, node in calls if not isinstance(node.args[0], ast.Constant)]
    assert not wrong


def test_only_the_module_of_holes_makes_code_from_a_string():
    makers = {
        name
        for name, tree in emission_trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Code.__name__
    }
    assert makers == {"holes.py"}
