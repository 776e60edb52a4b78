"""What a change of each field means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction

import pytest

from moec.compiler.difference import CATEGORIES, CATEGORY_OF, differences, show
from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec
from moec.spec.fields.table import all_fields
from moec.spec.hardware import Hardware
from moec.spec.loader import load_text
from moec.spec.reader import read

SPEC = """\
edition = 2026
model m {
  vocab_size = 256, seq_len = 64, n_layers = 2, d_model = 32
  attention { n_heads = 2 }
  ffn { d_ff = 64, activation = swiglu }
  experts { every = 2, n_experts = 4, top_k = 2, d_ff = 64, capacity_factor = 1.25, balance_loss = 0.01 }
}
mesh one { hardware = cpu, devices = 1 }
data code { source = python_stdlib, tokenizer = bytes }
budget small { steps = 4 }
run first { model = m, mesh = one, data = code, budget = small, batch { tokens = 256 } }
"""


@pytest.fixture(scope="module")
def run() -> RunSpec:
    loaded, _ = load_text("spec.moe", SPEC)
    assert loaded is not None
    typed, diagnostics = resolve(read(loaded)[0])
    assert diagnostics == ()
    return typed.runs[0]


def test_every_field_of_the_language_has_a_category() -> None:
    references = {"run.model", "run.mesh", "run.data", "run.budget"}
    missing = [
        path
        for path, info in all_fields()
        if path not in CATEGORY_OF and path not in references and not path.startswith("study.") and not info.replaced_by
    ]
    assert missing == []


def test_every_field_of_a_typed_run_has_a_category(run: RunSpec) -> None:
    assert [path for path in leaves("", run) if path not in CATEGORY_OF] == []


def test_no_category_is_left_over(run: RunSpec) -> None:
    known = {path for path, _ in all_fields()} | set(leaves("", run)) | {"model.ffn", "model.experts", "data"}
    assert set(CATEGORY_OF) - known == set()


def leaves(path: str, value: object) -> list[str]:
    """The paths of all values inside a typed run, as the fields table writes them."""
    if isinstance(value, Mapping):
        return [f"{path}.{key}" for key in value]
    if not is_dataclass(value) or isinstance(value, Hardware):
        return [path]
    found: list[str] = []
    for field in fields(value):
        if field.name in ("span", "origins", "written", "reference"):
            continue
        inner = f"{path}.{field.name}" if path else field.name
        if not path and field.name not in ("model", "mesh", "data", "budget"):
            inner = f"run.{field.name}"
        found += leaves({"data.sources": "data.source"}.get(inner, inner), getattr(value, field.name))
    return found


def test_a_run_and_itself_do_not_differ(run: RunSpec) -> None:
    assert differences(run, run) == ()


def test_the_gravest_change_comes_first(run: RunSpec) -> None:
    other = replace(run, doc="new words", seed=run.seed + 1, model=replace(run.model, d_model=64))
    found = differences(run, other)
    assert [change.category for change in found] == ["checkpoint", "numerics", "cosmetic"]
    assert [change.path for change in found] == ["model.d_model", "run.seed", "run.doc"]
    order = tuple(CATEGORIES)
    assert [order.index(change.category) for change in found] == sorted(order.index(c.category) for c in found)


@pytest.mark.parametrize(
    ("activation", "category"), [("geglu", "numerics"), ("gelu", "checkpoint"), ("relu2", "checkpoint")]
)
def test_an_activation_that_drops_the_gate_breaks_checkpoints(run: RunSpec, activation, category) -> None:
    assert run.model.ffn is not None
    other = replace(run, model=replace(run.model, ffn=replace(run.model.ffn, activation=activation)))
    (change,) = differences(run, other)
    assert change.category == category


@pytest.mark.parametrize(("clip_norm", "category"), [(0.5, "numerics"), (None, "checkpoint")])
def test_clipping_switched_off_breaks_checkpoints_and_a_new_bound_does_not(run: RunSpec, clip_norm, category) -> None:
    assert run.optimizer.clip_norm == 1.0
    (change,) = differences(run, replace(run, optimizer=replace(run.optimizer, clip_norm=clip_norm)))
    assert change.category == category


def test_a_block_that_goes_is_one_change(run: RunSpec) -> None:
    (change,) = differences(run, replace(run, model=replace(run.model, experts=None)))
    assert (change.path, change.left, change.right) == ("model.experts", "written", "none")


def test_a_mesh_axis_is_layout(run: RunSpec) -> None:
    other = replace(run, mesh=replace(run.mesh, axes={**run.mesh.axes, "fsdp": 8}))
    (change,) = differences(run, other)
    assert (change.path, change.right, change.category) == ("mesh.axes.fsdp", "8", "layout")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (128256, "128_256"),
        (Fraction(5, 4), "1.25"),
        (Fraction(2), "2"),
        (1e-5, "1e-05"),
        ("swiglu", "swiglu"),
        ((8, 8, 8), "[8, 8, 8]"),
    ],
)
def test_values_are_shown_as_a_spec_writes_them(value: object, text: str) -> None:
    assert show(value) == text
