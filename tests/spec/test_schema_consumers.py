"""The schema says of a file what the compiler says: of examples, of mistakes, and of examples that were spoilt."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, assume, find, given, settings
from hypothesis import strategies as st

from moec.compiler.pipeline import check
from moec.spec.fields.table import TABLE
from moec.spec.json_schema import json_schema
from moec.spec.loader import load_text
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.yaml_write import to_yaml

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft7Validator(json_schema())
EXAMPLES = sorted((ROOT / "examples").glob("*.moe"))

STRUCTURAL = {
    *("MOE1105", "MOE1107"),  # the shapes of YAML
    *("MOE2001", "MOE2002", "MOE2003", "MOE2024", "MOE2025", "MOE2027"),  # names of blocks and fields
    *("MOE2011", "MOE2012"),  # the edition
}
"""What a schema can know of any file: what stands where. What a block lacks it knows where nothing is inherited."""

INCOMPLETE = {"MOE2014", "MOE2018", "MOE2019"}


def errors_of(text: str) -> set[str]:
    """The codes of all errors of a spec in the YAML form."""
    loaded, told = load_text("spec.moe.yaml", text)
    everything = (*told, *(check(loaded) if loaded else ()))
    return {one.code for one in everything if one.severity == "error"}


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


# ---- mistakes that both refuse ----

MODEL = "vocab_size: 256, seq_len: 256, n_layers: 2, d_model: 64, attention: {n_heads: 4}, ffn: {d_ff: 64}"
WHOLE = f"edition: 2026\nmodel: {{a: {{{MODEL}}}}}\n"


def test_the_spec_that_the_mistakes_are_made_in_has_none() -> None:
    assert accepts(WHOLE)
    assert errors_of(WHOLE) <= {"MOE2017"}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("edition: 2026\n", "", "MOE2011"),
        ("2026", "2025", "MOE2012"),
        ("model:", "modle:", "MOE2001"),
        ("\n", "\nmodle: {}\n", "MOE2001"),
        ("seq_len", "sequence", "MOE2002"),
        ("ffn", "fnn", "MOE2003"),
        ("seq_len: 256, ", "", "MOE2013"),
        ("attention: {n_heads: 4}, ", "", "MOE2014"),
        (", ffn: {d_ff: 64}", "", "MOE2018"),
        ("ffn: {d_ff: 64}", "ffn: 64", "MOE2024"),
        ("d_model: 64", "d_model: {n: 64}", "MOE2024"),
        ("d_model: 64", "d_model: true", "MOE2101"),
        ("d_model: 64", "d_model: [64]", "MOE2101"),
        ("d_model: 64", "d_model: -64", "MOE2104"),
        ("d_model: 64", "d_model: 6.5", "MOE2105"),
        ("d_ff: 64", "d_ff: 64, activation: swigluu", "MOE2106"),
        ("{a: {", "3\nmesh: {a: {", "MOE1105"),
        ("model: {", "model: {bad-name: {extends: a}, ", "MOE1107"),
    ],
)
def test_a_mistake_is_refused_by_the_schema_and_by_the_compiler(old: str, new: str, code: str) -> None:
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    assert not accepts(text)
    assert code in errors_of(text)


# ---- examples that were spoilt ----


def tree_of(path: Path) -> Any:
    file, _ = parse(Source(path.name, path.read_text(encoding="utf-8")))
    return yaml.safe_load(to_yaml(file))


TREES = [tree_of(path) for path in EXAMPLES]
KINDS = json_schema()["definitions"]
NAMES = sorted({name for kind in ("model", "mesh", "run", "budget") for name in KINDS[kind]["properties"]})
odd_values = st.one_of(
    st.sampled_from([0, -1, 2.5, True, "4Ki", "80GiB", "8x8x8", "auto", "dense"]),
    st.sampled_from(["2 * d_model", "= 3", "", "a b", "1e-4"]),
    st.just([]),
    st.just([1, 2]),
    st.just({}),
    st.just({"n_heads": 4}),
    st.just({"doc": "words"}),
    st.just([{"that": "plan.steps > 0"}]),
)
odd_names = st.sampled_from([*NAMES, "doc", "extends", "assert", "axes", "modle", "n_head", "model", "study", "let"])


def places(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key below `tree`."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*path, key)
            yield from places(value, (*path, key))


@st.composite
def spoilt_trees(draw: st.DrawFn) -> Any:
    """An example in which one to three keys were taken away, renamed, given another value, or added."""
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(tree))))
        inside = tree
        for key in path[:-1]:
            inside = inside[key]
        how = draw(st.sampled_from(["take away", "rename", "replace", "add"]))
        if how == "take away":
            del inside[path[-1]]
        elif how == "rename":
            inside[draw(odd_names)] = inside.pop(path[-1])
        elif how == "replace":
            inside[path[-1]] = copy.deepcopy(draw(odd_values))
        else:
            inside[draw(odd_names)] = copy.deepcopy(draw(odd_values))
        assume(tree)
    return tree


def test_a_list_of_values_holds_values_alone() -> None:
    tree = copy.deepcopy(TREES[0])
    assert VALIDATOR.is_valid({**tree, "let": {"sizes": [1, "4Ki", [True]]}})
    assert not VALIDATOR.is_valid({**tree, "let": {"sizes": [{"that": "plan.steps > 0"}]}})


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(spoilt_trees())
def test_what_the_schema_accepts_has_no_structural_mistake(tree: Any) -> None:
    text = yaml.safe_dump(tree, sort_keys=False)
    if VALIDATOR.is_valid(yaml.safe_load(text)):
        assert errors_of(text) & STRUCTURAL == set(), text


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(spoilt_trees())
def test_what_the_schema_accepts_lacks_nothing_where_nothing_is_inherited(tree: Any) -> None:
    text = yaml.safe_dump(tree, sort_keys=False)
    assume("extends" not in text)
    if VALIDATOR.is_valid(yaml.safe_load(text)):
        assert errors_of(text) & INCOMPLETE == set(), text


@pytest.mark.parametrize("is_accepted", [True, False])
def test_some_spoilt_trees_are_accepted_and_some_are_not(is_accepted: bool) -> None:
    found = find(spoilt_trees(), lambda tree: VALIDATOR.is_valid(tree) is is_accepted, settings=settings(deadline=None))
    assert VALIDATOR.is_valid(found) is is_accepted


# ---- what editors show and offer ----

KINDS_OF_BLOCKS = sorted(info.path for info in TABLE)


@pytest.mark.parametrize("kind", KINDS_OF_BLOCKS)
def test_what_is_offered_for_a_block_keeps_the_schema_as_it_is(kind: str) -> None:
    (snippet,) = json_schema()["properties"][kind]["defaultSnippets"]
    filled = re.sub(r"\$\{\d+:([^}]*)\}", r"\1", json.dumps({"edition": 2026, kind: snippet["body"]}))
    text = yaml.safe_dump(json.loads(filled)).replace("'", "")
    assert accepts(text), list(VALIDATOR.iter_errors(yaml.safe_load(text)))
    assert errors_of(text) & (STRUCTURAL | INCOMPLETE | {"MOE2013"}) == set()


@pytest.mark.parametrize("kind", KINDS_OF_BLOCKS)
def test_each_place_in_what_is_offered_has_its_own_number(kind: str) -> None:
    numbers = re.findall(r"\$\{(\d+):", json.dumps(json_schema()["properties"][kind]["defaultSnippets"]))
    assert numbers == [str(number + 1) for number in range(len(numbers))]


def test_docs_are_given_as_markdown_too() -> None:
    block = json_schema()["definitions"]["model"]
    for described in (block, block["properties"]["d_model"], block["properties"]["experts"]):
        assert described["markdownDescription"] == described["description"]


def test_a_field_that_gave_way_to_another_says_so_and_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    (budget,) = [info for info in TABLE if info.path == "budget"]
    fields = tuple(replace(one, replaced_by="tokens") if one.name == "hours" else one for one in budget.fields)
    monkeypatch.setattr("moec.spec.json_schema.TABLE", (replace(budget, fields=fields),))
    properties = json_schema()["definitions"]["budget"]["properties"]
    assert properties["hours"]["deprecationMessage"] == "Write `tokens` instead."
    assert properties["hours"]["doNotSuggest"]
    assert "doNotSuggest" not in properties["tokens"]


# ---- other tools ----


def test_check_jsonschema_takes_the_schema_and_the_examples(tmp_path: Path) -> None:
    tool = pytest.importorskip("check_jsonschema", reason="needs check-jsonschema, which moec[dev] brings")
    schema = ROOT / "schema" / "moe-2026.json"
    specs = []
    for path in EXAMPLES:
        file, _ = parse(Source(path.name, path.read_text(encoding="utf-8")))
        specs.append(tmp_path / f"{path.name}.yaml")
        specs[-1].write_text(to_yaml(file), encoding="utf-8")
    wrong = tmp_path / "wrong.moe.yaml"
    wrong.write_text(WHOLE.replace("seq_len", "sequence"), encoding="utf-8")
    assert run_tool(tool, "--check-metaschema", schema) == 0
    assert run_tool(tool, "--schemafile", schema, *specs) == 0
    assert run_tool(tool, "--schemafile", schema, wrong) == 1


def run_tool(tool: Any, *arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        tool.main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_the_committed_schema_is_the_one_that_moec_prints() -> None:
    assert json.loads((ROOT / "schema" / "moe-2026.json").read_text(encoding="utf-8")) == json_schema()
