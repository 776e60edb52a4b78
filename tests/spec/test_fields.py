"""The fields table holds together: defaults and examples are values of their own types, rules name what is there."""

from __future__ import annotations

import pytest

from moec.spec.expressions import Environment, evaluate
from moec.spec.fields.convert import convert
from moec.spec.fields.info import FieldInfo
from moec.spec.fields.table import KINDS, TABLE, all_blocks, all_fields, block_info, field_info, find
from moec.spec.fields.types import BlockType, ListType, type_name, words_of
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.syntax import Expression, Field, Reference
from moec.spec.values import BlockName, Error, Quantity, Value

FIELDS = dict(all_fields())


def expression(text: str) -> Expression:
    file, diagnostics = parse(Source("table", f"x = {text}\n"))
    assert diagnostics == (), text
    (field,) = file.statements
    assert isinstance(field, Field)
    return field.value


def value(path: str, text: str) -> Value | Error:
    """What `text` is worth in the field at `path`, where names stand for numbers, or for blocks where those belong."""
    info = FIELDS[path]
    item = info.type.item if isinstance(info.type, ListType) else info.type

    def find_anything(reference: Reference, depth: int) -> Value:
        return BlockName(item.kind, reference.dotted, "") if isinstance(item, BlockType) else Quantity(64)

    written = expression(text)
    worth = evaluate(written, Environment(find_anything, expected=words_of(info.type)))
    return worth if isinstance(worth, Error) else convert(worth, info, written)


@pytest.mark.parametrize("path", FIELDS)
def test_an_example_is_a_value_of_its_field(path: str) -> None:
    assert not isinstance(value(path, FIELDS[path].example), Error)


FORMULAS = {"model.attention.n_kv_heads", "model.attention.d_head", "model.experts.group_size"} | {
    path for path, info in FIELDS.items() if info.default and "." in info.default and info.default[0].isalpha()
}


@pytest.mark.parametrize("path", [path for path, info in FIELDS.items() if info.default and path not in FORMULAS])
def test_a_default_is_a_value_of_its_field(path: str) -> None:
    default = FIELDS[path].default
    assert default is not None
    assert not isinstance(value(path, default), Error)


def test_defaults_that_follow_other_fields_are_few() -> None:
    inherited = {"model.ffn.norm", "model.experts.norm", "model.experts.activation", "model.experts.bias"}
    assert inherited <= FORMULAS
    assert len(FORMULAS) == 7


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_documented(path: str) -> None:
    info = FIELDS[path]
    assert info.doc.endswith(".")
    assert info.doc[0].isupper() or info.doc[0] == "`"
    assert info.required or info.default is not None or info.absent
    assert type_name(info.type)


def test_conditions_and_groups_name_fields_of_their_own_block() -> None:
    for block in all_blocks():
        names = {info.name for info in block.fields} | {inner.name for inner in block.blocks}
        assert len(names) == len(block.fields) + len(block.blocks)
        assert {*block.exactly_one, *block.at_least_one} <= names
        for info in block.fields:
            _check_condition(block.path, info, names)


def _check_condition(path: str, info: FieldInfo, names: set[str]) -> None:
    assert not info.unless or info.unless in names
    condition = info.only_when
    if condition is None:
        return
    assert condition.field in names
    decider = field_info(f"{path}.{condition.field}")
    assert decider is not None
    assert {*condition.words, *condition.not_words} <= set(words_of(decider.type))


def test_fields_that_change_the_model_have_no_silent_default() -> None:
    for path in ("model.experts.top_k", "model.experts.capacity_factor", "model.experts.balance_loss", "budget.count"):
        assert FIELDS[path].required


def test_the_table_can_be_asked_by_path_and_by_name() -> None:
    assert [info.path for info in TABLE] == list(KINDS) == ["model", "mesh", "data", "budget", "run", "study"]
    assert find("d_ff") == ("model.ffn.d_ff", "model.experts.d_ff")
    assert find("experts.d_ff") == ("model.experts.d_ff",)
    assert find("attention") == ("model.attention",)
    assert find("d_fff") == ()
    assert block_info("model.attention") is not None
    assert block_info("model.nothing") is None
    assert field_info("model.attention.n_heads") is FIELDS["model.attention.n_heads"]
    assert field_info("n_heads") is None


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("model.d_model", '"a"', "MOE2101"),
        ("model.attention.qk_norm", "1", "MOE2101"),
        ("study.runs", "3", "MOE2101"),
        ("data.source", '""', "MOE2101"),
        ("budget.tokens", "1GB", "MOE2102"),
        ("budget.hours", "1GB", "MOE2102"),
        ("model.d_model", "0", "MOE2104"),
        ("model.d_model", "1e30", "MOE2104"),
        ("run.optimizer.peak_lr", "0", "MOE2104"),
        ("run.optimizer.b1", "1", "MOE2104"),
        ("run.optimizer.peak_lr", "1e100", "MOE2104"),
        ("budget.train_flops", "1e41", "MOE2104"),
        ("data.seed", "4294967296", "MOE2104"),
        ("model.d_model", "1.5", "MOE2105"),
        ("study.runs", "[]", "MOE2115"),
        ("study.runs", "[a, a]", "MOE2121"),
    ],
)
def test_a_value_that_a_field_cannot_take_is_told(path: str, text: str, code: str) -> None:
    worth = value(path, text)
    assert isinstance(worth, Error)
    assert [told.code for told in worth.diagnostics] == [code]


@pytest.mark.parametrize(
    ("text", "seconds"), [("12", 43_200), ("36h", 129_600), ("90min", 5400), ("3d", 259_200), ("0.5", 1800)]
)
def test_a_plain_number_of_hours_and_a_time_are_one(text: str, seconds: int) -> None:
    worth = value("budget.hours", text)
    assert isinstance(worth, Quantity)
    assert worth.amount == seconds
