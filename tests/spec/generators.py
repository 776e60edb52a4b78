"""Hypothesis strategies: syntax trees that the grammar can write, and texts that are almost specs."""

from __future__ import annotations

from hypothesis import strategies as st

from moec.spec import syntax
from moec.spec.lexer import KEYWORDS
from moec.spec.source import Span

NOWHERE = Span("generated", 0, 0)

words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,11}", fullmatch=True).filter(lambda word: word not in KEYWORDS)
names = words.map(lambda word: syntax.Name(word, NOWHERE))
numbers = st.sampled_from(
    ["0", "7", "128_256", "7B", "1.5T", "32k", "4Ki", "80GiB", "96GB", "3.35TB/s", "989TFLOP/s", "1e-4", "20min", "3d"]
).map(lambda text: syntax.Number(text, NOWHERE))
topologies = st.lists(st.integers(1, 999_999), min_size=2, max_size=8).map(
    lambda sizes: syntax.Topology(tuple(sizes), NOWHERE)
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
strings = texts.map(lambda text: syntax.String(text, NOWHERE))
booleans = st.booleans().map(lambda value: syntax.Boolean(value, NOWHERE))
references = st.lists(names, min_size=1, max_size=3).map(lambda parts: syntax.Reference(tuple(parts), NOWHERE))
atoms = st.one_of(numbers, topologies, strings, booleans, references)

_BINARY = ["+", "-", "*", "/", "//", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or"]


def _compound(inner: st.SearchStrategy[syntax.Expression]) -> st.SearchStrategy[syntax.Expression]:
    several = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(
        st.builds(syntax.Binary, st.sampled_from(_BINARY), inner, inner, st.just(NOWHERE)),
        st.builds(syntax.Unary, st.sampled_from(["-", "+", "not"]), inner, st.just(NOWHERE)),
        st.builds(syntax.Conditional, inner, inner, inner, st.just(NOWHERE)),
        st.builds(syntax.Call, names, several, st.just(NOWHERE)),
        st.builds(syntax.ListOf, several, st.just(NOWHERE)),
    )


expressions = st.recursive(atoms, _compound, max_leaves=10)

_line = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\u00a0"), max_size=20)
_comment = _line.map(lambda text: text.rstrip() or " ")
_trivia = st.one_of(
    st.just(syntax.Trivia()),
    st.builds(syntax.Trivia, st.lists(st.one_of(_comment, st.just("")), max_size=3).map(tuple), st.none() | _comment),
)
_doc = st.just("") | st.lists(_line.map(str.rstrip), min_size=1, max_size=2).map("\n".join)
_common = {"span": st.just(NOWHERE), "doc": _doc, "trivia": _trivia}

fields = st.builds(syntax.Field, names, expressions, **_common)
asserts = st.builds(syntax.Assert, expressions, st.none() | strings, **_common)
lets = st.builds(syntax.Let, names, expressions, **_common)
uses = st.builds(syntax.Use, strings, names, **_common)


def _blocks(items: st.SearchStrategy[syntax.Item], *, at_top: bool) -> st.SearchStrategy[syntax.Block]:
    return st.builds(
        syntax.Block,
        kind=names,
        label=names if at_top else st.none(),
        extends=st.none() | references if at_top else st.none(),
        items=st.lists(items, max_size=4).map(tuple),
        end_trivia=_trivia,
        on_one_line=st.none() | st.booleans(),
        **_common,
    )


_items = st.recursive(fields | asserts, lambda items: _blocks(items, at_top=False), max_leaves=5)
blocks = _blocks(_items, at_top=True)
files = st.builds(
    syntax.File,
    st.lists(st.one_of(uses, lets, fields, blocks), max_size=5).map(tuple),
    st.just(NOWHERE),
    st.builds(syntax.Trivia, st.lists(_comment, max_size=2).map(tuple)),
)

SCRAPS = (
    *("model", "dense", "n_layers", "=", "4", "{", "}", "[", "]", "(", ")", ",", ":", ".", "+", "-", "//", "<", "=="),
    *("let", "use", "as", "extends", "assert", "if", "else", "and", "not", "true", '"text"', '"open', "'x'", ";", "\n"),
    *(
        "# comment\n",
        "/// doc\n",
        "4Ki",
        "8x8x8",
        "3q",
        "1_",
        "&&",
        "$",
        "\u202e",
        "\0",
        "\u00a0",
        "é",
        "\r",
        "\t",
        "  ",
    ),
)
scrap_heaps = st.lists(st.sampled_from(SCRAPS), max_size=60).map(" ".join)
