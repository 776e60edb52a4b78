"""The planner: every legal layout is tried, the best that fits is taken, and what is taken is written down."""

from __future__ import annotations

import itertools
from math import prod

import pytest

from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import Pricer, plan_run
from moec.compiler.plan import Plan
from moec.compiler.planner.candidates import divisors, factorizations, layouts, micro_batches, policies
from moec.compiler.planner.choose import shortlist
from moec.compiler.resolve import resolve
from moec.compiler.typed import MESH_AXES, RunSpec
from moec.spec.loader import load_text
from moec.spec.reader import read

SPEC = """
edition = 2026

model wide {{
  vocab_size = 32Ki
  seq_len    = 2Ki
  n_layers   = 16
  d_model    = 2048
  attention {{ n_heads = 16, n_kv_heads = 8, d_head = 128 }}
  ffn       {{ d_ff = 8192, activation = swiglu }}
  experts   {{ every = 2, n_experts = 16, top_k = 2, d_ff = 4096, capacity_factor = 1.25, balance_loss = 0.01 }}
}}

mesh pod {{ {mesh} }}
budget week {{ tokens = 20B }}
run train {{
  model  = wide
  mesh   = pod
  budget = week
  batch {{ tokens = 1Mi{micro} }}
  {remat}
}}
"""

FIVE_AUTO = "axes { data = auto, fsdp = auto, expert = auto, seq = auto, model = auto }"


def _run(mesh: str, micro: str = "", remat: str = "") -> RunSpec:
    loaded, told = load_text("spec.moe", SPEC.format(mesh=mesh, micro=micro, remat=remat))
    assert loaded is not None
    assert not told
    spec, of_reading = read(loaded)
    typed, of_resolving = resolve(spec)
    assert not (*of_reading, *of_resolving)
    return typed.runs[0]


def _plan(mesh: str, micro: str = "", remat: str = "") -> Plan:
    plan, told = plan_run(_run(mesh, micro, remat))
    assert plan is not None, told
    return plan


@pytest.mark.parametrize(("number", "parts"), [(1, 0), (2, 0), (12, 1), (12, 2), (12, 3), (64, 5)])
def test_factorizations_are_all_the_ordered_products(number: int, parts: int) -> None:
    every = itertools.product(divisors(number), repeat=parts)
    assert sorted(factorizations(number, parts)) == sorted(sizes for sizes in every if prod(sizes) == number)


def test_all_layouts_multiply_to_the_devices_and_keep_what_is_written() -> None:
    found = list(layouts(_run("hardware = h100, devices = 64, axes { data = auto, fsdp = auto, expert = 4 }")))
    assert [run.mesh.axes["expert"] for run in found] == [4] * 5
    assert {prod(size for size in run.mesh.axes.values() if size != "auto") for run in found} == {64}


@pytest.mark.parametrize(
    ("mesh", "micro", "remat"),
    [
        (f"hardware = h100, devices = 16, {FIVE_AUTO}", ", micro = 128Ki", ""),
        (f"hardware = tpu_v5e, topology = 4x4, {FIVE_AUTO}", "", "remat { policy = auto }"),
        ("hardware = a100, devices = 16, axes { fsdp = 16 }", "", "remat { policy = auto }"),
    ],
)
def test_the_best_five_are_those_of_trying_everything(mesh: str, micro: str, remat: str) -> None:
    run = _run(mesh, micro, remat)
    pricing = Pricer()
    every = [one for layout in layouts(run) for policy in policies(layout) for one in micro_batches(policy)]
    weighed = [one for candidate in every if (one := pricing.weigh(candidate)) is not None and one.fits]
    first_of_policy = {}
    for one in sorted(weighed, key=lambda one: one.batch.micro_batches):
        first_of_policy.setdefault((tuple(one.mesh.axes.values()), one.run.remat.policy), one)
    seconds = {id(one.run): time.seconds for one in weighed if (time := pricing.time(one)) is not None}
    assert min(seconds.values()) == min(seconds[id(one.run)] for one in first_of_policy.values())
    wanted = sorted(float(f"{seconds[id(one.run)]:.3g}") for one in first_of_policy.values())[:5]
    plan, _ = plan_run(run)
    assert plan is not None
    assert plan.choices is not None
    assert [float(f"{choice.seconds:.3g}") for choice in plan.choices.best] == wanted


def test_the_shortlist_begins_with_what_is_chosen() -> None:
    run = _run(f"hardware = h100, devices = 16, {FIVE_AUTO}", remat="remat { policy = auto }")
    first, second = shortlist(run, Pricer(), 2)
    plan, _ = plan_run(run)
    assert plan is not None
    assert (plan.run.mesh.axes, plan.run.batch, plan.run.remat) == (first.mesh.axes, first.batch, first.remat)
    assert second != first


def test_the_best_five_stand_in_order_with_a_reason_each() -> None:
    choices = _plan(f"hardware = tpu_v5p, topology = 4x4x8, {FIVE_AUTO}").choices
    assert choices is not None
    assert len(choices.best) == 5
    seconds = [float(f"{choice.seconds:.3g}") for choice in choices.best]
    assert seconds == sorted(seconds)
    assert choices.best[0].reason == "the fastest that fits"
    assert all("slower" in choice.reason or "as fast by" in choice.reason for choice in choices.best[1:])


def test_memory_decides_on_micro_batches_and_recomputation() -> None:
    mesh = "hardware = tpu_v5e, topology = 4x8, axes { fsdp = 32 }"
    plan = _plan(mesh, remat="remat { policy = auto }")
    assert plan.memory.total <= 0.9 * plan.memory.hbm
    assert plan.batch.micro_batches > 1
    roomy = _plan("hardware = h200, devices = 256, axes { fsdp = 256 }", remat="remat { policy = auto }")
    assert roomy.run.remat.policy == "none"
    assert roomy.batch.micro_batches == 1


def test_what_was_chosen_is_literal_in_the_resolved_spec_and_recompiles_to_the_same_program() -> None:
    plan = _plan(f"hardware = h100, devices = 16, {FIVE_AUTO}", remat="remat { policy = auto }")
    artifacts = compile_run(plan)
    loaded, _ = load_text("resolved.moe", artifacts.resolved)
    assert loaded is not None
    again, told = plan_run(resolve(read(loaded)[0])[0].runs[0])
    assert again is not None, told
    assert again.choices is None
    assert {axis: again.mesh.axes[axis] for axis in MESH_AXES} == dict(plan.mesh.axes)
    assert compile_run(again).program == artifacts.program


def test_where_nothing_fits_the_closest_is_told_with_what_limits_it() -> None:
    plan, told = plan_run(_run("hardware = tpu_v5e, topology = 2x2, axes { data = auto, fsdp = auto }"))
    assert plan is None
    assert [diagnostic.code for diagnostic in told] == ["MOE7105"]
    assert told[0].notes[0].startswith("closest: fsdp = 4, micro = ")
    assert told[0].notes[1].endswith("activations limit it")


def test_a_micro_batch_alone_that_cannot_fit_is_an_ordinary_lack_of_memory() -> None:
    plan, told = plan_run(_run("hardware = tpu_v5e, topology = 2x2, axes { fsdp = 4 }"))
    assert plan is None
    assert [diagnostic.code for diagnostic in told] == ["MOE7101"]


def test_where_nothing_is_legal_it_says_how_many_ways_were_tried() -> None:
    plan, told = plan_run(_run("hardware = h100, devices = 7, axes { data = auto, fsdp = auto }"))
    assert plan is None
    assert [diagnostic.code for diagnostic in told] == ["MOE4106"]
    assert "2 ways" in told[0].label


def test_without_known_memory_the_whole_batch_is_one_micro_batch() -> None:
    run = _run("hardware = cpu, devices = 8, axes { data = auto }")
    plan, _ = plan_run(run)
    assert plan is not None
    assert plan.choices is None
    assert plan.batch.micro_batches == 1
