"""The YAML form holds the same trees as `.moe`, and nothing that YAML could hide from a reader."""

from __future__ import annotations

from dataclasses import replace

import generators
import pytest
from hypothesis import HealthCheck, given, settings

from moec.spec import syntax
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.syntax import Block, Field, File, Number, Reference, String
from moec.spec.yaml_form import parse_yaml
from moec.spec.yaml_write import to_yaml, yaml_order


def read(text: str) -> File:
    file, diagnostics = parse_yaml(Source("a.moe.yaml", text))
    assert diagnostics == ()
    return file


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in parse_yaml(Source("a.moe.yaml", text))[1]]


def first_field(text: str) -> syntax.Expression:
    """The value of the first field of the first block."""
    (block,) = [statement for statement in read(text).statements if isinstance(statement, Block)]
    (field,) = block.items
    assert isinstance(field, Field)
    return field.value


def without_clashes(file: File) -> File:
    """`file` with the names changed that YAML needs for itself or that stand twice in one mapping."""
    blocks: dict[str, Block] = {}
    others: list[syntax.Statement] = []
    for number, statement in enumerate(file.statements):
        match statement:
            case Block():
                label = syntax.Name(f"label_{number}", statement.span)
                kind = syntax.Name(f"kind_{statement.kind.text}"[:64], statement.span)
                blocks[str(number)] = _inside(replace(statement, kind=kind, label=label))
            case syntax.Use():
                others.append(replace(statement, alias=syntax.Name(f"alias_{number}", statement.span)))
            case syntax.Let() | Field():
                others.append(replace(statement, name=syntax.Name(f"name_{number}", statement.span)))
    return replace(file, statements=(*others, *blocks.values()))


def _inside(block: Block) -> Block:
    items: list[syntax.Item] = []
    for number, item in enumerate(block.items):
        match item:
            case Block():
                items.append(_inside(replace(item, kind=syntax.Name(f"block_{number}", item.span))))
            case Field():
                items.append(replace(item, name=syntax.Name(f"field_{number}", item.span)))
            case _:
                items.append(item)
    return replace(block, items=tuple(items))


@given(generators.files)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_a_tree_comes_back_from_yaml_as_it_was_up_to_comments(file: File) -> None:
    file = without_clashes(file)
    assert read(to_yaml(file)) == yaml_order(file)


@given(generators.texts)
def test_any_text_comes_back(text: str) -> None:
    value = String(text, generators.NOWHERE)
    name = syntax.Name("x", generators.NOWHERE)
    file = File((syntax.Let(name, value, generators.NOWHERE),), generators.NOWHERE)
    assert read(to_yaml(file)).statements == file.statements


@given(generators.scrap_heaps)
@settings(max_examples=150)
def test_no_text_makes_the_reader_fail(text: str) -> None:
    file, diagnostics = parse_yaml(Source("a.moe.yaml", text))
    assert isinstance(file, File)
    assert all(0 <= told.span.start <= told.span.end <= len(text) for told in diagnostics)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("3e-4", Number("3e-4", generators.NOWHERE)),
        ("4Ki", Number("4Ki", generators.NOWHERE)),
        ("1_000", Number("1_000", generators.NOWHERE)),
        ("no", Reference((syntax.Name("no", generators.NOWHERE),), generators.NOWHERE)),
        ("true", syntax.Boolean(True, generators.NOWHERE)),
        ("8x8x8", syntax.Topology((8, 8, 8), generators.NOWHERE)),
        ('"swiglu"', Reference((syntax.Name("swiglu", generators.NOWHERE),), generators.NOWHERE)),
    ],
)
def test_scalars_are_expressions_and_never_guessed(scalar: str, value: syntax.Expression) -> None:
    assert first_field(f"model: {{a: {{d_model: {scalar}}}}}") == value


def test_times_with_colons_are_no_numbers() -> None:
    assert codes("model: {a: {d_model: 12:30:45}}") == ["MOE1001"]


@pytest.mark.parametrize(
    ("scalar", "is_text"), [('"a/*.txt"', True), ("python_stdlib", False), ('"= python_stdlib"', False)]
)
def test_quotes_make_a_text_where_a_field_takes_texts(scalar: str, is_text: bool) -> None:
    assert isinstance(first_field(f"data: {{a: {{source: {scalar}}}}}"), String) == is_text


def test_spans_point_at_the_expression_inside_its_quotes() -> None:
    text = 'model: {a: {d_model: "= 128 * hëads"}}'
    _, (told, *_) = parse_yaml(Source("a.moe.yaml", text))
    assert text[told.span.start : told.span.end] == "hëads"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model: {a: &x {d_model: 4}}", "MOE1102"),
        ("model: {a: *x}", "MOE1102"),
        ("model: {a: {d_model: !!int 4}}", "MOE1103"),
        ("model: {a: {d_model: 4, d_model: 5}}", "MOE1104"),
        ("model: {a: 3}", "MOE1105"),
        ("- model", "MOE1105"),
        ("edition: 2026\n---\nedition: 2026", "MOE1106"),
        ("%YAML 1.1\n---\nedition: 2026", "MOE1106"),
        ("model: {a: {<<: {d_model: 4}}}", "MOE1107"),
        ("model: {a: [", "MOE1101"),
        ("model: {a: {d_model: }}", "MOE1020"),
        ("model: {a: {d_model: 1 2}}", "MOE1001"),
        ("model: {a: {d_model: \u202e4}}", "MOE1015"),
        ("model: {a: {attention: {extends: b}}}", "MOE1022"),
    ],
)
def test_what_a_spec_cannot_be_is_told(text: str, code: str) -> None:
    assert code in codes(text)


def test_both_forms_of_a_spec_are_one_tree() -> None:
    moe = (
        'edition = 2026\nuse "b.moe" as b\nlet x = [1, 2]\n\n'
        '/// What.\nmodel a extends b.c { d_model = x, assert 1 < 2 : "so" }\n'
    )
    yaml = (
        "edition: 2026\nuse: {b: b.moe}\nlet: {x: [1, 2]}\n"
        "model: {a: {doc: What., extends: b.c, d_model: x, assert: [{that: 1 < 2, why: so}]}}\n"
    )
    assert read(yaml) == parse(Source("a.moe", moe))[0]


def test_a_file_full_of_sums_is_sent_to_the_other_form() -> None:
    sums = ", ".join(f"a{number}: 1 + {number}" for number in range(2001))
    assert codes(f"model: {{a: {{{sums}}}}}") == ["MOE1108"]
