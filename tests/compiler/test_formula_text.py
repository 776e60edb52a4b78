"""Formulas are printed with their numbers put in."""

from __future__ import annotations

from fractions import Fraction

from runs import LAPTOP

from moec.compiler.formula_text import mentioned, substituted, worked_out
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Derivation

CAPACITY = Derivation(
    "capacity", 80, "slots", "ceil(top_k * top_k_more / E)", {"top_k": 2, "top_k_more": Fraction(5, 2), "E": 8}, "", ""
)
WRITTEN = Derivation("batch_tokens", 4096, "tokens", "tokens", {"tokens": 4096}, "written", "batch.tokens")


def test_inputs_are_put_in_as_whole_words():
    assert substituted(CAPACITY) == "ceil(2 * 2.5 / 8)"
    assert worked_out(CAPACITY) == "ceil(top_k * top_k_more / E) = ceil(2 * 2.5 / 8)"


def test_a_formula_that_is_only_the_value_is_left_out():
    assert worked_out(WRITTEN) == ""


def test_a_number_of_a_plan_is_mentioned_with_its_formula():
    plan, _ = plan_run(LAPTOP)
    assert (
        mentioned(plan, "steps") == "steps: ceil(wanted_tokens / batch_tokens) = ceil(1,000,000 / 4,096) is 245 steps"
    )
    assert mentioned(plan, "nothing") == ""


def test_the_formulas_of_a_plan_give_its_values():
    """Every formula of a laptop plan, worked out by Python from its inputs, is the value that is printed."""
    plan, _ = plan_run(LAPTOP)
    names = {"ceil": lambda x: -((-x) // 1), "max": max, "min": min, "round": round, "sqrt": lambda x: x**0.5}
    checked = 0
    for row in plan.derivations:
        if not row.formula or isinstance(row.value, str):
            continue
        inputs = {name: Fraction(given) for name, given in row.inputs.items() if not isinstance(given, str)}
        value = eval(row.formula, {"__builtins__": {}}, names | inputs)
        assert abs(float(value) - float(row.value)) <= 1e-9 * abs(float(row.value)), row.name
        checked += 1
    assert checked > 30
