"""Text of a user in every field that holds text: it never becomes anything but text."""

from __future__ import annotations

import ast
import json
from dataclasses import fields, is_dataclass, replace
from typing import get_type_hints

import pytest
from runs import LAPTOP

from moec.compiler.emit.module import emit_program
from moec.compiler.pipeline import plan_run
from moec.compiler.places import NOWHERE
from moec.compiler.report.as_json import plan_json
from moec.compiler.report.markdown import plan_markdown
from moec.compiler.report.text import plan_text
from moec.compiler.typed import DataSpec, RunSpec

PAYLOADS = (
    '"""\nimport os\nos.system("x")\n"""',
    '")\nimport os\n(("',
    "x\rimport os",
    "x\u2028import os\u2029import os\x85import os\x0cimport os",
    "\\",
    '\\"',
    "\u202eevil\u2066",
    "\ud800",
    "\x00\x1b[2J",
    "# fmt: off",
    "| a | b |\n|---|---|\n<script>alert(1)</script> [x](javascript:x)",
    "x" * 5000,
    "漢" * 300,
)
TEXT_PATHS = (
    "name",
    "doc",
    "model.name",
    "model.doc",
    "mesh.name",
    "mesh.doc",
    "mesh.hardware.name",
    "mesh.hardware.title",
    "data.name",
    "data.doc",
    "data.sources",
    "data.text_field",
    "data.tokenizer",
    "budget.name",
    "budget.doc",
)
RUN = replace(
    LAPTOP,
    data=DataSpec("code", "", ("python_stdlib",), (1.0,), "auto", "text", "bytes", 0.05, "documents", 0),
)


def text_paths(value: object, prefix: str = "") -> list[str]:
    """The dotted paths of all fields below `value` whose type is plain text."""
    hints = get_type_hints(type(value))
    found = [prefix + one.name for one in fields(value) if hints[one.name] in (str, tuple[str, ...])]
    inner = [(one.name, getattr(value, one.name)) for one in fields(value)]
    deeper = [path for name, child in inner if is_dataclass(child) for path in text_paths(child, f"{prefix}{name}.")]
    return found + deeper


def planted(run: RunSpec, path: str, payload: str) -> RunSpec:
    """`run` with `payload` in the field at `path`."""

    def put(value, names):
        if not names:
            return (payload,) if isinstance(value, tuple) else payload
        return replace(value, **{names[0]: put(getattr(value, names[0]), names[1:])})

    return put(run, path.split("."))


def structure(source: str) -> str:
    """The syntax tree of a program with every text taken out of it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def emitted(run: RunSpec) -> str:
    plan, _ = plan_run(run)
    assert plan is not None
    return emit_program(plan, NOWHERE, "sha256:0")


def test_the_list_of_text_fields_is_complete():
    not_text = {"span.file", "mesh.hardware.sources", "remat.save", "remat.offload"}
    assert set(TEXT_PATHS) == set(text_paths(RUN)) - not_text


@pytest.mark.parametrize("path", TEXT_PATHS)
def test_text_in_a_field_stays_text_in_the_program(path):
    expected = structure(emitted(RUN))
    for payload in PAYLOADS:
        source = emitted(planted(RUN, path, payload))
        assert structure(source) == expected
        assert source.encode()
        assert all(line.isprintable() for line in source.split("\n"))


@pytest.mark.parametrize("path", TEXT_PATHS)
def test_text_in_a_field_stays_text_in_reports(path):
    for payload in PAYLOADS:
        plan, _ = plan_run(planted(RUN, path, payload))
        text, markdown = plan_text(plan), plan_markdown(plan)
        assert all(line.isprintable() for line in (text + markdown).split("\n"))
        assert "<script" not in markdown.replace("\\<script", "")
        assert "](" not in markdown.replace("\\](", "")
        assert max(len(line) for line in text.split("\n")) <= 100
        assert json.loads(plan_json(plan))["params"]["total"] == plan.parameters.total
