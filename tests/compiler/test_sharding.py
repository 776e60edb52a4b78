"""Shardings of weights and activations: the 3D method's table, and what holds of every array."""

from dataclasses import replace
from itertools import chain

import pytest
from runs import BASELINE, EXPERTS, LAPTOP, POD, SPARSE, mesh

from moec.compiler.passes.weight import AXIS_OF_DIM
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import ActivationPlan, CollectivePlan, Plan, TensorPlan
from moec.compiler.typed import RunSpec

BATCH = ("data", "fsdp", "expert")


def planned(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def weight(plan: Plan, owner: str, name: str) -> TensorPlan:
    return next(one for one in plan.tensors if (one.owner, one.name) == (owner, name))


def activation(plan: Plan, stem: str) -> ActivationPlan:
    return next(one for one in plan.activations if one.name.rpartition("_")[0] == stem)


def sent(plan: Plan, op: str, axis: str) -> list[CollectivePlan]:
    return [one for one in plan.collectives if (one.op, one.axis) == (op, axis)]


def on(run: RunSpec, **axes: int) -> RunSpec:
    return replace(run, mesh=mesh(devices=8, **axes))


@pytest.mark.parametrize(
    ("owner", "name", "sharding"),
    [
        ("Model", "w_embed", (("model",), ("fsdp",))),
        ("Model", "final_norm", ((),)),
        ("Attention", "w_q", (("fsdp",), ("model",), ())),
        ("Attention", "w_k", (("fsdp",), ("model",), ())),
        ("Attention", "w_o", (("model",), (), ("fsdp",))),
        ("Ffn", "w_gate", (("fsdp",), ("model",))),
        ("Ffn", "w_down", (("model",), ("fsdp",))),
        ("Experts", "w_router", ((), ())),
        ("Experts", "w_up", (("expert",), ("fsdp",), ("model",))),
        ("Experts", "w_down", (("expert",), ("model",), ("fsdp",))),
    ],
)
def test_weights_lie_as_the_three_d_method_says(owner, name, sharding):
    assert weight(planned(POD), owner, name).sharding == sharding


def test_the_head_of_an_untied_model_is_cut_like_the_table():
    assert weight(planned(BASELINE), "Model", "w_head").sharding == (("fsdp",), ("model",))


@pytest.mark.parametrize(
    ("stem", "sharding"),
    [
        ("residual", (BATCH, ("seq",), ("model",))),
        ("q", (BATCH, ("seq",), ("model",), ())),
        ("ffn_hidden", (BATCH, ("seq",), ("model",))),
        ("router_logits", ((*BATCH, "seq"), ())),
        ("expert_buffer", (("expert",), ("data", "fsdp", "seq"), ("model",))),
        ("expert_hidden", (("expert",), ("data", "fsdp", "seq"), ("model",))),
        ("logits", ((*BATCH, "seq"), ("model",))),
    ],
)
def test_activations_lie_as_table_one_says(stem, sharding):
    assert activation(planned(POD), stem).sharding == sharding


def test_no_array_uses_a_mesh_axis_twice():
    plan = planned(replace(POD, model=replace(POD.model, tie_embeddings=False)))
    for array in (*plan.tensors, *plan.activations):
        axes = list(chain.from_iterable(array.sharding))
        assert len(axes) == len(set(axes)), array.name


def test_every_dim_has_a_letter_and_a_sharding():
    plan = planned(POD)
    for array in (*plan.tensors, *plan.activations):
        assert len(array.dims) == len(array.shape) == len(array.sharding), array.name
    assert {dim for one in plan.tensors for dim in one.dims} <= set(AXIS_OF_DIM)


def test_experts_cross_the_mesh_twice_forward_and_twice_backward_per_layer():
    plan = planned(on(LAPTOP, expert=8))
    (exchange,) = sent(plan, "all-to-all", "expert")
    assert exchange.count == 2 * 2 * 2


def test_an_all_to_all_sends_all_slots_but_those_that_stay():
    plan = planned(on(LAPTOP, expert=8))
    (exchange,) = sent(plan, "all-to-all", "expert")
    # Groups of 8 devices, 2 each, 8 experts, 80 slots of width 128 in float32.
    assert exchange.bytes == 2 * 8 * 80 * 128 * 4 * 7 // 8


def test_full_remat_crosses_again():
    full = replace(on(LAPTOP, expert=8), remat=replace(LAPTOP.remat, policy="full"))
    assert sent(planned(full), "all-to-all", "expert")[0].count == 2 * 2 * 3


def test_dropless_experts_gather_tokens_instead():
    dropless = replace(LAPTOP, model=replace(SPARSE, experts=replace(EXPERTS, capacity_factor=None)))
    plan = planned(on(dropless, expert=8))
    assert sent(plan, "all-to-all", "expert") == []
    assert [one.count for one in sent(plan, "all-gather", "expert")] == [2 * 2]


@pytest.mark.parametrize(
    ("axes", "ops"),
    [
        ({"data": 8}, {("all-reduce", "data")}),
        ({"fsdp": 8}, {("all-gather", "fsdp"), ("reduce-scatter", "fsdp"), ("all-reduce", "fsdp")}),
        ({"expert": 8}, {("all-reduce", "expert")}),
        ({"seq": 8}, {("all-reduce", "seq"), ("all-gather", "seq"), ("reduce-scatter", "seq")}),
    ],
)
def test_a_dense_model_sends_what_each_axis_needs(axes, ops):
    assert {(one.op, one.axis) for one in planned(on(BASELINE, **axes)).collectives} == ops


def test_the_model_axis_gathers_and_scatters_around_both_branches():
    plan = planned(replace(BASELINE, mesh=mesh(devices=2, model=2)))
    streams = [one.count for one in sent(plan, "all-gather", "model")]
    assert streams == [2 * 4 * 2, 2]


def test_a_single_device_sends_nothing():
    assert planned(LAPTOP).collectives == ()


def test_gradients_of_experts_are_not_summed_over_the_expert_axis():
    plan = planned(on(LAPTOP, data=2, expert=4))
    by_what = {one.what: one.axis for one in plan.collectives if one.op == "all-reduce"}
    assert by_what["gradient of Experts.w_up"] == "data"
    assert by_what["gradient of Attention.w_q"] == "data+expert"


def test_gradients_of_data_parallel_weights_are_sent_almost_twice():
    plan = planned(on(BASELINE, data=8))
    total = sum(one.count * one.bytes for one in plan.collectives)
    assert total == pytest.approx(2 * plan.parameters.total * 4 * 7 / 8)
