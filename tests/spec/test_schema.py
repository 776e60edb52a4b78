"""The JSON Schema follows from the fields table, takes every example, and refuses what a schema can refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from moec.spec.fields.table import all_fields
from moec.spec.json_schema import json_schema
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.write_reference import generated
from moec.spec.yaml_write import to_yaml

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft7Validator(json_schema())
EXAMPLES = sorted((ROOT / "examples").rglob("*.moe"))


def content_of(text: str) -> Any:
    """What a YAML tool makes of `text`: numbers and booleans by YAML 1.1, as most tools still do."""
    return yaml.safe_load(text)


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(content_of(text)))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", sorted(generated()), ids=str)
def test_what_follows_from_the_table_is_committed_as_it_follows(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generated()[path]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_keeps_the_schema(path: Path) -> None:
    file, diagnostics = parse(Source(path.name, path.read_text(encoding="utf-8")))
    assert diagnostics == ()
    VALIDATOR.validate(content_of(to_yaml(file)))


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_every_field_is_in_the_schema_with_its_doc() -> None:
    definitions = json_schema()["definitions"]
    for path, info in all_fields():
        kind, *inner, name = path.split(".")
        block: Mapping[str, Any] = definitions[kind]
        for step in inner:
            block = block["properties"][step]
        assert block["properties"][name]["description"].startswith(info.doc)


MODEL = "vocab_size: 256, seq_len: 256, n_layers: 2, d_model: 64, attention: {n_heads: 4}"
EXPERTS = "n_experts: 8, top_k: 2, d_ff: 64, capacity_factor: 1.25"


@pytest.mark.parametrize(
    "text",
    [
        "edition: 2026",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, ffn: {{d_ff: 4 * d_model}}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, experts: {{{EXPERTS}, bias_update_rate: 1e-3}}}}}}",
        "edition: 2026\nmodel: {a: {extends: b, d_model: 32}}",
        'edition: 2026\nlet: {heads: "= 3 * 4"}\nmesh: {a: {hardware: my_chip.yaml, devices: 8}}',
        "edition: 2026\nbudget: {a: {law: chinchilla, count: active}}",
        "edition: 2026\nstudy: {a: {runs: [b, c.d], match: tokens, seeds: [0, 1]}}",
        "edition: 2026\nmesh: {a: {hardware: tpu_v5p, topology: 8x8x8, axes: {data: auto}}}",
    ],
)
def test_specs_are_accepted(text: str) -> None:
    VALIDATOR.validate(content_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "model: {}",
        "edition: 2025",
        "edition: 2026\nmodle: {}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, ffn: {{}}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, ffn: {{d_ff: 0}}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, ffn: {{d_ff: 64, activation: swigluu}}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, experts: {{{EXPERTS}}}}}}}",
        f"edition: 2026\nmodel: {{a: {{{MODEL}, depth: 3}}}}",
        "edition: 2026\nmodel: {a: {extends: b, init: {kind: fan_in, std: 0.1}}}",
        "edition: 2026\nbudget: {a: {tokens: 1M, steps: 3}}",
        "edition: 2026\nbudget: {a: {law: chinchilla}}",
        "edition: 2026\nbudget: {a: {}}",
        "edition: 2026\nmesh: {a: {hardware: tpu_v5p}}",
        "edition: 2026\nmesh: {a: {hardware: h1000, devices: 8}}",
        "edition: 2026\nmesh: 3",
        "edition: 2026\nstudy: {a: {runs: [], match: tokens}}",
        "edition: 2026\nrun: {a: {model: b, mesh: c, budget: d}}",
    ],
)
def test_what_the_table_rules_out_is_refused(text: str) -> None:
    assert not accepts(text)


def test_the_schema_is_json_all_through() -> None:
    assert json.loads(json.dumps(json_schema())) == json_schema()
