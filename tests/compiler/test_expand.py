"""A flat spec says what the spec said: resolving it gives the same run, and expanding that the same text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moec.compiler.expand import expand_run, expand_with_origins
from moec.compiler.resolve import resolve
from moec.compiler.run_values import path_in_table, run_values
from moec.compiler.typed import RunSpec, TypedSpec
from moec.spec.fields.table import all_fields
from moec.spec.loader import load, load_text
from moec.spec.reader import read
from moec.spec.source import Span

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.moe"))
NOWHERE = Span("", 0, 0)


def resolve_text(text: str) -> TypedSpec:
    loaded, told = load_text("main.moe", text)
    assert loaded is not None
    spec, more = read(loaded)
    typed, still_more = resolve(spec)
    assert [one.message for one in (*told, *more, *still_more) if one.severity == "error"] == []
    return typed


def without_places(run: RunSpec) -> RunSpec:
    asserts = tuple(replace(one, span=NOWHERE) for one in run.asserts)
    return replace(run, span=NOWHERE, origins={}, written=frozenset(), asserts=asserts)


def comes_back(run: RunSpec) -> None:
    text = expand_run(run)
    (again,) = resolve_text(text).runs
    assert without_places(again) == without_places(run)
    assert expand_run(again) == text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_comes_back(path: Path) -> None:
    loaded, _ = load(str(path))
    assert loaded is not None
    typed, _ = resolve(read(loaded)[0])
    assert typed.runs
    for run in typed.runs:
        comes_back(run)


SPEC = """edition = 2026
let heads = 4
/// A model.
model small {{
  vocab_size = 256, seq_len = 256, n_layers = 4, d_model = 16 * heads
  attention {{ n_heads = heads }}
  ffn {{ d_ff = 256 }}
  {model}
}}
mesh here {{ {mesh} }}
data text {{ source = {source}, tokenizer = bytes, split = 1 / 3 }}
budget some {{ {budget} }}
run base {{ mesh = here, data = text, budget = some, batch {{ tokens = 4Ki }}, {run} }}
run only extends base {{ model = small, assert heads * 3 < plan.tokens : "a \\"reason\\"" }}
"""
EXPERTS = "experts {{ n_experts = 8, top_k = {}, d_ff = 64, capacity_factor = {}, balance_loss = 0 }}"
MODELS = [
    *(EXPERTS.format(top_k, factor) for top_k in (1, 2) for factor in ("1.25", "4 / 3", "dropless")),
    "depth_routing { capacity = 1 / 8 }",
    "depth_routing { capacity = 0.25, every = 4, offset = 3, aux_loss = 1 / 3 }",
    "init { kind = normal, std = 1 / 7 }",
    "norm { placement = hybrid, eps = 1e-6 }",
    "logits_softcap = 30, dtype { compute = bfloat16 }",
]
MESHES = [
    "hardware = cpu, devices = 8, axes { data = auto }",
    "hardware = tpu_v5p, topology = 4x4x4, slices = 2, axes { fsdp = 128 }",
    "hardware = tpu_v5e, devices = 16, axes { expert = 16 }",
]
SOURCES = ["python_stdlib", '["a/*.txt", "b \\" c.jsonl", "\\u{1F600}.parquet"]']
BUDGETS = [
    "tokens = 1M",
    "steps = 100",
    "train_flops = 3e23",
    "hours = 1 / 3",
    "hours = 90min",
    "law = chinchilla, count = active",
    "law = hoffmann, count = total",
]
RUNS = [
    "seed = 7",
    "optimizer { kind = lion, clip_norm = none, warmup_steps = 10 }",
    "optimizer { kind = adafactor, schedule = constant, peak_lr = 1 / 3 }",
    "optimizer { schedule = warmup_stable_decay, decay_steps = 5 }",
    "remat { policy = names, save = [ffn_out], offload = [ffn_hidden] }",
    "layers { scan = true }, eval { every_steps = 5 }",
]


@given(*(st.sampled_from(choices) for choices in (MODELS, MESHES, SOURCES, BUDGETS, RUNS)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_mixture_of_fields_comes_back(model: str, mesh: str, source: str, budget: str, run: str) -> None:
    typed = resolve_text(SPEC.format(model=model, mesh=mesh, source=source, budget=budget, run=run))
    (only,) = typed.runs
    comes_back(only)


@given(st.floats(1e-30, 1e30), st.floats(1e-30, 1e30))
@settings(max_examples=60)
def test_any_number_comes_back_as_the_same_number(first: float, second: float) -> None:
    text = SPEC.format(model="", mesh=MESHES[0], source=SOURCES[0], budget=BUDGETS[0], run=RUNS[0])
    (run,) = resolve_text(text).runs
    run = replace(run, optimizer=replace(run.optimizer, peak_lr=first, weight_decay=second))
    comes_back(run)


def test_the_text_is_flat_and_whole() -> None:
    text = SPEC.format(model=MODELS[0], mesh=MESHES[0], source=SOURCES[0], budget=BUDGETS[0], run=RUNS[0])
    (run,) = resolve_text(text).runs
    flat = expand_run(run)
    assert "let " not in flat
    assert "extends" not in flat
    assert 'assert 4 * 3 < plan.tokens : "a \\"reason\\""' in flat
    assert "/// A model." in flat


def test_every_field_of_the_table_has_its_value_in_a_run() -> None:
    given_by = {
        "model": f"{MODELS[0]}, depth_routing {{ capacity = 1 / 8 }}, init {{ kind = normal, std = 0.1 }}",
        "mesh": MESHES[1],
        "budget": BUDGETS[5],
        "run": RUNS[4],
    }
    (run,) = resolve_text(SPEC.format(source=SOURCES[0], **given_by)).runs
    values = {path_in_table(path) for path in run_values(run)}
    alternatives = {"budget.tokens", "budget.steps", "budget.train_flops", "budget.hours"}
    # These stand beside one law or count each; see test_what_only_some_laws_take_comes_back.
    alternatives |= {"budget.equal_to", "budget.sparsity", "budget.max_sparsity"}
    alternatives |= {path for path, _ in all_fields() if path.startswith("budget.coefficients.")}
    of_runs = {path for path, _ in all_fields() if not path.startswith("study.")}
    assert values | alternatives == of_runs


def test_origins_name_file_and_line_or_the_default() -> None:
    text = SPEC.format(model="", mesh=MESHES[0], source=SOURCES[0], budget=BUDGETS[0], run=RUNS[0])
    loaded, _ = load_text("main.moe", text)
    assert loaded is not None
    (run,) = resolve(read(loaded)[0])[0].runs
    lines = expand_with_origins(run, loaded.sources).splitlines()
    (d_model,) = [line for line in lines if line.strip().startswith("d_model")]
    (eps,) = [line for line in lines if line.strip().startswith("eps") and "1e-5" in line]
    assert d_model.split() == ["d_model", "=", "64", "#", "main.moe:5"]
    assert eps.split() == ["eps", "=", "1e-5", "#", "default"]


YUN = "a = 500, alpha = 0.35, b = 1, beta = 0.5, c = 400, gamma = 0.28, f = 1.5, d = -0.001, e_start = 2, e_max = 300"


@pytest.mark.parametrize(
    ("budget", "fields"),
    [
        ("law = frantar, count = nonzero, sparsity = 0.5", {"sparsity"}),
        ("law = abnar, count = total, max_sparsity = 0.9", {"max_sparsity"}),
        (f"law = yun, count = dense_equivalent, coefficients {{ {YUN} }}", {"coefficients.d", "coefficients.e_max"}),
        ("law = chinchilla, count = step_time, equal_to = only", {"equal_to"}),
        ("train_flops = 1e18, law = joint_moe, count = active", {"train_flops", "law", "count"}),
    ],
)
def test_what_only_some_laws_take_comes_back(budget: str, fields: set[str]) -> None:
    text = SPEC.format(model="", mesh=MESHES[0], source=SOURCES[0], budget=budget, run="")
    (run,) = resolve_text(text).runs
    assert {f"budget.{name}" for name in fields} <= set(run_values(run))
    comes_back(run)


def test_a_run_that_is_measured_against_another_brings_that_along() -> None:
    budget = "law = chinchilla, count = step_time, equal_to = twin"
    text = SPEC.format(model="", mesh=MESHES[0], source=SOURCES[0], budget=budget, run="")
    twin = "budget own { tokens = 5M }\nrun twin { model = small, mesh = here, budget = own, batch { tokens = 4Ki } }\n"
    first, _ = resolve_text(text + twin).runs
    again_twin, again = resolve_text(expand_run(first)).runs
    assert again.reference is not None
    assert without_places(again_twin) == without_places(again.reference)
    assert again_twin.budget.tokens == 5_000_000
    assert expand_run(again) == expand_run(first)
