"""Slots per expert in both conventions, groups, and the kernels that are chosen."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import EXPERTS, GPU, LAPTOP, POD, TPU, mesh

from moec.compiler.formulas.capacity import capacity_per_choice, expected_slots, slots_per_token
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import RoutingPlan
from moec.compiler.typed import RunSpec


def routing(run: RunSpec) -> RoutingPlan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan.routing


def experts(run: RunSpec = LAPTOP, **changes) -> RunSpec:
    return replace(run, model=replace(run.model, experts=replace(EXPERTS, **changes)))


def test_the_laptop_has_eighty_slots_which_is_two_and_a_half_per_token():
    plan = routing(LAPTOP)
    assert (plan.capacity, plan.slots_per_token, plan.groups) == (80, Fraction(5, 2), 16)


def test_a_factor_of_one_with_two_choices_is_two_slots_per_token():
    plan = routing(POD)
    assert (plan.capacity, plan.slots_per_token) == (128, 2)


@given(
    top_k=st.integers(1, 8),
    group_size=st.integers(1, 1 << 15),
    factor=st.fractions(Fraction(1, 4), 8, max_denominator=100),
    n_experts=st.integers(1, 256),
)
def test_capacity_is_the_least_whole_number_that_holds_the_expected_load(top_k, group_size, factor, n_experts):
    capacity = capacity_per_choice(top_k, group_size, factor, n_experts)
    expected = expected_slots(top_k, group_size, factor, n_experts)
    assert expected <= capacity < expected + 1
    assert slots_per_token(capacity, n_experts, group_size) >= top_k * factor


def test_exact_fractions_do_not_round_up_by_accident():
    # 1.1 as a binary float would give 2 * 100 * 1.1 / 11 = 20.000000000000004 and 21 slots.
    assert capacity_per_choice(2, 100, Fraction(11, 10), 11) == 20


def test_dropless_experts_have_no_slots_and_use_tiles():
    plan = routing(experts(capacity_factor=None))
    assert (plan.capacity, plan.slots_per_token) == (None, None)
    assert (plan.dispatch, plan.grouped_matmul) == ("sorted", "tiles")


@pytest.mark.parametrize(
    ("factor", "expert_axis", "dispatch", "grouped_matmul"),
    [
        (Fraction(5, 4), 1, "sorted", "tiles"),
        (Fraction(5, 4), 2, "sorted", "batched"),
        (None, 1, "sorted", "tiles"),
        (None, 2, "all_gather", "tiles"),
    ],
)
def test_auto_chooses_by_capacity_and_mesh(factor, expert_axis, dispatch, grouped_matmul):
    run = experts(capacity_factor=factor)
    plan = routing(replace(run, mesh=mesh(devices=expert_axis, expert=expert_axis)))
    assert (plan.dispatch, plan.grouped_matmul) == (dispatch, grouped_matmul)
    assert plan.reason


def test_tiles_are_for_sorted_tokens_on_cpu_alone():
    onehot = routing(experts(dispatch="onehot"))
    chip = replace(experts(), mesh=mesh(hardware=GPU))
    assert (onehot.grouped_matmul, routing(chip).grouped_matmul) == ("batched", "batched")


def test_dropless_experts_on_a_tpu_use_its_kernel():
    chip = replace(experts(capacity_factor=None), mesh=mesh(hardware=TPU))
    assert routing(chip).grouped_matmul == "megablox"


def test_what_is_written_is_taken_and_said_so():
    plan = routing(experts(dispatch="onehot", grouped_matmul="reference"))
    assert (plan.dispatch, plan.grouped_matmul) == ("onehot", "reference")
    assert plan.reason.count("written in the spec") == 2


@pytest.mark.parametrize("axes", [{"data": 8}, {"fsdp": 8}, {"expert": 8}, {"data": 2, "expert": 2, "model": 2}])
def test_capacity_and_the_number_of_groups_are_the_same_on_every_mesh(axes):
    sharded = replace(LAPTOP, mesh=mesh(devices=8, **axes))
    assert (routing(sharded).capacity, routing(sharded).groups) == (routing(LAPTOP).capacity, routing(LAPTOP).groups)


def test_groups_are_those_of_one_micro_batch():
    run = replace(LAPTOP, batch=replace(LAPTOP.batch, micro=1_024))
    assert routing(run).groups == 4
