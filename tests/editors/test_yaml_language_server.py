"""The YAML language server that most editors use, with the schema that `moec init --yaml` puts beside the spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rpc import Client, client_of

from moec.cli.main import main
from moec.spec.parser import parse
from moec.spec.source import Source
from moec.spec.yaml_form import parse_yaml
from moec.spec.yaml_write import to_yaml, yaml_order

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "editors" / "vscode" / "node_modules" / ".bin" / "yaml-language-server"
SETTINGS = {
    "yaml": {
        "schemaStore": {"enable": False},
        "validate": True,
        "completion": True,
        "hover": True,
        "format": {"enable": True},
    }
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SERVER.exists(), reason="needs the tools of editors/vscode: `npm install` there"),
]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The starter in the YAML form, as `moec init --yaml` writes it, with its schema."""
    assert main(("init", "--yaml", str(tmp_path))) == 0
    return tmp_path / "starter.moe.yaml"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with client_of((str(SERVER), "--stdio"), tmp_path) as opened:
        opened.tell("workspace/didChangeConfiguration", {"settings": SETTINGS})
        yield opened


def open_text(client: Client, spec: Path, text: str) -> list[dict[str, Any]]:
    """Opens `spec` with `text`, which may not be what the file holds; the diagnostics that follow."""
    document = {"uri": spec.as_uri(), "languageId": "yaml", "version": 1, "text": text}
    client.tell("textDocument/didOpen", {"textDocument": document})
    told = client.wait_for("textDocument/publishDiagnostics", lambda params: params["uri"] == spec.as_uri())
    found: list[dict[str, Any]] = told["diagnostics"]
    return found


def at(text: str, words: str, spec: Path) -> dict[str, Any]:
    """The place behind `words`, as a request names it."""
    offset = text.index(words) + len(words)
    line = text.count("\n", 0, offset)
    position = {"line": line, "character": offset - text.rfind("\n", 0, offset) - 1}
    return {"textDocument": {"uri": spec.as_uri()}, "position": position}


def test_the_starter_has_no_mistake(client: Client, spec: Path) -> None:
    assert open_text(client, spec, spec.read_text(encoding="utf-8")) == []


def test_the_schema_is_found_by_the_first_line_of_the_starter(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=moe-2026.json\n")
    without = text.split("\n", 1)[1].replace("n_layers", "n_laers")
    assert open_text(client, spec, without) == []


def test_a_mistake_is_told_where_it_stands(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8").replace("n_layers", "n_laers")
    told = open_text(client, spec, text)
    line = text[: text.index("n_laers")].count("\n")
    assert any("n_laers" in one["message"] and one["range"]["start"]["line"] == line for one in told)
    assert any("n_layers" in one["message"] for one in told), "the field that is missing"


def test_what_may_stand_here_is_offered_with_its_doc(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8").replace("    experts:\n", "    tie\n    experts:\n")
    open_text(client, spec, text)
    items = client.ask("textDocument/completion", at(text, "    tie", spec))["items"]
    (item,) = [one for one in items if one["label"] == "tie_embeddings"]
    assert "embedding" in str(item["documentation"])


def test_the_words_that_a_field_knows_are_offered(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8").replace("activation: swiglu", "activation: ")
    open_text(client, spec, text)
    items = client.ask("textDocument/completion", at(text, "activation: ", spec))["items"]
    assert {"swiglu", "geglu", "gelu", "relu2"} <= {one["label"] for one in items}


def test_the_doc_of_a_field_is_shown(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    open_text(client, spec, text)
    shown = client.ask("textDocument/hover", at(text, "capacity_fac", spec))["contents"]["value"]
    assert "Takes a number or `dropless`" in shown, "as Markdown, not with its marks escaped"


def test_a_new_block_is_offered_with_all_that_it_must_have(client: Client, spec: Path) -> None:
    text = spec.read_text(encoding="utf-8") + "study:\n  \n"
    open_text(client, spec, text)
    items = client.ask("textDocument/completion", at(text, "study:\n  ", spec))["items"]
    (item,) = [one for one in items if one["label"] == "study"]
    assert "runs:" in item["textEdit"]["newText"]
    assert "match: ${4:" in item["textEdit"]["newText"]


UNTIDY = """\
# what this is for
edition: 2026      # of the language


let:
    rates: [1e-4,   1_000 , 0x8]
    wide: 4 * 12 if 3 > 2 else 1
model:
    dense:            # the baseline
        # the size
        d_model:   128
        attention: {n_heads:   4,n_kv_heads: 2}   # grouped
data:
    code: {source: "a: b",   tokenizer: 'bytes'}
# at the end
"""


def laid_out(client: Client, spec: Path, text: str, version: int) -> str:
    """`text` as the server formats it."""
    document = {"uri": spec.as_uri(), "version": version}
    client.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})
    options = {"tabSize": 2, "insertSpaces": True}
    edits = client.ask("textDocument/formatting", {"textDocument": {"uri": spec.as_uri()}, "options": options})
    return str(edits[0]["newText"]) if edits else text


def meaning(text: str) -> tuple[str, list[str]]:
    file, told = parse_yaml(Source("a.moe.yaml", text))
    return to_yaml(yaml_order(file)), [one.code for one in told]


@pytest.mark.parametrize(
    "path", [None, *sorted((ROOT / "examples").glob("*.moe"))], ids=lambda path: path and path.stem
)
def test_its_layout_changes_no_meaning_and_keeps_comments(path: Path | None, client: Client, spec: Path) -> None:
    """`moec` has no layout for YAML, and sends people here."""
    before = UNTIDY if path is None else to_yaml(parse(Source("a.moe", path.read_text(encoding="utf-8")))[0])
    open_text(client, spec, before)
    after = laid_out(client, spec, before, 2)
    assert meaning(after) == meaning(before)
    assert re.findall("# .*", after) == re.findall("# .*", before)
    assert laid_out(client, spec, after, 3) == after
    if path is None:
        assert after != before
        assert "\n    # the size\n    d_model: 128\n" in after
