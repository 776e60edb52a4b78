"""The canonical layout, and that it changes nothing but the layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from generators import blocks, expressions, files
from hypothesis import given

from moec.spec import syntax
from moec.spec.format_value import format_expression, format_string
from moec.spec.formatter import format_file
from moec.spec.parser import parse
from moec.spec.source import Source, Span
from moec.spec.syntax import File


def parsed(text: str) -> File:
    file, diagnostics = parse(Source("test.moe", text))
    assert [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"] == [], text
    return file


def formatted(text: str) -> str:
    return format_file(parsed(text))


CANONICAL = """\
# About this file.

edition = 2026

use "lib/base.moe" as base

let heads = 12
let width = 128 * heads  # as in the paper

/// A dense decoder:
/// the baseline.
model dense extends base.dense {
  # the vocabulary
  vocab_size     = 256                                 # bytes
  seq_len        = 8Ki
  tie_embeddings = true if heads > 4 else false
  d_ff           = round_up((4 + 4) * width / 3, 128)  # 2/3 of 4
  attention { n_heads = heads, n_kv_heads = heads }
  ffn       { d_ff = 688, activation = swiglu }

  norm {  # before each block
    kind = rms
    # not 1e-6
  }  # end of norm
  assert plan.tokens > 1M and not plan.steps == 0 : "say \\"why\\""
}

mesh laptop { hardware = cpu, devices = 1 }
mesh pod { hardware = tpu_v5p, topology = 8x8x8 }

# The end.
"""


def test_the_canonical_layout_stays_as_it_is() -> None:
    assert formatted(CANONICAL) == CANONICAL


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("a=1,bcd=2\n", "a   = 1\nbcd = 2\n"),
        ("model m{a=1}", "model m { a = 1 }\n"),
        ("model m{\na=1}", "model m {\n  a = 1\n}\n"),
        ("model m{}", "model m { }\n"),
        ("a = ((1+2))*(3)", "a = (1 + 2) * 3\n"),
        ("a = 1\n\n\n\nb = 2", "a = 1\n\nb = 2\n"),
        ("model m {\n\n  a = 1\n\n}\nmodel n {\n b = 2\n}", "model m {\n  a = 1\n}\n\nmodel n {\n  b = 2\n}\n"),
        ("a = [ # first\n 1, # one\n 2]", "# first\n# one\na = [1, 2]\n"),
        ("#no space\n##two\n#\na = 1", "# no space\n##two\n#\na = 1\n"),
        ("model m { a = 1 } # why", "model m { a = 1 }  # why\n"),
        ("", ""),
        ("# only\n\n", "# only\n"),
    ],
)
def test_other_layouts_become_canonical(written: str, canonical: str) -> None:
    assert formatted(written) == canonical


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "examples").glob("*.moe")), ids=lambda p: p.stem)
def test_the_examples_have_the_canonical_layout(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


def test_a_line_that_does_not_fit_is_broken() -> None:
    names = [f"some_run_{index:02}" for index in range(12)]
    text = f"study all {{ runs = [{', '.join(names)}] }}\n"
    lines = ["study all {", "  runs = [", *(f"    {name}," for name in names), "  ]", "}", ""]
    assert formatted(text) == "\n".join(lines)


def test_a_block_that_was_never_written_gets_a_layout() -> None:
    """Trees from YAML know no lines: nested blocks are short where they fit, top-level blocks are not."""
    nowhere = Span("x.yaml", 0, 0)
    name = syntax.Name("attention", nowhere)
    field = syntax.Field(syntax.Name("n_heads", nowhere), syntax.Number("4", nowhere), nowhere)
    inner = syntax.Block(name, None, None, (field,), nowhere)
    outer = syntax.Block(syntax.Name("model", nowhere), syntax.Name("m", nowhere), None, (inner,), nowhere)
    assert format_file(File((outer,), nowhere)) == "model m {\n  attention { n_heads = 4 }\n}\n"


def test_what_cannot_be_seen_is_escaped_in_texts() -> None:
    assert format_string('a"\\\n\t\u202e\x1b') == r'"a\"\\\n\t\u{202E}\u{1B}"'


def test_a_value_that_could_not_be_read_is_never_written() -> None:
    with pytest.raises(ValueError, match="could not be read"):
        format_file(parse(Source("test.moe", "a = $"))[0])


@given(expressions)
def test_an_expression_survives_its_text(expression: syntax.Expression) -> None:
    (field,) = parsed(f"x = {format_expression(expression)}").statements
    assert isinstance(field, syntax.Field)
    assert field.value == expression


@given(files)
def test_a_file_survives_formatting(file: File) -> None:
    text = format_file(file)
    assert parsed(text) == file
    assert formatted(text) == text


@given(blocks)
def test_no_comment_is_lost(block: syntax.Block) -> None:
    def comments(text: str) -> list[str]:
        return sorted(line.split("#", 1)[1].strip() for line in text.splitlines() if "#" in line and '"' not in line)

    text = format_file(File((block,), block.span))
    assert comments(formatted(text)) == comments(text)
    assert _trivia(parsed(text).statements[0]) == _trivia(block)


def _trivia(item: syntax.Statement | syntax.Item) -> list[str]:
    """The texts of all comments in and around `item`, in order."""
    found = [text.strip() for text in item.trivia.before if text]
    found += [] if item.trivia.behind is None else [item.trivia.behind.strip()]
    if isinstance(item, syntax.Block):
        for inner in item.items:
            found += _trivia(inner)
        found += [text.strip() for text in item.end_trivia.before if text]
        found += [] if item.end_trivia.behind is None else [item.end_trivia.behind.strip()]
    return found
