"""Depth routing in the plan: which layers, what is refused, and what a routed layer costs, counted by hand."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from runs import ATTENTION, BASELINE, DENSE, EXPERTS, GPU, TPU, budget, mesh

from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.typed import DepthRoutingSpec, RunSpec
from moec.spec.diagnostics import Diagnostic

ROUTING = DepthRoutingSpec(capacity=Fraction(1, 8), every=2, offset=0, aux_loss=0.01)
ROUTED = replace(DENSE, name="routed", n_layers=5, depth_routing=ROUTING)
"""Layers 2 and 4 take 32 of 256 tokens: d_model 128, 4 heads and 2 key-value heads of 32, d_ff 344."""

ATTENTION_WEIGHTS = 128 * 4 * 32 + 2 * 128 * 2 * 32 + 4 * 32 * 128
FFN_WEIGHTS = 3 * 128 * 344
NORMS = 2 * 128
LAYER = ATTENTION_WEIGHTS + FFN_WEIGHTS + NORMS
AROUND = 2 * 256 * 128 + 128
"""Embedding, head and last norm."""


def routed(run: RunSpec = BASELINE, **changes) -> RunSpec:
    return replace(run, model=replace(ROUTED, depth_routing=replace(ROUTING, **changes)))


def model(**changes) -> RunSpec:
    return replace(BASELINE, model=replace(ROUTED, **changes))


def splash(**changes) -> RunSpec:
    run = replace(routed(**changes), mesh=mesh(TPU))
    return replace(run, model=replace(run.model, attention=replace(ATTENTION, kernel="splash")))


def on(run: RunSpec, devices: int, **axes) -> RunSpec:
    return replace(run, mesh=mesh(devices=devices, **axes))


def plan_of(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def told(run: RunSpec) -> Mapping[str, Diagnostic]:
    return {diagnostic.code: diagnostic for diagnostic in plan_run(run)[1]}


def ideal(plan: Plan) -> Mapping[str, Fraction]:
    return {row.operation: Fraction(row.ideal_flops_per_token) for row in plan.flops.rows}


@pytest.mark.parametrize(
    ("changes", "layers"),
    [({}, [2, 4]), ({"offset": 1}, [1, 3, 5]), ({"every": 3, "offset": 2}, [2, 5]), ({"every": 1}, [1, 2, 3, 4, 5])],
)
def test_every_and_offset_say_which_layers_are_routed(changes, layers):
    plan = plan_of(routed(**changes))
    assert [layer.number for layer in plan.stack.layers if layer.kind == "routed"] == layers


def test_a_scan_repeats_a_whole_and_a_routed_layer():
    run = replace(model(n_layers=6), layers=replace(BASELINE.layers, scan=True))
    stack = plan_of(run).stack
    assert (stack.head, stack.period, stack.repeats) == ((), ("dense", "routed"), 3)


@pytest.mark.parametrize(
    ("run", "code", "shown"),
    [
        (routed(capacity=Fraction(1, 3)), "MOE5201", "capacity = 85 / 256 or 86 / 256"),
        (routed(capacity=Fraction(1, 1000)), "MOE5201", "capacity = 1 / 256"),
        (routed(capacity=Fraction(999, 1000)), "MOE5201", "capacity = 255 / 256 or 256 / 256"),
        (on(routed(), 2, seq=2), "MOE5202", "seq = 1"),
        (model(experts=EXPERTS), "MOE5203", "remove one of the two blocks"),
        (model(attention=replace(ATTENTION, window=64)), "MOE5204", "window = none"),
        (routed(every=8), "MOE5205", "layer 8"),
        (routed(every=7, offset=6), "MOE5205", "layer 6"),
        (splash(capacity=Fraction(1, 4)), "MOE5206", "capacity = 128 / 256"),
        (routed(offset=3), "MOE3107", "offset = 1"),
        (routed(offset=1), "MOE9105", "write offset = 0"),
        (model(n_layers=4), "MOE9105", "make n_layers odd"),
        (replace(routed(), budget=budget(law="chinchilla", tokens_per_param=20.0)), "MOE6203", "tokens"),
    ],
)
def test_a_mistake_is_told_with_what_would_mend_it(run, code, shown):
    diagnostic = told(run)[code]
    assert shown in "\n".join((diagnostic.message, diagnostic.label, *diagnostic.helps))


def test_routed_layers_between_whole_ones_are_told_nothing():
    assert not told(routed()).keys() & {"MOE9105", "MOE6203"}


def test_a_routed_layer_has_a_vector_more_and_a_token_uses_its_share():
    counts = plan_of(routed()).parameters
    assert counts.total == AROUND + 5 * LAYER + 2 * 128
    assert counts.by_role["router"] == 2 * 128
    assert counts.active == round(AROUND + 3 * LAYER + 2 * Fraction(LAYER, 8) + 2 * 128)


def test_products_are_cut_by_the_capacity_and_scores_by_its_square():
    rows = ideal(plan_of(routed()))
    passes = 3 + 2 * Fraction(1, 8)
    assert rows["attention q"] == passes * 2 * 128 * 4 * 32
    assert rows["attention k, v"] == passes * 4 * 128 * 2 * 32
    assert rows["attention o"] == passes * 2 * 4 * 32 * 128
    assert rows["ffn"] == passes * 6 * 128 * 344
    assert rows["attention scores, values"] == (3 + 2 * Fraction(1, 64)) * 4 * 128 * 4 * 32
    assert rows["depth router"] == 2 * 2 * 128


def test_at_full_capacity_only_the_router_is_added():
    whole, full = ideal(plan_of(model(depth_routing=None))), ideal(plan_of(routed(capacity=Fraction(1))))
    assert full == {**whole, "depth router": 2 * 2 * 128}


def test_a_routed_model_holds_fewer_activations_than_its_whole_twin():
    whole, thin = plan_of(model(depth_routing=None)).memory, plan_of(routed()).memory
    assert thin.activations < 0.85 * whole.activations
    assert thin.params == whole.params + 2 * 128 * 4


def test_over_a_model_axis_only_scores_are_summed_and_only_taken_tokens_gathered():
    plan = plan_of(on(routed(), 2, model=2))
    sent = {row.what: row for row in plan.collectives if row.axis == "model" and row.op != "reduce-scatter"}
    scores = sent["scores of depth routers"]
    assert scores.op == "all-reduce"
    assert scores.count == 2 * 2
    taken, streams = sent["taken tokens into and out of branches"], sent["residual stream into and out of branches"]
    assert 8 * taken.bytes == streams.bytes
    assert (taken.count, streams.count) == (2 * 2 * 2, 2 * 3 * 2)


@pytest.mark.parametrize(("capacity", "kernel"), [(Fraction(32, 256), "cudnn"), (Fraction(33, 256), "blockwise")])
def test_cudnn_is_not_chosen_where_a_routed_layer_takes_an_odd_number_of_tokens(capacity, kernel):
    run = routed(capacity=capacity)
    run = replace(run, mesh=mesh(GPU), model=replace(run.model, dtype=replace(run.model.dtype, compute="bfloat16")))
    assert plan_of(run).kernels.attention == kernel


def test_splash_is_taken_where_its_blocks_fit():
    assert plan_of(splash(capacity=Fraction(1, 2))).kernels.attention == "splash"


def test_the_planner_takes_no_mesh_that_cuts_sequences():
    run = replace(routed(), mesh=mesh(devices=8, data="auto", fsdp="auto", seq="auto"))
    plan = plan_of(run)
    assert plan.mesh.axes["seq"] == 1
    assert all(choice.axes["seq"] == 1 for choice in plan.choices.best)


def test_every_formula_of_a_routed_plan_gives_its_value():
    names = {"ceil": lambda x: -((-x) // 1), "max": max, "min": min, "round": round, "sqrt": lambda x: x**0.5}
    plan = plan_of(routed())
    found = {row.name: row for row in plan.derivations}
    assert (found["routed_layers"].value, found["taken_tokens"].value) == (2, 32)
    for row in plan.derivations:
        if row.formula and not isinstance(row.value, str):
            inputs = {name: Fraction(given) for name, given in row.inputs.items() if not isinstance(given, str)}
            value = eval(row.formula, {"__builtins__": {}}, names | inputs)
            assert float(value) == pytest.approx(float(row.value), rel=1e-9), row.name
