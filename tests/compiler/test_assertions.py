"""Asserts over the plan, the hardware and the run's own fields."""

import pytest

from moec.compiler.pipeline import check
from moec.spec.diagnostics import Diagnostic
from moec.spec.loader import load_text

SPEC = """
edition = 2026
model sparse {{
  vocab_size = 256
  seq_len = 256
  n_layers = 4
  d_model = 128
  attention {{ n_heads = 4, n_kv_heads = 2 }}
  ffn {{ d_ff = 344 }}
  experts {{ every = 2, n_experts = 8, top_k = 2, d_ff = 344, capacity_factor = 1.25, balance_loss = 0.01 }}
}}
mesh laptop {{ hardware = cpu, devices = 1 }}
budget small {{ tokens = 1M }}
run first {{
  model = sparse, mesh = laptop, budget = small
  batch {{ tokens = 4Ki }}
  assert {condition} : "why not"
}}
"""


def told(condition: str) -> tuple[Diagnostic, ...]:
    loaded, of_text = load_text("assert.moe", SPEC.format(condition=condition))
    assert of_text == ()
    return check(loaded)


@pytest.mark.parametrize(
    "condition",
    [
        "plan.steps == 245",
        "plan.capacity == 80",
        "plan.slots_per_token == 2.5",
        "plan.params.active < plan.params.total",
        "plan.hbm_per_device == plan.memory.total_bytes_per_device",
        "plan.hbm_per_device < 1GB",
        "plan.step_time.seconds < 10s",
        "plan.train_flops > 1TFLOP",
        "hardware.hbm == 0kB",
        "model.experts.activation == swiglu",
        "model.experts.top_k < 3 and batch.tokens == 4Ki",
        "mesh.axes.data == 1",
        "len([1, 2]) == 2",
    ],
)
def test_what_holds_is_not_remarked_on(condition):
    assert told(condition) == ()


def test_what_does_not_hold_is_told_with_the_reason_and_every_part():
    (failure,) = told("plan.steps * 2 > 1000")
    assert failure.code == "MOE8201"
    assert "why not" in failure.message
    assert failure.check == "plan.steps * 2 > 1000"
    assert set(failure.notes) == {"plan.steps * 2 = 490", "plan.steps = 245"}


def test_a_name_that_the_plan_does_not_have_is_told_with_the_nearest():
    (failure,) = told("plan.step > 1")
    assert failure.code == "MOE2004"
    assert failure.helps[0] == "did you mean `plan.steps`?"


def test_a_number_is_no_condition():
    (failure,) = told("plan.steps")
    assert failure.code == "MOE8202"


def test_units_are_held_apart():
    (failure,) = told("plan.hbm_per_device < 12")
    assert failure.code == "MOE2103"
