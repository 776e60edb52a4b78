"""The pipeline as a whole: every number explains itself, plans are deterministic, specs are checked end to end."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import BASELINE, EXPERTS, GPU, LAPTOP, POD, SPARSE, budget, mesh

from moec.compiler.pipeline import check, plan_all, plan_run
from moec.compiler.plan import Plan
from moec.compiler.typed import RunSpec, TypedSpec
from moec.spec.diagnostics import has_errors
from moec.spec.loader import load_text

EXAMPLES = Path(__file__).parents[2] / "examples"
SPEC = """
edition = 2026
model dense {
  vocab_size = 256
  seq_len = 256
  n_layers = 4
  d_model = 128
  attention { n_heads = 4, n_kv_heads = 2 }
  ffn { d_ff = 344 }
}
mesh laptop { hardware = cpu, devices = 1 }
budget small { tokens = 1M }
run first { model = dense, mesh = laptop, budget = small, batch { tokens = 4Ki } }
"""

DROPLESS = replace(LAPTOP, model=replace(SPARSE, experts=replace(EXPERTS, capacity_factor=None)))
SHARED = replace(LAPTOP, model=replace(SPARSE, experts=replace(EXPERTS, n_shared_experts=2)))
STABLE = replace(LAPTOP.optimizer, schedule="warmup_stable_decay", warmup_steps="auto")
MIXED = replace(LAPTOP, mesh=mesh(GPU, 8, data=2, expert=2, model=2), optimizer=STABLE)
BUDGETS = (
    budget(steps=7),
    budget(train_flops=10**15),
    budget(hours=1.5),
    budget(law="hoffmann", count="total"),
    budget(law="besiroglu", count="dense_equivalent"),
)
RUNS = (BASELINE, LAPTOP, POD, DROPLESS, SHARED, MIXED, *(replace(POD, budget=one) for one in BUDGETS))
NAMES = {name: getattr(math, name) for name in ("ceil", "floor", "sqrt")} | {"max": max, "min": min}


def planned(run: RunSpec) -> Plan:
    short = replace(run, optimizer=replace(run.optimizer, warmup_steps="auto"))
    plan, told = plan_run(short)
    assert plan is not None, told
    return plan


def codes(diagnostics: Iterable) -> list[str]:
    return [diagnostic.code for diagnostic in diagnostics]


@pytest.mark.parametrize("run", RUNS)
def test_every_derived_number_can_be_worked_out_from_its_formula_and_inputs(run):
    for one in planned(run).derivations:
        worked_out = eval(one.formula, {"__builtins__": {}}, {**NAMES, **one.inputs})
        assert worked_out == pytest.approx(one.value, rel=1e-12), one.name


@pytest.mark.parametrize("run", RUNS)
def test_every_derivation_has_a_name_of_its_own_and_a_source(run):
    derivations = planned(run).derivations
    names = [one.name for one in derivations]
    assert len(names) == len(set(names))
    assert all(one.source for one in derivations)
    assert all(re.fullmatch(r"[a-z0-9_.]+", name) for name in names)


@pytest.mark.parametrize("run", RUNS)
def test_no_input_is_left_out_of_its_formula(run):
    for one in planned(run).derivations:
        used = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", one.formula))
        assert set(one.inputs) <= used, one.name


def test_the_names_that_the_language_promises_are_there():
    promised = {
        "params.total",
        "params.active",
        "params.embedding",
        "flops_per_token.train",
        "tokens",
        "steps",
        "batch_tokens",
        "capacity",
        "hbm_per_device",
        "step_time.seconds",
        *(f"memory.{part}_bytes_per_device" for part in ("params", "gradients", "optimizer", "activations", "total")),
    }
    assert promised <= {one.name for one in planned(POD).derivations}


def test_the_same_run_gives_the_same_plan():
    assert planned(POD) == planned(POD)


def test_derivations_agree_with_the_plan_that_they_explain():
    plan = planned(POD)
    values = {one.name: one.value for one in plan.derivations}
    assert values["params.total"] == plan.parameters.total
    assert values["capacity"] == plan.routing.capacity
    assert values["tokens"] == plan.budget.tokens
    assert values["memory.total_bytes_per_device"] == plan.memory.total
    assert values["step_time.seconds"] == pytest.approx(plan.step_time.seconds)
    assert values["flops_per_token.executed_train"] == plan.flops.executed_train_per_token


def test_a_spec_is_checked_from_its_names_to_its_plan():
    loaded, told = load_text("good.moe", SPEC)
    assert (codes(told), codes(check(loaded))) == ([], [])


def test_a_mistake_in_one_run_leaves_the_plan_of_the_other():
    broken = replace(BASELINE, name="broken", batch=replace(BASELINE.batch, tokens=1_000))
    plans, told = plan_all(TypedSpec("two.moe", (BASELINE, broken), ()))
    assert [plan.run.name for plan in plans] == ["baseline"]
    assert codes(told) == ["MOE4202"]


def test_a_spec_tells_where_its_mistake_stands():
    loaded, _ = load_text("bad.moe", SPEC.replace("n_heads = 4, n_kv_heads = 2", "n_heads = 3"))
    (told,) = check(loaded)
    assert told.code == "MOE3102"
    source = loaded.sources["bad.moe"]
    assert source.slice(told.span) == "3"
    assert [source.slice(label.span) for label in told.others] == ["128"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n_layers = 4", "n_layers = 1T"),
        ("d_model = 128", "d_model = 1T"),
        ("seq_len = 256", "seq_len = 9_000_000_000_000_000_000"),
        ("vocab_size = 256", "vocab_size = 9_000_000_000_000_000_000"),
        ("devices = 1", "devices = 999_999_999_989"),
        ("tokens = 4Ki", "tokens = 9_000_000_000_000_000_000"),
        ("tokens = 4Ki", "tokens = 4Ki, micro = 999_999_999_989"),
        ("tokens = 1M", "tokens = 9_000_000_000_000_000_000"),
        ("tokens = 1M", "train_flops = 1e40"),
        ("n_heads = 4, n_kv_heads = 2", "n_heads = 999_999_999_989, n_kv_heads = 7"),
    ],
)
def test_absurd_numbers_give_diagnostics_or_a_plan_and_never_take_long(old, new):
    loaded, _ = load_text("absurd.moe", SPEC.replace(old, new))
    assert isinstance(check(loaded), tuple)


def test_unrolled_layers_stand_in_the_head_and_scanned_ones_in_the_period():
    unrolled, scanned = planned(LAPTOP).stack, planned(POD).stack
    assert (unrolled.head, unrolled.period, unrolled.scan) == (("dense", "moe", "dense", "moe"), (), False)
    assert (scanned.head, scanned.period, scanned.repeats, scanned.scan) == ((), ("dense", "moe"), 6, True)


def test_first_dense_layers_stand_before_the_scan():
    first = replace(POD.model, n_layers=13, experts=replace(POD.model.experts, first_dense=1, every=1))
    stack = planned(replace(POD, model=first)).stack
    assert (stack.head, stack.period, stack.repeats) == (("dense",), ("moe",), 12)


def test_layers_that_are_made_again_on_a_cpu_are_scanned_where_they_repeat():
    again = replace(LAPTOP, remat=replace(LAPTOP.remat, policy="full"))
    assert planned(again).stack.scan
    one = replace(again, model=replace(again.model, n_layers=2))
    assert not planned(one).stack.scan


def test_a_written_scan_is_obeyed_on_a_cpu_and_off_it():
    on = planned(replace(LAPTOP, layers=replace(LAPTOP.layers, scan=True))).stack
    off = planned(replace(POD, layers=replace(POD.layers, scan=False))).stack
    assert (on.scan, on.repeats) == (True, 2)
    assert (off.scan, len(off.head)) == (False, 12)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.moe")), ids=lambda path: path.stem)
def test_every_example_has_a_plan_and_no_errors(path):
    loaded, told = load_text(path.name, path.read_text(encoding="utf-8"))
    assert not has_errors((*told, *check(loaded)))
