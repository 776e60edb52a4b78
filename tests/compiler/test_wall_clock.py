"""`count = step_time`: a mixture trains for as many predicted seconds as its dense twin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import BASELINE, LAPTOP, budget

from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec, TypedSpec
from moec.spec.loader import load_text
from moec.spec.reader import read

SPEC = """
edition = 2026
model dense {{
  vocab_size = 256, seq_len = 256, n_layers = 4, d_model = 128
  attention {{ n_heads = 4 }}
  ffn {{ d_ff = 344 }}
}}
model sparse extends dense {{
  experts {{ every = 2, n_experts = 8, top_k = 2, d_ff = 344, capacity_factor = 1.25, balance_loss = 0.01 }}
}}
mesh laptop {{ hardware = cpu, devices = 1 }}
budget shared {{ law = chinchilla, count = step_time, equal_to = {equal_to} }}
budget other {{ steps = 100 }}
run baseline {{ model = dense, mesh = laptop, budget = {of_twin}, batch {{ tokens = 4Ki }} }}
run with_moe extends baseline {{ model = sparse, budget = shared }}
"""


def typed(equal_to: str = "baseline", of_twin: str = "shared") -> TypedSpec:
    loaded, told = load_text("spec.moe", SPEC.format(equal_to=equal_to, of_twin=of_twin))
    assert loaded is not None, told
    return resolve(read(loaded)[0])[0]


def planned(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def seconds(plan: Plan) -> float:
    return plan.budget.steps * plan.step_time.seconds


@pytest.mark.parametrize("of_twin", ["shared", "other"])
def test_the_mixture_takes_the_time_of_its_twin_to_half_a_step(of_twin):
    twin, mixture = (planned(run) for run in typed(of_twin=of_twin).runs)
    assert abs(seconds(mixture) - seconds(twin)) <= mixture.step_time.seconds / 2
    assert mixture.budget.steps < twin.budget.steps
    assert mixture.decisions[0].value == f"{mixture.budget.tokens:,}"
    assert "of `baseline`" in mixture.decisions[0].why


def test_the_law_sees_the_twin_alone():
    twin, _ = (planned(run) for run in typed().runs)
    assert twin.budget.tokens / twin.parameters.total == pytest.approx(20, rel=0.001)
    assert twin.decisions == ()


def test_another_twin_gives_another_length():
    shared, other = (planned(typed(of_twin=name).runs[1]).budget.steps for name in ("shared", "other"))
    assert shared != other


def test_the_tokens_are_literal_and_the_twin_is_gone_in_what_is_resolved():
    plan = planned(typed().runs[1])
    made = compile_run(plan)
    assert "baseline" not in made.resolved
    loaded, _ = load_text("resolved.moe", made.resolved)
    assert loaded is not None
    (run,) = resolve(read(loaded)[0])[0].runs
    assert compile_run(planned(run)).program == made.program


def measured(twin: RunSpec | None) -> RunSpec:
    step_time = budget(law="chinchilla", count="step_time", equal_to="twin")
    return replace(LAPTOP, budget=step_time, reference=twin)


@pytest.mark.parametrize(
    ("twin", "why"),
    [
        (LAPTOP, "it has experts"),
        (None, "it has experts"),
        (replace(BASELINE, batch=replace(BASELINE.batch, tokens=1_000)), "it has no plan"),
    ],
)
def test_a_twin_must_be_dense_and_plannable(twin, why):
    plan, told = plan_run(measured(twin))
    assert plan is None
    assert [one.code for one in told] == ["MOE6111"]
    assert why in told[0].message


def test_a_run_that_is_measured_itself_is_nothing_to_measure_against():
    text = SPEC.format(equal_to="baseline", of_twin="back")
    text += "budget back { law = chinchilla, count = step_time, equal_to = with_moe }\n"
    loaded, _ = load_text("spec.moe", text)
    assert loaded is not None
    found, told = resolve(read(loaded)[0])
    assert [one.code for one in told] == ["MOE6110", "MOE6110"]
    assert found.runs == ()
