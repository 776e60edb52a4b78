"""`scale = auto`: the size that a law gives for FLOPs, in integers that mesh and chip like, with its ties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import GPU, LAPTOP, POD, SWITCH_BASE, TPU, budget, mesh

from moec.compiler.artifacts import compile_run
from moec.compiler.laws.besiroglu import FIT
from moec.compiler.laws.solve import compute_optimal
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.planner.lattice import grid_of, models_near, scaled, widths_near
from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec
from moec.spec.loader import load_text
from moec.spec.reader import read

PROPORTIONS = replace(SWITCH_BASE, scale="auto", seq_len=2_048, experts=None)
MIXTURE = replace(SWITCH_BASE, scale="auto", seq_len=2_048)
MIXTURE = replace(MIXTURE, experts=replace(MIXTURE.experts, n_experts=16, top_k=1, group_size=2_048))
OPEN = replace(
    POD,
    model=PROPORTIONS,
    mesh=replace(mesh(TPU, 64, fsdp="auto", model="auto"), topology=(4, 4, 4)),
    budget=budget(train_flops=10**21, law="besiroglu", count="active"),
    batch=replace(POD.batch, tokens=2**20),
    optimizer=replace(POD.optimizer, warmup_steps="auto"),
)


def planned(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def asking(**given: object) -> RunSpec:
    return replace(OPEN, budget=budget(train_flops=10**21, **given))


def test_a_dense_size_is_near_what_the_law_alone_would_take():
    plan = planned(OPEN)
    optimum = compute_optimal(FIT, 1e21)
    assert optimum is not None
    # FLOPs are counted and not 6 N, and sizes are integers, so only nearly.
    assert plan.parameters.total == pytest.approx(optimum[0], rel=0.15)
    assert plan.budget.train_flops == pytest.approx(1e21, rel=1e-4)


def test_no_shape_that_was_tried_loses_less_than_the_chosen_one():
    plan = planned(OPEN)
    assert plan.scale is not None
    # To four digits after the point; what differs by less goes by the written proportion.
    losses = [round(one.loss, 4) for one in plan.scale.best if one.loss is not None]
    assert losses == sorted(losses)
    assert plan.scale.best[0].n_layers == plan.run.model.n_layers
    assert plan.scale.tried > 50


def test_a_ratio_gives_the_size_whose_tokens_are_that_many_times_its_parameters():
    plan = planned(asking(law="chinchilla", count="active", tokens_per_param=40.0))
    assert plan.budget.tokens / plan.parameters.total == pytest.approx(40, rel=0.1)
    assert plan.scale is not None
    assert plan.scale.best[0].loss is None


def test_more_flops_make_a_larger_model():
    small, large = (
        planned(replace(OPEN, budget=budget(train_flops=flops, law="hoffmann", count="total"))).parameters.total
        for flops in (10**20, 10**21)
    )
    assert 2 < large / small < 5


def test_sizes_within_the_error_of_the_law_are_told_as_ties():
    plan = planned(replace(OPEN, model=MIXTURE, budget=budget(train_flops=10**20, law="joint_moe", count="active")))
    scale = plan.scale
    assert scale is not None
    assert scale.rmse == 0.0039
    assert scale.ties > 3
    assert scale.tied_params[0] < plan.parameters.active < scale.tied_params[1]
    assert scale.best[1].reason.startswith("a tie: +")
    first = scale.best[0].loss
    assert first is not None
    assert all(one.loss is None or one.loss - first <= 0.0039 for one in scale.best if "tie" in one.reason)


def test_what_the_law_was_not_fitted_on_is_doubted_for_the_chosen_size_too():
    _, told = plan_run(asking(law="joint_moe", count="active"))
    assert "MOE6201" in {one.code for one in told}


def test_proportions_are_kept_and_lengths_are_multiples():
    on_pod = replace(mesh(TPU, 64, fsdp=3, model=4), topology=(4, 4, 4))
    grid = grid_of(on_pod)
    found = list(models_near(MIXTURE, 3.0, grid))
    assert len(found) == 10
    for model in found:
        assert model.d_model % (128 * 4) == model.d_model % 3 == 0
        assert model.attention.n_heads % 4 == model.attention.n_kv_heads % 4 == 0
        assert model.ffn.d_ff % (128 * 4) == model.experts.d_ff % (128 * 4) == 0
        assert model.n_layers % model.experts.every == 0
        assert model.attention.d_head == MIXTURE.attention.d_head
        wanted = MIXTURE.n_layers * model.d_model / MIXTURE.d_model
        assert 0.5 < model.n_layers / wanted < 1.6


def test_a_scale_of_one_is_the_model_that_is_written():
    grid = grid_of(mesh(GPU, 1))
    assert scaled(MIXTURE, MIXTURE.d_model, MIXTURE.n_layers, grid) == replace(MIXTURE, scale="written")


def test_widths_go_from_half_to_twice_and_are_not_too_many():
    grid = grid_of(mesh(TPU, 1))
    assert list(widths_near(300.0, grid)) == [256, 384, 512]
    many = list(widths_near(20_000.0, grid))
    assert len(many) < 50
    assert many[0] == pytest.approx(10_000, abs=128)
    assert many[-1] == pytest.approx(40_000, rel=0.1)


@pytest.mark.parametrize("given", [{"tokens": 10**9}, {"law": "besiroglu", "count": "active"}, {"train_flops": 10**20}])
def test_an_open_scale_needs_flops_and_a_law(given):
    plan, told = plan_run(replace(OPEN, budget=budget(**given)))
    assert plan is None
    assert [one.code for one in told] == ["MOE6109"]


def test_a_law_that_allocates_nothing_gives_no_size():
    _, told = plan_run(asking(law="clark", count="dense_equivalent"))
    assert [one.code for one in told] == ["MOE6104"]


def test_where_the_chip_is_too_small_the_best_size_is_told_with_its_lack():
    run = replace(OPEN, mesh=mesh(GPU, 1), budget=budget(train_flops=10**24, law="besiroglu", count="active"))
    plan, told = plan_run(run)
    assert plan is None
    (found,) = [one for one in told if one.code == "MOE6112"]
    assert "of memory per device" in found.notes[0]


def test_the_chosen_size_is_literal_and_recompiles_to_the_same_program():
    plan = planned(replace(LAPTOP, model=replace(LAPTOP.model, scale="auto"), budget=laptop_budget(), optimizer=auto()))
    made = compile_run(plan)
    assert "scale          = written" in made.resolved.replace("scale = ", "scale          = ")
    loaded, _ = load_text("resolved.moe", made.resolved)
    assert loaded is not None
    typed, told = resolve(read(loaded)[0])
    assert told == ()
    again = planned(typed.runs[0])
    assert again.scale is None
    assert compile_run(again).program == made.program


def laptop_budget():
    return budget(train_flops=10**15, law="besiroglu", count="active")


def auto():
    return replace(LAPTOP.optimizer, warmup_steps="auto")
