"""What `moec plan` prints: complete, within the width, the same numbers in every form."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from runs import BASELINE, LAPTOP, POD

from moec.compiler.pipeline import plan_run
from moec.compiler.places import Place, Places
from moec.compiler.plain_text import columns
from moec.compiler.report.as_json import number, plan_json, plan_object
from moec.compiler.report.compare import compare
from moec.compiler.report.document import Column, Table
from moec.compiler.report.markdown import code_span, escaped, plan_markdown
from moec.compiler.report.text import plan_text
from moec.compiler.report.text_table import table_text
from moec.spec.source import Position

SPECS = Path(__file__).parents[2] / "golden/specs"
RUNS = {"laptop": LAPTOP, "baseline": BASELINE, "pod": POD}


@pytest.fixture(scope="module")
def plans():
    return {name: plan_run(run)[0] for name, run in RUNS.items()}


@pytest.mark.parametrize("spec", sorted(SPECS.glob("*.moe")), ids=lambda path: path.stem)
def test_the_text_is_that_of_the_golden_files(spec, golden):
    from moec.compiler.pipeline import plan_all
    from moec.compiler.places import places_of_run
    from moec.compiler.resolve import resolve
    from moec.spec.loader import load_text
    from moec.spec.reader import read

    loaded, _ = load_text(spec.name, spec.read_text())
    plans, _ = plan_all(resolve(read(loaded)[0])[0])
    for plan in plans:
        golden(f"{spec.stem}/{plan.run.name}/plan.txt", plan_text(plan, places_of_run(plan.run, loaded.sources)))
    if len(plans) > 1:
        golden(f"{spec.stem}/compare.txt", compare(plans))


@pytest.mark.parametrize("name", RUNS)
def test_the_text_fits_100_columns_and_has_no_trailing_space(plans, name):
    for line in plan_text(plans[name]).split("\n"):
        assert columns(line) <= 100
        assert line == line.rstrip()


@pytest.mark.parametrize("name", RUNS)
def test_every_derivation_is_in_the_text_and_in_the_markdown(plans, name):
    plan = plans[name]
    text, markdown = plan_text(plan), plan_markdown(plan)
    in_tables = ("params.by_role.", "mesh.", "hbm_per_device")
    for row in plan.derivations:
        shown = row.name.removeprefix("flops_per_token.conventions.")
        if not row.name.startswith(in_tables):
            assert shown in text
            assert shown in markdown


def test_a_dense_plan_says_nothing_of_experts(plans):
    text = plan_text(plans["baseline"])
    assert "EXPERTS" not in text
    assert "top_k" not in text


def test_sections_are_those_that_a_reader_looks_for(plans):
    titles = [line for line in plan_text(plans["pod"]).split("\n") if line and line == line.upper() and line[0] != " "]
    assert titles == [
        "MODEL",
        "FLOPS OF ONE TOKEN",
        "EXPERTS",
        "BATCH",
        "BUDGET",
        "MESH",
        "MEMORY PER DEVICE",
        "STEP TIME",
        "COLLECTIVES OF A STEP",
        "WHAT WAS CHOSEN",
    ]


def test_both_conventions_of_capacity_are_printed(plans):
    text = " ".join(plan_text(plans["laptop"]).split())
    assert "80 slots per expert and group. Factor 1.25 per choice (MaxText, Megatron)" in text
    assert "2.5 slots per token (axlearn)" in text


def test_places_are_printed_behind_the_source(plans):
    places = Places({"budget.tokens": Place("my.moe", Position(7, 3))})
    assert "[those of the whole steps, my.moe:7:3]" in plan_text(plans["laptop"], places)
    assert "my.moe:7:3" in plan_markdown(plans["laptop"], places)
    rows = plan_object(plans["laptop"], places)["derivations"]
    assert {row["place"] for row in rows if row["field"] == "budget.tokens"} == {"my.moe:7:3"}


def dotted(tree, path):
    for key in path.split("."):
        tree = tree[key]
    return tree


@pytest.mark.parametrize("name", RUNS)
def test_the_object_has_every_key_that_the_language_promises(plans, name):
    plan = plans[name]
    tree = json.loads(plan_json(plan))
    for path in (
        "params.total",
        "params.active",
        "params.embedding",
        "flops_per_token.train",
        "tokens",
        "steps",
        "batch_tokens",
        "memory.params_bytes_per_device",
        "memory.gradients_bytes_per_device",
        "memory.optimizer_bytes_per_device",
        "memory.activations_bytes_per_device",
        "memory.total_bytes_per_device",
        "step_time.seconds",
    ):
        assert dotted(tree, path) > 0
    assert tree["capacity"] == (plan.routing.capacity if plan.routing else None)
    assert {row["what"] for row in tree["step_time"]["breakdown"]} == {row.what for row in plan.step_time.breakdown}
    assert len(tree["collectives"]) == len(plan.collectives)
    assert tree["shardings"]["Attention.w_q"] == ["fsdp", "model", None]


@pytest.mark.parametrize("name", RUNS)
def test_derivations_and_keys_say_the_same_number(plans, name):
    tree = json.loads(plan_json(plans[name]))
    for row in tree["derivations"]:
        path = row["name"]
        if path.partition(".")[0] in ("params", "flops_per_token", "memory", "step_time") or path in tree:
            assert dotted(tree, path) == row["value"], path


def test_fractions_are_integers_doubles_and_exact():
    assert number(Fraction(6, 3)) == 2
    assert isinstance(number(Fraction(6, 3)), int)
    assert number(Fraction(5, 2)) == 2.5
    plan, _ = plan_run(replace(LAPTOP, model=replace(LAPTOP.model, experts=replace(LAPTOP.model.experts, n_experts=6))))
    rows = {row["name"]: row for row in plan_object(plan)["derivations"]}
    assert rows["slots_per_token"]["exact"] == str(plan.routing.slots_per_token)


def test_plans_are_compared_with_the_first(plans):
    rows = {line[:24].strip(): line.split() for line in compare((plans["baseline"], plans["laptop"])).split("\n")}
    assert rows["side by side"][-3:] == ["baseline", "with_moe", "ratio"]
    assert rows["steps"][-3:] == ["245", "245", "1.00x"]
    assert rows["parameters"][-1] == "3.34x"


def test_a_table_wraps_its_last_text_and_never_a_number():
    columns_of = (Column("name"), Column("count", "right"), Column("why"))
    table = Table(columns_of, (("a" * 20, "1,234,567", "word " * 30), ("b", "2", "")), ("sum", "1,234,569", ""))
    rows = list(table_text(table))
    assert max(columns(row) for row in rows) <= 100
    assert sum("1,234,567" in row for row in rows) == 1
    assert rows[-2].strip("- ") == ""


def test_markdown_takes_text_literally():
    assert escaped("a|b *c* <d> [e](f) g_h _i_") == "a\\|b \\*c\\* \\<d\\> \\[e\\](f) g_h \\_i\\_"
    assert code_span("a`b|c") == "`a'b/c`"
    assert code_span("") == ""
